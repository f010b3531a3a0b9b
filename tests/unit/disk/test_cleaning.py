"""What qmail-clean removes."""

import os

import pytest

from qmailpy.disk.home import Home
from qmailpy.disk.queue import cleaning
from qmailpy.disk.queue.paths import Paths
from tests.queue_support import new_home

HOURS = 3600


@pytest.fixture
def paths(tmp_path: object) -> Paths:
    return Paths(Home(os.fsencode(new_home(tmp_path))))


def make(*names: bytes) -> None:
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))


def test_foop_removes_intd_and_mess_and_nothing_else(paths: Paths) -> None:
    make(paths.intd(30), paths.mess(30), paths.info(30))
    cleaning.remove_message(paths, 30)
    assert not os.path.lexists(paths.intd(30))
    assert not os.path.lexists(paths.mess(30))
    assert os.path.lexists(paths.info(30))
    cleaning.remove_message(paths, 30)


def test_todo_removes_intd_and_todo_and_nothing_else(paths: Paths) -> None:
    make(paths.intd(30), paths.todo(30), paths.mess(30))
    cleaning.remove_todo(paths, 30)
    assert not os.path.lexists(paths.intd(30))
    assert not os.path.lexists(paths.todo(30))
    assert os.path.lexists(paths.mess(30))
    cleaning.remove_todo(paths, 30)


def test_what_cannot_be_removed_is_an_error(paths: Paths) -> None:
    os.mkdir(paths.mess(30))
    os.mkdir(paths.todo(30))
    with pytest.raises(OSError):
        cleaning.remove_message(paths, 30)
    with pytest.raises(OSError):
        cleaning.remove_todo(paths, 30)


def test_pid_files_go_after_36_hours_and_not_before(paths: Paths) -> None:
    now = 1_800_000_000
    for name, age in ((b"old", 36 * HOURS), (b"older", 90 * HOURS), (b"young", 36 * HOURS - 1), (b"new", 0)):
        make(paths.folder(b"pid/" + name))
        os.utime(paths.folder(b"pid/" + name), (now - age, now))
    os.mkdir(paths.folder(b"pid/folder"))
    os.utime(paths.folder(b"pid/folder"), (0, 0))
    assert cleaning.collect_pid(paths, now) == 2
    assert sorted(os.listdir(paths.folder(b"pid"))) == [b"folder", b"new", b"young"]


def test_no_pid_folder_is_nothing_to_collect(paths: Paths) -> None:
    os.rmdir(paths.folder(b"pid"))
    assert cleaning.collect_pid(paths, 0) == 0
