"""For tests of the spawners: qmail-lspawn and qmail-rspawn with the test in qmail-send's place at their pipes."""

import contextlib
import os
import select
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from qmailpy.wire.delivery import NARROW, WIDE, Command, Report, ReportReader
from tests.places import identity, name_of
from tests.support import CHECKOUT, NOBODY, PATH, PATIENCE, bare_home, give, wait_for_exit, write

MESSAGE = b"Received: (qmail 1 invoked by uid 1); 21 Nov 2026 02:27:41 -0000\nSubject: hello\n\nHello.\n"
LIBRARY = os.path.realpath(f"{CHECKOUT}/lib/current")
_CHANGED = """#!/usr/bin/python3 -IS
import sys
sys.path.insert(0, {library!r})
from qmailpy.programs import qmail_lspawn, qmail_rspawn
from qmailpy.skeletons import lookups, outcome, turns
from qmailpy.system import resident
{settings}
from qmailpy.programs import start
start("{program}", {home!r})
"""


class Spawner:
    """A spawner under test, in a bare embedded home of an ordinary user."""

    def __init__(self, home: str, program: str, *arguments: str, settings: str = "", **extra: str) -> None:
        """settings: Python that changes figures before it starts; extra: environment."""
        self.home = home
        path = f"{home}/bin/{program}"
        if settings:
            words = {"library": LIBRARY, "settings": settings, "home": home, "program": program}
            path = write(f"{home}/hasty", _CHANGED.format(**words), 0o755)
        self.uid = NOBODY if os.geteuid() == 0 else os.geteuid()
        self.user = name_of(self.uid)
        gid = NOBODY if os.geteuid() == 0 else os.getegid()
        if os.geteuid() == 0:
            give(home, self.uid, gid)
        self.wide = "wide" in arguments
        self.reader = ReportReader(wide=self.wide)
        self.reports: list[Report] = []
        self.process = subprocess.Popen(
            [path, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": f"{home}/bin:{PATH}", "QMAILHOME": home, **extra},
            bufsize=0,
            **identity(self.uid, gid),
        )

    def ask(self, slot: int, recipient: bytes, message: bytes, sender: bytes = b"s@x.example") -> None:
        assert self.process.stdin is not None
        command = Command(slot, message, sender, recipient)
        self.process.stdin.write(command.encode(WIDE if self.wide else NARROW))

    def hear(self, count: int) -> list[Report]:
        """So many reports, in the order of their slots."""
        assert self.process.stdout is not None
        while len(self.reports) < count:
            assert select.select([self.process.stdout], [], [], PATIENCE)[0], f"waited in vain for {count} reports"
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, "the spawner has ended"
            self.reports.extend(self.reader.feed(piece))
        return sorted(self.reports, key=lambda report: report.slot)

    def announcement(self) -> int | None:
        assert self.process.stdout is not None
        while self.reader.announced is None:
            piece = os.read(self.process.stdout.fileno(), 65536)
            assert piece, "the spawner has ended"
            self.reports.extend(self.reader.feed(piece))
        return self.reader.announced

    def kill(self) -> None:
        """What a fixture does at the end."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = wait_for_exit(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def queued(home: str, content: bytes = MESSAGE, number: int = 457) -> bytes:
    """A message in mess/; its path for a command."""
    write(f"{home}/queue/mess/{number % 23}/{number}", content)
    return b"%d/%d" % (number % 23, number)


def new_home(folder: Path) -> str:
    """A bare embedded home, its user's Maildir in it, in a directory that everybody may go through."""
    for parent in (folder, *folder.parents):
        if os.stat(parent).st_uid == os.geteuid() and str(parent).startswith("/var/tmp/"):
            parent.chmod(0o711)
    home = bare_home(str(folder / "home"))
    for name in ("tmp", "new", "cur"):
        os.makedirs(f"{home}/home/Maildir/{name}")
    return home


@contextlib.contextmanager
def spawners() -> Iterator[Callable[..., Spawner]]:
    """What starts a spawner; at the end of the block they are all killed."""
    with contextlib.ExitStack() as running:

        def start(*words: str, **extra: str) -> Spawner:
            spawner = Spawner(*words, **extra)
            running.callback(spawner.kill)
            return spawner

        yield start
