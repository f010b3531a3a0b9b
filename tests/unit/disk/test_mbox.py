"""Appending to an mbox: under a lock, whole or not at all."""

import errno
import fcntl
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.disk import durable, mbox
from qmailpy.disk.mbox import append, flock
from qmailpy.system import clock
from qmailpy.verdict import TEMP, Die
from tests.support import wait_for


def refusal(path: str, pieces: Iterator[bytes] | list[bytes]) -> bytes:
    with pytest.raises(Die) as death:
        append(path.encode(), pieces)
    assert death.value.verdict == TEMP
    return death.value.text


@pytest.fixture
def box(tmp_path: Path) -> Iterator[str]:
    before = os.listdir("/proc/self/fd")
    yield f"{tmp_path}/Mailbox"
    assert os.listdir("/proc/self/fd") == before


def test_a_new_mbox_is_private(box: str) -> None:
    mask = os.umask(0)
    try:
        append(box.encode(), [b"a", b"b\n"])
    finally:
        os.umask(mask)
    assert Path(box).read_bytes() == b"ab\n"
    assert stat.S_IMODE(os.stat(box).st_mode) == 0o600


def test_the_next_message_follows_the_last(box: str) -> None:
    for text in (b"a\n", b"b\n", b"c\n"):
        append(box.encode(), [text])
    assert Path(box).read_bytes() == b"a\nb\nc\n"


def test_what_fails_gives_the_file_its_old_length_back(box: str) -> None:
    append(box.encode(), [b"old\n"])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert refusal(box, [b"x" * 65536] * 2) == b"Unable to write %s: file too big. (#4.3.0)" % box.encode()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Path(box).read_bytes() == b"old\n"


def test_a_failing_fsync_gives_the_file_its_old_length_back(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append(box.encode(), [b"old\n"])

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(durable, "sync_file", fail)
    assert refusal(box, [b"young\n"]) == b"Unable to write %s: input/output error. (#4.3.0)" % box.encode()
    assert Path(box).read_bytes() == b"old\n"


def test_what_reading_raises_comes_through_and_the_file_is_as_it_was(box: str) -> None:
    append(box.encode(), [b"old\n"])

    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise KeyError("reading")

    with pytest.raises(KeyError):
        append(box.encode(), pieces())
    assert Path(box).read_bytes() == b"old\n"


def test_a_file_that_could_not_be_locked_is_written_and_never_shortened(box: str) -> None:
    append(box.encode(), [b"old\n"], lambda _descriptor: False)

    def pieces() -> Iterator[bytes]:
        yield b"young"
        raise KeyError("reading")

    with pytest.raises(KeyError):
        append(box.encode(), pieces(), lambda _descriptor: False)
    assert Path(box).read_bytes() == b"old\nyoung"


def test_the_name_of_a_new_or_empty_file_is_fsynced_too(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(durable, "sync_directory", synced.append)
    folder = os.path.dirname(box)
    append(box.encode(), [b"a\n"])
    append(box.encode(), [b"b\n"])
    assert synced == [folder.encode()]
    os.truncate(box, 0)
    append(box.encode(), [b"c\n"])
    assert synced == [folder.encode()] * 2


def test_behind_a_link_the_directory_of_the_file_is_fsynced(
    box: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    monkeypatch.setattr(durable, "sync_directory", synced.append)
    (tmp_path / "spool").mkdir()
    os.symlink("spool/joe", box)
    append(box.encode(), [b"a\n"])
    assert synced == [f"{tmp_path}/spool".encode()]
    assert (tmp_path / "spool" / "joe").read_bytes() == b"a\n"


@pytest.mark.parametrize("kind", ["fifo", "fifo with a reader", "directory", "device", "no directory"])
def test_what_is_no_file_is_refused_unwritten(box: str, tmp_path: Path, kind: str) -> None:
    path, reader = box, -1
    if kind.startswith("fifo"):
        os.mkfifo(box)
        if "reader" in kind:
            reader = os.open(box, os.O_RDONLY | os.O_NONBLOCK)
    elif kind == "directory":
        os.mkdir(box)
    elif kind == "device":
        path = "/dev/null"
    else:
        path = f"{tmp_path}/none/Mailbox"
    reason = {
        "fifo": b"device not configured",
        "directory": b"is a directory",
        "no directory": b"file does not exist",
    }.get(kind, b"not a regular file")
    assert refusal(path, [b"x"]) == b"Unable to open %s: %s. (#4.2.1)" % (path.encode(), reason)
    if reader >= 0:
        assert os.read(reader, 100) == b""
        os.close(reader)


def test_somebody_elses_lock_is_waited_for(box: str) -> None:
    append(box.encode(), [b"a\n"])
    holder = os.open(box, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    waiting = os.fork()
    if waiting == 0:
        code = 1
        try:
            os.close(holder)
            append(box.encode(), [b"b\n"])
            code = 0
        finally:
            os._exit(code)
    try:
        wait_for(lambda: f"-> FLOCK  ADVISORY  WRITE {waiting} " in Path("/proc/locks").read_text(), "a waiter")
        assert Path(box).read_bytes() == b"a\n"
    finally:
        os.close(holder)
    assert os.waitpid(waiting, 0)[1] == 0
    assert Path(box).read_bytes() == b"a\nb\n"


def test_a_lock_that_never_ends_is_temporary(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append(box.encode(), [b"a\n"])
    monkeypatch.setattr(mbox, "PATIENCE", 1)
    holder = os.open(box, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        assert refusal(box, [b"b\n"]) == b"File has been locked for 1 seconds straight. (#4.3.0)"
    finally:
        os.close(holder)
    assert Path(box).read_bytes() == b"a\n"


def test_a_file_that_was_replaced_while_we_waited_gets_nothing(box: str) -> None:
    """A reader that writes a new mbox and renames it into place holds the lock on the old one."""
    append(box.encode(), [b"a\n"])
    replaced = threading.Event()

    def lock(descriptor: int) -> bool:
        if not replaced.is_set():
            replaced.set()
            Path(box + ".new").write_bytes(b"new\n")
            os.rename(box + ".new", box)
        return flock(descriptor)

    append(box.encode(), [b"b\n"], lock)
    assert Path(box).read_bytes() == b"new\nb\n"


def test_a_file_that_was_removed_while_we_waited_is_made_again(box: str) -> None:
    append(box.encode(), [b"a\n"])
    removed = threading.Event()

    def lock(descriptor: int) -> bool:
        if not removed.is_set():
            removed.set()
            os.unlink(box)
        return flock(descriptor)

    append(box.encode(), [b"b\n"], lock)
    assert Path(box).read_bytes() == b"b\n"


def record_lock(path: str) -> subprocess.Popen[bytes]:
    """A neighbour that has a record lock on this file until its input ends."""
    words = "import fcntl, sys; f = open(sys.argv[1], 'rb+'); fcntl.lockf(f, 2); print(flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", words, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.stdout.close()
    return holder


def release(holder: subprocess.Popen[bytes]) -> None:
    assert holder.stdin is not None
    holder.stdin.close()
    holder.wait()


def delivering(box: str, monkeypatch: pytest.MonkeyPatch) -> threading.Thread:
    """A delivery that has found a neighbour's lock, and will try again soon."""
    tried = threading.Event()
    sleep = clock.sleep

    def wait(seconds: float) -> None:
        tried.set()
        sleep(seconds)

    monkeypatch.setattr(clock, "sleep", wait)
    thread = threading.Thread(target=append, args=(box.encode(), [b"b\n"], lambda _: True))  # alarms need a main thread
    thread.start()
    assert tried.wait(30)
    return thread


def test_a_record_lock_is_waited_for(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append(box.encode(), [b"a\n"])
    holder = record_lock(box)
    thread = delivering(box, monkeypatch)
    assert Path(box).read_bytes() == b"a\n"
    assert not os.path.exists(box + ".lock")
    release(holder)
    thread.join()
    assert Path(box).read_bytes() == b"a\nb\n"


def test_a_dot_lock_is_waited_for_with_no_other_lock_in_hand(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour that has the dot-lock, and waits for flock while we wait for him, must get it."""
    append(box.encode(), [b"a\n"])
    Path(box + ".lock").write_bytes(b"0")
    thread = delivering(box, monkeypatch)
    neighbour = os.open(box, os.O_RDWR)
    fcntl.flock(neighbour, fcntl.LOCK_EX)
    fcntl.lockf(neighbour, fcntl.LOCK_EX)
    assert Path(box).read_bytes() == b"a\n"
    os.close(neighbour)
    os.unlink(box + ".lock")
    thread.join()
    assert Path(box).read_bytes() == b"a\nb\n"


@pytest.mark.parametrize("kind", ["record lock", "dot-lock"])
def test_no_neighbours_lock_is_waited_for_for_ever(box: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append(box.encode(), [b"a\n"])
    monkeypatch.setattr(mbox, "PATIENCE", 0.2)
    holder = record_lock(box) if kind == "record lock" else None
    if holder is None:
        Path(box + ".lock").write_bytes(b"0")
    assert refusal(box, [b"b\n"]) == b"File has been locked for 0 seconds straight. (#4.3.0)"
    assert Path(box).read_bytes() == b"a\n"
    if holder is not None:
        release(holder)


def test_while_we_write_all_three_locks_are_ours(box: str) -> None:
    def pieces() -> Iterator[bytes]:
        words = "import fcntl, sys; f = open(sys.argv[1], 'rb+'); getattr(fcntl, sys.argv[2])(f, 6)"
        for kind in ("flock", "lockf"):
            done = subprocess.run([sys.executable, "-c", words, box, kind], capture_output=True, check=False)
            assert b"BlockingIOError" in done.stderr
        assert Path(box + ".lock").read_bytes().startswith(b"%d:" % os.getpid())
        yield b"a\n"

    append(box.encode(), pieces())
    assert os.listdir(os.path.dirname(box)) == ["Mailbox"]


def test_what_fails_gives_the_dot_lock_back(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: bytes, _descriptor: int) -> bool:
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(mbox, "is_named", fail)
    assert refusal(box, [b"b\n"]) == b"Unable to open %s: input/output error. (#4.2.1)" % box.encode()
    assert os.listdir(os.path.dirname(box)) == ["Mailbox"]


def test_many_at_once_lose_and_mix_nothing(box: str) -> None:
    children = []
    for number in range(12):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for _ in range(10):
                    append(box.encode(), [b"%d " % number, b"x" * 5000, b" %d\n" % number])
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 12
    lines = Path(box).read_bytes().split(b"\n")[:-1]
    assert len(lines) == 120
    assert all(line == b"%s %s %s" % (line[:2].strip(), b"x" * 5000, line[:2].strip()) for line in lines)
