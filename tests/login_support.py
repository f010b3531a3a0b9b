"""Logins for tests: homes with users/passwords, programs with checkpassword's interface, a qmail-authd that runs."""

import os
import subprocess
from collections.abc import Sequence
from typing import Self

from qmailpy.rules import passwords
from tests.support import NOBODY, PATH, read, wait_for, wait_for_exit, write

AS_CHECKPASSWORD = ["sh", "-c", 'exec "$@" 3<&0 0</dev/null', "sh"]
SALT = b"salt of the tests"


def keep(home: str, **logins: str) -> None:
    """users/passwords with SCRAM entries that cost little."""
    lines = [b"%s:%s\n" % (login.encode(), scram(password)) for login, password in logins.items()]
    write(f"{home}/users/passwords", b"".join(lines), 0o600)


def scram(password: str) -> bytes:
    return passwords.keep_scram(password.encode(), SALT, 4096)


def check(
    home: str, *words: str, content: bytes, program: str = "qmail-checkpassword", **extra: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program that reads this on descriptor 3."""
    return subprocess.run(
        [*AS_CHECKPASSWORD, f"{home}/bin/{program}", *words],
        input=content,
        env={"PATH": f"{home}/bin:{PATH}", "QMAILHOME": home, **extra},
        capture_output=True,
        check=False,
        timeout=60,
    )


def on_three(login: str, password: str, challenge: str = "") -> bytes:
    return f"{login}\0{password}\0{challenge}\0".encode()


def somebody() -> tuple[int, int]:
    """A uid and gid that programs of these tests can become: ours, or nobody's where that is root."""
    return (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


HURRIED = """#!/usr/bin/python3 -IS
import sys
sys.path.insert(0, {library!r})
from qmailpy.receive.authd import daemon
daemon._CHORES = 0.1
from qmailpy.programs import start
start("qmail-authd", {home!r})
"""


class Authd:
    """The real qmail-authd of a home; its log."""

    def __init__(self, home: str, ready: Sequence[str] = ("PLAIN", "LOGIN"), *, hurry: bool = False) -> None:
        """ready: what it will offer; hurry: it looks often whether anything has changed."""
        self.home, self._ready = home, set(ready)
        self._program, self._environment = f"{home}/bin/qmail-authd", {"PATH": PATH, "QMAILHOME": home}
        if hurry:
            library = os.path.realpath(f"{home}/lib/current")
            self._program = write(f"{home}/../hurried", HURRIED.format(library=library, home=home), 0o755)
            self._environment = {"PATH": PATH}
        self.log_path = f"{home}/authd.log"

    def __enter__(self) -> Self:
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self._program],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self.is_ready, lambda: f"qmail-authd: {self.log}")
        return self

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log
        return os.path.exists(f"{self.home}/auth/socket") and self._ready <= self.offered

    @property
    def offered(self) -> set[str]:
        path = f"{self.home}/auth/mechanisms"
        return set(read(path).decode().split()) if os.path.exists(path) else set()

    @property
    def log(self) -> list[str]:
        return read(self.log_path).decode().splitlines()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        wait_for_exit(self.process)
