"""Running the real qmail-local as an ordinary user, in a home of his own."""

import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support import CHECKOUT, NOBODY, PATH, read, write

PROGRAM = f"{CHECKOUT}/bin/qmail-local"
MESSAGE = b"Subject: hi\n\nbody\n"
DTLINE = b"Delivered-To: joe@example.org\n"


class Done:
    """What a run of qmail-local left: exit code, and what it said."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out, err

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Done) and (self.code, self.out, self.err) == (other.code, other.out, other.err)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Done({self.code}, {self.out!r}, {self.err!r})"


class Joe:
    """A user with a home. Files in it are his, whoever runs the tests."""

    def __init__(self, folder: str) -> None:
        """folder: of the test; others must be able to pass through it."""
        os.chmod(folder, 0o711)
        self.uid = os.getuid() or NOBODY
        self.gid = os.getgid() or NOBODY
        self.folder = folder
        self.home = f"{folder}/joe"
        self.environment: dict[str, str] = {"PATH": PATH, "LC_ALL": "C"}
        self.program = PROGRAM
        self.mkdir("")

    def put(self, name: str, content: str | bytes, mode: int = 0o600) -> None:
        """A file of his."""
        self.own(write(f"{self.home}/{name}", content, mode))

    def mkdir(self, name: str, mode: int = 0o700) -> None:
        os.mkdir(f"{self.home}/{name}")
        os.chmod(f"{self.home}/{name}", mode)
        self.own(f"{self.home}/{name}")

    def maildir(self, name: str = "Maildir") -> None:
        for part in ("", "/tmp", "/new", "/cur"):
            self.mkdir(name + part)

    def own(self, path: str) -> None:
        os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def file(self, name: str) -> bytes:
        return read(f"{self.home}/{name}")

    def mails(self, name: str = "Maildir") -> list[bytes]:
        """What is in new/, in the order of its names; nothing may lie in tmp/."""
        assert os.listdir(f"{self.home}/{name}/tmp") == []
        return [self.file(f"{name}/new/{each}") for each in sorted(os.listdir(f"{self.home}/{name}/new"))]

    def argv(
        self,
        *options: str,
        local: bytes = b"joe",
        dash: bytes = b"",
        ext: bytes = b"",
        sender: bytes = b"a@b.org",
        default: bytes = b"./Mailbox",
    ) -> list[bytes]:
        """qmail-local's words, as qmail-lspawn gives them."""
        words = (b"joe", self.home.encode(), local, dash, ext, b"example.org", sender, default)
        return [self.program.encode(), *(word.encode() for word in options), b"--", *words]

    def run(
        self, argv: list[bytes], message: bytes = MESSAGE, extra: Mapping[str, str] | None = None, limits: str = ""
    ) -> Done:
        """Run it as joe.  limits: shell commands before it, as `ulimit -f 8`."""
        path = write(f"{self.folder}/message", message)
        if limits:
            argv = [b"/bin/sh", b"-c", limits.encode() + b'; exec "$0" "$@"', *argv]
        with open(path, "rb") as file:
            return self.run_on(argv, file.fileno(), extra)

    def run_on(self, argv: list[bytes], descriptor: int, extra: Mapping[str, str] | None = None) -> Done:
        """Run it as joe with this descriptor as its message."""
        done = subprocess.run(
            argv,
            stdin=descriptor,
            capture_output=True,
            check=False,
            timeout=60,
            cwd="/",
            env={**self.environment, **(extra or {})},
            **self.identity,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def identity(self) -> dict[str, Any]:
        """For subprocess: an ordinary user stays who he is."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if os.getuid() == 0 else {}


def joe_in(folder: str) -> Joe:
    """A user, or a loud skip where an ordinary user cannot reach the checkout's programs."""
    joe = Joe(folder)
    looked = subprocess.run(["/bin/sh", "-c", 'test -x "$0"', PROGRAM], check=False, **joe.identity)
    if looked.returncode:
        pytest.skip("an ordinary user cannot reach the checkout: it lies in a private directory")
    return joe
