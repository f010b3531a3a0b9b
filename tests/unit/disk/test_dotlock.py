"""The dot-lock beside a mailbox: ours, somebody else's, a dead one's."""

import os
import time
from pathlib import Path

import pytest

from qmailpy.disk.dotlock import NONE_HERE, STALE, release, take


@pytest.fixture
def box(tmp_path: Path) -> str:
    return f"{tmp_path}/Mailbox"


def aged(path: str, seconds: int) -> None:
    when = time.time() - seconds
    os.utime(path, (when, when), follow_symlinks=False)


def test_it_is_made_signed_and_given_back(box: str) -> None:
    lock = take(box.encode())
    assert lock == f"{box}.lock".encode()
    assert Path(box + ".lock").read_bytes() == b"%d:%s" % (os.getpid(), os.uname().nodename.encode())
    release(lock)
    assert not os.path.exists(box + ".lock")


def test_only_one_can_have_it(box: str) -> None:
    lock = take(box.encode())
    assert lock
    assert take(box.encode()) is None
    release(lock)
    assert take(box.encode()) == lock


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
def test_whatever_has_its_name_is_somebodys(box: str, kind: str) -> None:
    if kind == "file":
        Path(box + ".lock").write_bytes(b"0")
    elif kind == "directory":
        os.mkdir(box + ".lock")
    else:
        os.symlink("nowhere", box + ".lock")
    assert take(box.encode()) is None
    assert os.path.lexists(box + ".lock")
    assert not os.path.exists(os.path.dirname(box) + "/nowhere")


def test_a_dead_ones_is_taken_over(box: str) -> None:
    Path(box + ".lock").write_bytes(b"0")
    aged(box + ".lock", STALE - 30)
    assert take(box.encode()) is None
    aged(box + ".lock", STALE + 30)
    assert take(box.encode()) == f"{box}.lock".encode()


def test_a_dead_ones_that_we_cannot_take_away_is_ignored(box: str) -> None:
    os.mkdir(box + ".lock")
    aged(box + ".lock", STALE + 30)
    assert take(box.encode()) == NONE_HERE
    release(NONE_HERE)
    assert os.path.isdir(box + ".lock")


def test_where_none_can_be_made_mail_comes_without_it(tmp_path: Path) -> None:
    assert take(f"{tmp_path}/none/Mailbox".encode()) == NONE_HERE
    assert take(f"{tmp_path}/{'x' * 252}".encode()) == NONE_HERE
    assert take(b"/proc/Mailbox") == NONE_HERE


def dead_pid() -> int:
    """Of a process that was, and is not."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@pytest.mark.parametrize(
    ("signature", "is_taken"),
    [
        ("{dead}:{host}", True),
        ("{dead}:{host}\n", True),
        ("{living}:{host}", False),
        ("1:{host}", False),  # somebody else's process, whom we may send no signal
        ("{dead}:elsewhere.example", False),  # who knows what lives there
        ("{dead}\n", False),  # liblockfile's: of this host, or of another one
        ("{dead}", False),
        ("", False),
        ("0:{host}", False),
        ("-1:{host}", False),
        ("99999999999999999999:{host}", False),
        ("\N{ARABIC-INDIC DIGIT THREE}:{host}", False),
        ("x" * 100_000, False),
    ],
)
def test_one_whose_signer_has_died_here_is_taken_over_at_once(box: str, signature: str, is_taken: bool) -> None:
    text = signature.format(dead=dead_pid(), living=os.getpid(), host=os.uname().nodename)
    Path(box + ".lock").write_text(text)
    assert (take(box.encode()) is not None) == is_taken


def test_a_lock_that_is_a_fifo_holds_nobody_up(box: str) -> None:
    os.mkfifo(box + ".lock")
    assert take(box.encode()) is None


def test_a_lock_that_cannot_be_read_is_somebodys(box: str) -> None:
    os.symlink("/proc/self/status", box + ".lock")
    assert take(box.encode()) is None
