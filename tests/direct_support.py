"""A host without a queue: a home with control/direct, and what is sent from it."""

import os
import subprocess
from typing import Any

from tests.support import NOBODY, PATH, bare_home, give, write

ME = "host.example.org"
MESSAGE = b"From: me@host.example.org\nTo: x@there.example\nSubject: direct\n\n.body\n"
SENDER, ONE, TWO = "me@host.example.org", "one@there.example", "two@elsewhere.example"


class Host:
    """A home without a queue, and what is sent from it."""

    def __init__(self, home: str) -> None:
        """home: of an ordinary user."""
        self.home = bare_home(home, me=ME)
        self.owner = NOBODY if os.geteuid() == 0 else os.geteuid()
        self.control("direct", "")
        self.control("aliasfile", f"{home}/aliases")
        self.message = MESSAGE
        self.aliases("")
        self.caller = f"{home}/caller"
        os.mkdir(self.caller)

    def control(self, name: str, content: str) -> None:
        write(f"{self.home}/control/{name}", content + "\n")

    def aliases(self, content: str) -> None:
        write(f"{self.home}/aliases", content)

    def route_to(self, port: int, more: str = "") -> None:
        self.control("smtproutes", f":127.0.0.1:{port}{more}")

    def run(self, *words: str, **extra: str) -> "subprocess.CompletedProcess[bytes]":
        if os.geteuid() == 0:
            give(self.home, self.owner, self.owner)
        who: dict[str, Any] = {"user": self.owner, "group": self.owner, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run(
            [f"{self.home}/bin/{words[0]}", *words[1:]],
            input=self.message,
            capture_output=True,
            check=False,
            cwd="/",
            env={"PATH": PATH, "QMAILHOME": self.home, "HOME": self.caller, "USER": "me", **extra},
            timeout=60,
            **who,
        )

    def send(self, *recipients: str, **extra: str) -> "subprocess.CompletedProcess[bytes]":
        before = self.files()
        done = self.run("sendmail", "-f", SENDER, *(recipients or (ONE,)), **extra)
        assert self.files() == before, "something was written to disk"
        return done

    def files(self) -> list[tuple[str, int, int]]:
        found = []
        for folder, _, names in os.walk(self.home):
            for name in names:
                status = os.stat(f"{folder}/{name}")
                found.append((f"{folder}/{name}", status.st_size, status.st_mtime_ns))
        return sorted(found)
