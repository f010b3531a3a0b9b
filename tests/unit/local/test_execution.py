"""Many deliveries in one process, as a resident child makes them: the second knows nothing of the first."""

import os
import re
import sys
from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.local.execution import Counts
from qmailpy.programs import qmail_local, run
from qmailpy.rules.instructions import FORWARD, MAILDIR, MBOX, PROGRAM, Instruction
from qmailpy.system import process
from tests.local_support import DTLINE, MESSAGE, Joe
from tests.support import RecordingQueue, bare_home


def deliver(joe: Joe, home: str, times: int, words: list[bytes]) -> tuple[bytes, list[int]]:
    """main() so often in one child, which is put back as a resident child is.  Result: what it said, exit codes."""
    report = os.open(f"{joe.folder}/report", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    message = os.open(f"{joe.folder}/message", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    os.write(message, MESSAGE)

    def child() -> int:
        process.arrange({0: message, 1: report, 2: report})
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(joe.gid, joe.gid, joe.gid)
            os.setresuid(joe.uid, joe.uid, joe.uid)
        clean = process.environment()
        modules, files = set(sys.modules), os.listdir("/proc/self/fd")
        for _ in range(times):
            codes.append(run("qmail-local", words, Home(home.encode())))
            assert set(sys.modules) - modules <= {"fcntl"}
            assert os.listdir("/proc/self/fd") == files
            os.environb.clear()
            os.environb.update(clean)
            os.chdir("/")
        os.write(report, repr(codes).encode())
        return 0

    codes: list[int] = []
    assert process.wait(process.fork(child)).code == 0
    said, _, listed = os.pread(report, 1 << 20, 0).rpartition(b"[")
    os.close(report)
    os.close(message)
    return said, [int(word) for word in listed.rstrip(b"]").split(b",")]


def test_a_second_delivery_knows_nothing_of_the_first(tmp_path: Path) -> None:
    joe = Joe(str(tmp_path))
    home = bare_home(f"{tmp_path}/qmail")
    joe.maildir()
    joe.put(".qmail-default", "./Maildir/\n./Mailbox\n|echo ${DEFAULT-none} $EXT\n")
    words = joe.argv(local=b"joe-x", dash=b"-", ext=b"x")
    said, codes = deliver(joe, home, 3, words)
    assert said == b"x x\ndid 2+0+1\n" * 3
    assert codes == [0, 0, 0]
    assert len(joe.mails()) == 3
    joe.put(".qmail-x", "|echo ${DEFAULT-none} $EXT\n")
    assert deliver(joe, home, 2, words) == (b"none x\ndid 0+0+1\n" * 2, [0, 0])


def test_a_resident_process_forwards_as_often_as_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joe = Joe(str(tmp_path))
    home = bare_home(f"{tmp_path}/qmail")
    queue = RecordingQueue(f"{tmp_path}/queued")
    monkeypatch.setenv("QMAILQUEUE", queue.path)
    joe.put(".qmail", "&a@b\n")
    said, codes = deliver(joe, home, 2, joe.argv())
    assert re.fullmatch(rb"(did 0\+1\+0\nqp \d+\n){2}", said)
    assert codes == [0, 0]
    assert queue.messages == [(DTLINE + MESSAGE, b"Fa@b.org\0Ta@b\0\0")] * 2


def test_a_failure_is_its_exit_code_and_its_sentence(tmp_path: Path) -> None:
    joe = Joe(str(tmp_path))
    home = bare_home(f"{tmp_path}/qmail")
    joe.put(".qmail", "./none/\n")
    assert deliver(joe, home, 2, joe.argv()) == (b"Unable to chdir to maildir. (#4.2.1)\n" * 2, [111, 111])


def test_the_summary_counts_lines_of_each_kind() -> None:
    counts = Counts()
    for kind in (MAILDIR, MBOX, FORWARD, FORWARD, PROGRAM, MAILDIR):
        counts.add(Instruction(kind, b"x", 1))
    assert counts.line == b"did 3+2+1\n"
    assert counts.recipients == [b"x", b"x"]


def test_a_nul_ends_a_word_as_it_would_on_a_command_line() -> None:
    acting, words = qmail_local._arguments([b"qmail-local", b"-n", b"--", b"a\0b", b"/h\0x", *[b"w"] * 6])
    assert not acting
    assert words == [b"a", b"/h", *[b"w"] * 6]
