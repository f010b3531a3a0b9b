"""qmail-aliases and qmail-dotforward killed before each of their system calls: nothing is lost, at most repeated.

The real programs under strace, as qmail-local would run them. A file comes before the forward: between the two a kill
leaves the file, the message is tried again, and then both are there.
"""

import collections
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.local_support import DTLINE, MESSAGE, Joe, joe_in
from tests.ready import installed
from tests.support import RecordingQueue, write

CALLS = "openat,newfstatat,fstat,lseek,pread64,read,write,fsync,close,link,linkat,unlink,dup2,execve,setitimer"
CALLS += ",pipe2,?fork,?vfork,clone,?clone3,wait4,poll"
RPLINE = b"Return-Path: <a@b.org>\n"
MAIL = RPLINE + DTLINE + MESSAGE


class Ground:
    """A user, an embedded home of his, a queue that records."""

    def __init__(self, folder: str) -> None:
        self.joe: Joe = joe_in(folder)
        self.home = installed(f"{folder}/home", self.joe.uid)
        self.queue = RecordingQueue(f"{folder}/queued")
        self.joe.maildir()
        write(f"{self.home}/alias/aliases", f"joe: {self.joe.home}/Maildir/, ann@far.example, bob@far.example\n")
        os.utime(f"{self.home}/alias/aliases", (1, 1))
        self.joe.put(".forward", "./ignored@far.example\n")
        self.joe.put(".forward", f"{self.joe.home}/Maildir/\nann@far.example, bob@far.example\n")
        os.mkdir(f"{folder}/traces")
        if os.getuid() == 0:
            self.joe.own(f"{self.home}/alias/aliases")
            self.joe.own(f"{folder}/traces")
        self.environment = {
            **self.joe.environment,
            **self.queue.environment,
            "QMAILHOME": self.home,
            "USER": "joe",
            "LOCAL": "joe",
            "EXT": "",
            "HOST": "example.org",
            "SENDER": "a@b.org",
            "NEWSENDER": "a@b.org",
            "DTLINE": DTLINE.decode(),
            "RPLINE": RPLINE.decode(),
            "UFLINE": "From a@b.org Sat Nov 21 02:27:41 2026\n",
        }

    def fresh(self) -> None:
        for part in ("tmp", "new"):
            for name in os.listdir(f"{self.joe.home}/Maildir/{part}"):
                os.unlink(f"{self.joe.home}/Maildir/{part}/{name}")
        for name in os.listdir(self.queue.folder):
            if name != "queue":
                os.unlink(f"{self.queue.folder}/{name}")

    def trace(self, words: list[str], inject: str = "") -> tuple[int, list[str]]:
        """Run it under strace.  Result: exit code, and the trace."""
        path = f"{self.joe.folder}/traces/trace"
        options = ["-qq", "-o", path, "-e", f"trace={CALLS}", *(["-e", f"inject={inject}"] if inject else [])]
        code = self.run(words, "strace", *options)
        return code, Path(path).read_text(errors="replace").splitlines()

    def run(self, words: list[str], *before: str) -> int:
        """Exit code."""
        message = write(f"{self.joe.folder}/message", MESSAGE)
        with open(message, "rb") as file:
            done = subprocess.run(
                [*before, f"{self.home}/bin/{words[0]}", *words[1:]],
                stdin=file,
                capture_output=True,
                check=False,
                timeout=60,
                cwd=self.joe.home,
                env=self.environment,
                **self.joe.identity,
            )
        return done.returncode

    def mails(self) -> list[bytes]:
        return [self.joe.file(f"Maildir/new/{name}") for name in os.listdir(f"{self.joe.home}/Maildir/new")]

    def forwards(self) -> list[tuple[bytes, bytes]]:
        return self.queue.messages


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    return Ground(str(tmp_path))


def places(trace: list[str], marker: str) -> list[tuple[str, int, str]]:
    """The calls from the one on that opens the user's instructions: (name, which of this name, the line)."""
    counts: collections.Counter[str] = collections.Counter()
    found: list[tuple[str, int, str]] = []
    for line in trace:
        if call := re.match(r"(\w+)\(", line):
            counts[call.group(1)] += 1
            if found or marker in line:
                found.append((call.group(1), counts[call.group(1)], line))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "marker", "success"),
    [(["qmail-aliases"], '/alias/aliases"', 0), (["qmail-dotforward", ".forward"], 'openat(AT_FDCWD, ".forward"', 99)],
)
def test_killed_anywhere_nothing_is_lost(ground: Ground, words: list[str], marker: str, success: int) -> None:
    code, trace = ground.trace(words)
    assert code == success, trace
    forward = ground.forwards()
    assert forward == [(DTLINE + MESSAGE, b"Fa@b.org\0Tann@far.example\0Tbob@far.example\0\0")]
    assert ground.mails() == [MAIL]
    calls = places(trace, marker)
    assert len(calls) > 20
    states = set()
    for name, number, line in calls:
        ground.fresh()
        code, _ = ground.trace(words, f"{name}:signal=KILL:when={number}")
        assert code in (-9, 137), line
        state = len(ground.mails()), bool(ground.forwards())
        states.add(state)
        assert set(ground.mails()) <= {MAIL}, f"killed before {line}"
        assert state != (0, True), f"forwarded before the file was there: {line}"
        assert ground.run(words) == success  # as qmail-send does: the killed one was a deferral
        assert ground.mails() == [MAIL] * (state[0] + 1), f"killed before {line}"
        assert forward[0] in ground.forwards(), f"killed before {line}"
    assert {(0, False), (1, False)} <= states


@pytest.mark.slow
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_whatever_fails_success_means_all_of_it(ground: Ground, error: str) -> None:
    words = ["qmail-aliases"]
    _, trace = ground.trace(words)
    for name, number, line in places(trace, '/alias/aliases"'):
        ground.fresh()
        code, _ = ground.trace(words, f"{name}:error={error}:when={number}")
        assert code in (0, 111), f"{error} from {line}"
        if code == 0:
            assert ground.mails() == [MAIL], f"{error} from {line}"
            assert len(ground.forwards()) == 1, f"{error} from {line}"
