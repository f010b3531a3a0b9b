"""Delivery into a Maildir: whole and on disk, or nothing at all."""

import errno
import os
import posix
import re
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.disk import durable, maildir
from qmailpy.disk.maildir import deliver, fresh_name, make, name_of
from qmailpy.verdict import TEMP, Die

TROUBLE = b"Temporary error on maildir delivery. (#4.3.0)"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    path = f"{tmp_path}/Maildir"
    make(path.encode())
    return path + "/"


def everything(folder: str) -> dict[str, bytes]:
    found = {}
    for place in ("tmp", "new", "cur"):
        for name in os.listdir(folder + place):
            found[f"{place}/{name}"] = Path(folder, place, name).read_bytes()
    return found


def refusal(folder: str, pieces: Iterator[bytes] | list[bytes]) -> bytes:
    with pytest.raises(Die) as death:
        deliver(folder.encode(), pieces)
    assert death.value.verdict == TEMP
    return death.value.text


def test_a_name_holds_time_process_count_and_host() -> None:
    assert name_of(1795228116_123456789, 1234, 7, b"mx") == b"1795228116.M123456P1234Q7.mx"
    assert name_of(1795228116_000001999, 1, 0, b"mx") == b"1795228116.M000001P1Q0.mx"


def test_a_hosts_name_makes_no_path_and_no_flags() -> None:
    assert name_of(10**9, 1, 0, b"../a/b:2,S") == b"1.M000000P1Q0...\\057a\\057b\\0722,S"
    assert name_of(10**9, 1, 0, b"") == b"1.M000000P1Q0.localhost"
    assert len(name_of(10**9, 1, 0, b"x" * 1000)) < 100


def test_a_fresh_name_is_of_this_process_and_host() -> None:
    pattern = rb"\d+\.M\d{6}P%dQ3\.%s" % (os.getpid(), re.escape(os.uname().nodename.encode()))
    assert re.fullmatch(pattern, fresh_name(3))


def test_a_message_is_one_private_file_in_new(folder: str) -> None:
    mask = os.umask(0)
    try:
        deliver(folder.encode(), [b"head\n", b"body\r\0\xff"])
    finally:
        os.umask(mask)
    ((name, content),) = everything(folder).items()
    assert name.startswith("new/")
    assert content == b"head\nbody\r\0\xff"
    assert stat.S_IMODE(os.stat(folder + name).st_mode) == 0o600
    assert os.stat(folder + name).st_nlink == 1


def test_a_large_message_comes_whole(folder: str) -> None:
    deliver(folder.encode(), (bytes((number,)) * 65536 for number in range(100)))
    (content,) = everything(folder).values()
    assert content == b"".join(bytes((number,)) * 65536 for number in range(100))


def test_many_in_one_microsecond_get_names_of_their_own(folder: str) -> None:
    def frozen(count: int) -> bytes:
        return name_of(1795228116_123456000, 1234, count, b"mx")

    for number in range(50):
        deliver(folder.encode(), [b"%d" % number], 0, frozen)
    assert sorted(everything(folder).values(), key=int) == [b"%d" % number for number in range(50)]


def test_many_at_once_get_names_of_their_own(folder: str) -> None:
    pids = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for again in range(5):
                    deliver(folder.encode(), [b"%d" % (number * 5 + again)])
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    assert sorted(everything(folder).values(), key=int) == [b"%d" % number for number in range(40)]


def test_a_name_in_new_is_never_overwritten(folder: str) -> None:
    Path(folder, "new", "taken0").write_bytes(b"old")
    deliver(folder.encode(), [b"young"], 0, lambda count: b"taken%d" % count)
    assert everything(folder) == {"new/taken0": b"old", "new/taken1": b"young"}


def test_what_lies_in_tmp_is_never_followed(folder: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"dear")
    os.symlink(victim, folder + "tmp/taken0")
    deliver(folder.encode(), [b"young"], 0, lambda count: b"taken%d" % count)
    assert victim.read_bytes() == b"dear"
    assert Path(folder, "new", "taken1").read_bytes() == b"young"


def test_no_free_name_is_temporary(folder: str) -> None:
    Path(folder, "tmp", "taken").touch()
    with pytest.raises(Die) as death:
        deliver(folder.encode(), [b"x"], 0, lambda _count: b"taken")
    assert death.value.text == TROUBLE
    os.unlink(folder + "tmp/taken")
    Path(folder, "new", "taken").touch()
    with pytest.raises(Die):
        deliver(folder.encode(), [b"x"], 0, lambda _count: b"taken")
    assert everything(folder) == {"new/taken": b""}


@pytest.mark.parametrize("what", ["missing", "a file", "below a file"])
def test_no_maildir_is_said(tmp_path: Path, what: str) -> None:
    if what != "missing":
        (tmp_path / "M").touch()
    path = f"{tmp_path}/M/M/" if what == "below a file" else f"{tmp_path}/M/"
    assert refusal(path, [b"x"]) == b"Unable to chdir to maildir. (#4.2.1)"


@pytest.mark.parametrize("part", ["new", "tmp"])
def test_half_a_maildir_is_temporary(folder: str, part: str) -> None:
    os.rmdir(folder + part)
    assert refusal(folder, [b"x"]) == TROUBLE
    assert os.listdir(folder + ("tmp" if part == "new" else "new")) == []


def test_a_file_in_the_place_of_new_is_temporary(folder: str) -> None:
    os.rmdir(folder + "new")
    Path(folder, "new").touch()
    assert refusal(folder, [b"x"]) == TROUBLE


def test_a_full_disk_leaves_nothing(folder: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert refusal(folder, [b"x" * 65536] * 2) == TROUBLE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert everything(folder) == {}


@pytest.mark.parametrize("which", ["sync_file", "sync_open_directory"])
def test_a_failing_fsync_leaves_nothing_and_is_not_repeated(
    folder: str, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr(durable, which, fail)
    assert refusal(folder, [b"x"]) == TROUBLE
    assert everything(folder) == {}
    assert len(calls) == 1


def test_what_reading_raises_comes_through_and_leaves_nothing(folder: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise KeyError("reading")

    with pytest.raises(KeyError):
        deliver(folder.encode(), pieces())
    assert everything(folder) == {}


def test_a_file_system_without_links_renames(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(posix, "link", fail)
    deliver(folder.encode(), [b"x"])
    assert list(everything(folder).values()) == [b"x"]
    assert os.listdir(folder + "tmp") == []


def test_a_day_is_enough(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maildir, "DEATH", 0.05)
    never = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"x"
        never.wait(30)
        yield b"y"

    assert refusal(folder, pieces()) == b"Timeout on maildir delivery. (#4.3.0)"
    assert everything(folder) == {}


def test_no_descriptor_is_left_open(folder: str, tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    deliver(folder.encode(), [b"x"])
    refusal(f"{tmp_path}/nowhere/", [b"x"])
    os.rmdir(folder + "tmp")
    refusal(folder, [b"x"])
    assert os.listdir("/proc/self/fd") == before


def test_a_maildir_is_four_private_directories(tmp_path: Path) -> None:
    for path in (f"{tmp_path}/a", f"{tmp_path}/b/"):
        make(path.encode())
        assert sorted(os.listdir(path)) == ["cur", "new", "tmp"]
        for part in ("", "/cur", "/new", "/tmp"):
            assert stat.S_IMODE(os.stat(path + part).st_mode) == 0o700


def test_what_exists_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(Die) as death:
        make(f"{tmp_path}/a".encode())
    assert death.value.text == b"unable to mkdir " + str(tmp_path).encode() + b"/a: file already exists"
