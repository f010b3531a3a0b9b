"""Uninstall: what goes, what stays, and that it refuses while the home's programs run."""

import fcntl
import os

import pytest

from qmailpy.install import removal
from qmailpy.verdict import Die
from tests.support import read
from tests.unit.install.conftest import Installed

LOCKS = [("queue/lock/sendmutex", b"qmail-send"), ("door/lock", b"qmail-queued")]


def test_uninstall_leaves_mail_and_configuration(home: Installed) -> None:
    with open(home.at("queue/mess/3/3"), "wb") as file:
        file.write(b"a message")
    removal.uninstall(home.path, home.said.append)
    left = set(os.listdir(home.at()))
    assert left == {"alias", "auth", "control", "door", "drop", "home", "queue", "users"}
    assert read(home.at("queue/mess/3/3")) == b"a message"
    assert read(home.at("control/me")) == b"mx.example.org\n"


def test_setup_after_uninstall_finds_everything_again(home: Installed) -> None:
    removal.uninstall(home.path, home.said.append)
    home.setup()
    assert home.check().faults == []


@pytest.mark.parametrize(("lock", "program"), LOCKS)
def test_a_running_system_is_not_uninstalled(home: Installed, lock: str, program: bytes) -> None:
    before = sorted(os.listdir(home.at("bin")))
    with open(home.at(lock), "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Die) as died:
            removal.uninstall(home.path, home.said.append)
    assert died.value.text.startswith(program + b": still running in " + home.path + b"; stop it first")
    assert b"FORCE=all" in died.value.text
    assert b"\n" not in died.value.text
    assert sorted(os.listdir(home.at("bin"))) == before
    assert home.check().faults == []


def test_a_running_system_is_uninstalled_by_force_and_that_is_said(home: Installed) -> None:
    said: list[str] = []
    with open(home.at(LOCKS[0][0]), "rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        removal.uninstall(home.path, said.append, None)
    assert not os.path.exists(home.at("bin"))
    assert [line for line in said if "qmail-send: still running" in line]


def test_the_locks_are_free_again_afterwards(home: Installed) -> None:
    removal.uninstall(home.path, home.said.append)
    for lock, _ in LOCKS:
        with open(home.at(lock), "rb+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_directory_without_a_library_is_refused(tmp_path: object) -> None:
    with pytest.raises(Die) as died:
        removal.uninstall(os.fsencode(f"{tmp_path}"), print)
    assert b"is not a home that setup made" in died.value.text
