"""What the tests of injection share: programs run with chosen descriptors and environment, messages taken apart."""

import os
import subprocess
from collections.abc import Mapping

from tests.support import PATH, PATIENCE

HOST = "mail.example.com"


class Done:
    """A program that has ended."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}, out {self.out[:2000]!r}, err {self.err[:2000]!r}"


def run(
    home: str,
    name: str,
    *words: str | bytes,
    message: bytes | None = b"",
    environment: Mapping[str, str | bytes] | None = None,
    prefix: tuple[str, ...] = (),
) -> Done:
    """bin/NAME of this home, as a stranger's program starts it.

    message: for descriptor 0, None closes it; environment: added to PATH, USER and QMAILHOME; prefix: words before.
    """
    variables: dict[str, str | bytes] = {"PATH": PATH, "USER": "joe", "QMAILHOME": home, **(environment or {})}
    command = [*prefix, os.path.join(home, "bin", name), *words]
    if message is None:
        command = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command]
    done = subprocess.run(
        command, input=message or b"", env=variables, capture_output=True, timeout=2 * PATIENCE, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def fields_of(message: bytes) -> list[bytes]:
    """The fields of a message, folded as they are, Date and Message-ID without what changes."""
    fields: list[bytes] = []
    for line in message.partition(b"\n\n")[0].split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            fields[-1] += b"\n" + line
        elif line:
            fields.append(line)
    return [
        field.partition(b":")[0] + b":" if b"date:" in field.lower() or b"message-id: <2" in field.lower() else field
        for field in fields
    ]
