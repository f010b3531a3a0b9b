"""An embedded home whose addresses are explained, by the program, as its owner."""

import json
import os
import subprocess

from tests.local_support import Joe, joe_in
from tests.support import bare_home, give, write

DEFAULT = "./Maildir/"


class Explained:
    """An embedded home; its one user has the home joe.home/home."""

    def __init__(self, folder: str) -> None:
        self.joe: Joe = joe_in(folder)
        self.home = bare_home(f"{folder}/home")
        os.makedirs(f"{self.home}/home", exist_ok=True)
        self.put("control/embedded", "")
        self.user = self.run("/usr/bin/id", "-un").stdout.decode().strip()

    def put(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        write(f"{self.home}/{path}", text, mode)
        if os.getuid() == 0:
            give(self.home, self.joe.uid, self.joe.gid)

    def run(self, *argv: str, **extra: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
            cwd="/",
            env={**self.joe.environment, "QMAILHOME": self.home, **extra},
            **self.joe.identity,
        )

    def text(self, *words: str, code: int = 0) -> list[str]:
        done = self.run(f"{self.home}/bin/qmail-explain", "-n", *words)
        assert (done.returncode, done.stderr) == (code, b""), done
        return done.stdout.decode().splitlines()

    def steps(self, address: str, default: str = DEFAULT) -> list[tuple[int, str, str]]:
        done = self.run(f"{self.home}/bin/qmail-explain", "--json", "--no-dns", "-d", default, address)
        told = json.loads(done.stdout)
        assert told["address"] == address
        return [(step["depth"], step["kind"], step["text"]) for step in told["steps"]]

    def local(self, address: str, default: str = DEFAULT) -> tuple[int, list[str]]:
        """What the real qmail-local -n says for whom qmail-getpw finds: exit code, lines."""
        box, _, host = address.rpartition("@")
        fields = self.run(f"{self.home}/bin/qmail-getpw", box).stdout.decode().split("\0")
        name, _, _, folder, dash, ext, _ = fields
        words = ["-n", "--", name, folder, box, dash, ext, host, "sender@example.org", default]
        done = self.run(f"{self.home}/bin/qmail-local", *words)
        return done.returncode, [*done.stdout.decode().splitlines(), *done.stderr.decode().splitlines()]
