"""drop/: leaving a message, and looking at what was left."""

import os
import socket

import pytest

from qmailpy.disk import drop
from qmailpy.disk.drop import Dropping, Unfit
from tests.support import NOBODY

NOW = 1_800_000_000


@pytest.fixture
def folder(tmp_path: object) -> bytes:
    path = f"{tmp_path}/drop"
    os.makedirs(f"{path}/aside")
    return path.encode()


def leave(folder: bytes, content: bytes = b"text") -> bytes:
    dropping = Dropping(folder)
    dropping.write(content)
    dropping.finish()
    return drop.waiting(folder, NOW)[-1]


def test_what_is_left_is_found_with_its_owner(folder: bytes) -> None:
    old = os.umask(0o077)
    try:
        name = leave(folder)
    finally:
        os.umask(old)
    found = drop.open_found(folder, name)
    try:
        assert (found.uid, found.size, found.name) == (os.geteuid(), 4, name)
        assert os.read(found.descriptor, 10) == b"text"
        assert os.fstat(found.descriptor).st_mode & 0o777 == 0o644, "the door is another user"
    finally:
        os.close(found.descriptor)
    drop.remove(folder, name)
    assert drop.waiting(folder, NOW) == []


def test_the_oldest_comes_first(folder: bytes) -> None:
    names = [leave(folder) for _ in range(3)]
    for age, name in zip((5, 9, 7), names, strict=True):
        os.utime(folder + b"/" + name, (NOW - age, NOW - age))
    assert drop.waiting(folder, NOW) == [names[1], names[2], names[0]]


def test_what_is_not_finished_is_not_found_and_goes_after_36_hours(folder: bytes) -> None:
    dropping = Dropping(folder)
    dropping.write(b"half")
    os.utime(dropping._temporary, (NOW, NOW))
    assert drop.waiting(folder, NOW + 129599) == []
    assert len(os.listdir(folder)) == 2
    assert drop.waiting(folder, NOW + 129600) == []
    assert os.listdir(folder) == [b"aside"]
    dropping.abandon()


def test_abandoning_leaves_nothing(folder: bytes) -> None:
    dropping = Dropping(folder)
    dropping.abandon()
    dropping.abandon()
    assert os.listdir(folder) == [b"aside"]


def test_names_cannot_be_guessed(folder: bytes) -> None:
    names = {leave(folder) for _ in range(20)}
    assert len(names) >= 1
    assert all(len(name) == 32 for name in os.listdir(folder) if name != b"aside")
    assert len(os.listdir(folder)) == 21


def test_what_is_no_regular_file_with_one_name_is_unfit(folder: bytes) -> None:
    outside = folder + b"/../outside"
    with open(outside, "wb") as file:
        file.write(b"secret")
    os.symlink(outside, folder + b"/symlink")
    os.symlink(b"/nowhere", folder + b"/dangling")
    os.link(outside, folder + b"/hardlink")
    os.mkfifo(folder + b"/fifo")
    os.mkdir(folder + b"/folder")
    with socket.socket(socket.AF_UNIX) as listener:
        old = os.getcwdb()
        os.chdir(folder)
        try:
            listener.bind("socket")
        finally:
            os.chdir(old)
    names = set(drop.waiting(folder, NOW))
    assert names == {b"symlink", b"dangling", b"hardlink", b"fifo", b"folder", b"socket"}
    for name in names:
        with pytest.raises(Unfit) as caught:
            drop.open_found(folder, name)
        assert caught.value.text
        drop.set_aside(folder, name)
    assert drop.waiting(folder, NOW) == []
    assert set(os.listdir(folder + b"/aside")) == names


def test_one_that_has_gone_is_not_unfit(folder: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        drop.open_found(folder, b"gone")


def test_no_drop_folder_is_an_empty_one_for_the_door_and_an_error_for_the_caller(tmp_path: object) -> None:
    missing = f"{tmp_path}/missing".encode()
    assert drop.waiting(missing, NOW) == []
    assert drop.changed(missing) == 0
    with pytest.raises(FileNotFoundError):
        Dropping(missing)


def test_a_change_is_noticed(folder: bytes) -> None:
    os.utime(folder, ns=(1, 1))
    before = drop.changed(folder)
    leave(folder)
    assert drop.changed(folder) != before


@pytest.mark.parametrize("full", [False, True])
def test_a_strangers_directory_that_cannot_be_moved_out_stays_under_a_hidden_name(folder: bytes, full: bool) -> None:
    """Nobody may move a directory that he cannot write to into another one; nor remove it, if it is full."""
    os.mkdir(folder + b"/theirs")
    if full:
        os.mkdir(folder + b"/theirs/more")
    os.chmod(folder + b"/theirs", 0o555)
    before = os.getcwdb()
    os.chdir(folder)  # the directories above are closed to nobody
    if os.geteuid() == 0:
        for name in (b".", b"aside"):
            os.chown(name, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        drop.set_aside(b".", b"theirs")
        assert drop.waiting(b".", NOW) == []
        (hidden,) = [name for name in os.listdir(b".") if name != b"aside"]
        assert hidden.startswith(b".")
        assert hidden.endswith(b"-theirs")
        assert drop.waiting(b".", NOW + 1_000_000_000) == [], "it is looked at no more, and hinders nothing"
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        os.chdir(before)
        for name in os.listdir(folder):
            os.chmod(folder + b"/" + name, 0o755)


def test_without_a_place_to_set_aside_it_is_an_error_and_what_has_gone_is_gone(folder: bytes) -> None:
    os.rmdir(folder + b"/aside")
    os.mkfifo(folder + b"/fifo")
    with pytest.raises(NotADirectoryError):
        drop.set_aside(folder, b"fifo")
    with pytest.raises(FileNotFoundError):
        drop.set_aside(folder, b"gone")
