"""A user with a Maildir, and the real programs of POP3 that serve it: on pipes, or under Debian's tcpserver."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.queue_support import new_home
from tests.support import CHECKOUT, NOBODY, PATH, free_port, write

POPUP, POP3D = f"{CHECKOUT}/bin/qmail-popup", f"{CHECKOUT}/bin/qmail-pop3d"
HOST = "mx.example.org"
USER, PASSWORD = "joe", "sesame street"


class User:
    """home: his; checkpassword: a program that knows his password, and becomes him where the tests run as root."""

    def __init__(self, folder: Path) -> None:
        self.qmail = new_home(folder)
        self.home = f"{folder}/joe"
        os.makedirs(self.home)
        for part in ("new", "cur", "tmp"):
            os.makedirs(f"{self.home}/Maildir/{part}")
        self.checkpassword = write(
            f"{folder}/checkpassword",
            "#!/usr/bin/python3 -IS\n"
            "import os, sys\n"
            "user, secret, stamp, _ = os.read(3, 512).split(b'\\0')\n"
            f"if (user, secret) != ({USER.encode()!r}, {PASSWORD.encode()!r}):\n"
            "    sys.exit(1)\n"
            "os.close(3)\n"
            f"os.chdir({self.home!r})\n"
            "if not os.getuid():\n"
            f"    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
            "os.execvp(sys.argv[1], sys.argv[1:])\n",
            0o755,
        )
        give_to_user(self.home)

    def put(self, path: str, content: bytes, age: float = 100.0) -> str:
        """A message.  path: from the Maildir on; age: seconds."""
        whole = write(f"{self.home}/Maildir/{path}", content)
        when = time.time() - age
        os.utime(whole, (when, when))
        give_to_user(whole)
        return whole

    def names(self) -> list[str]:
        """What lies in new/ and cur/."""
        return [
            f"{part}/{name}" for part in ("new", "cur") for name in sorted(os.listdir(f"{self.home}/Maildir/{part}"))
        ]

    def environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"PATH": f"{CHECKOUT}/bin:{PATH}", "QMAILHOME": self.qmail, **(variables or {})}

    @property
    def service(self) -> list[str]:
        """The command line of a server."""
        return [POPUP, HOST, self.checkpassword, POP3D, "Maildir"]

    def serve(self, said: bytes, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
        """qmail-pop3d alone, as the user."""
        return subprocess.run(
            [POP3D, *(arguments or ["Maildir"])],
            input=said,
            cwd=self.home,
            env=self.environment(variables),
            capture_output=True,
            check=False,
            timeout=60,
            user=NOBODY if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )


def give_to_user(path: str) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", str(NOBODY), path], check=True)


@contextmanager
def tcpserver(command: list[str], environment: Mapping[str, str], log: str) -> Iterator[int]:
    """Debian's tcpserver on loopback, running this for each connection.  Result: its port."""
    port = free_port()
    with open(log, "ab") as file:
        process = subprocess.Popen(
            ["tcpserver", "-1RHl", HOST, "127.0.0.1", str(port), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
        )
    try:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == port  # it listens
        yield port
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
