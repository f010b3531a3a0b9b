"""drop/ that the door may read and not change: nothing is delivered twice, and the log stays short.

A file system that became read-only behaves so; here the directory is closed: to root by its immutable bit.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.queue_support import Door, conversation, new_home, open_door, queued
from tests.support import has_program, read, wait_for, write

# A door that looks often, counts its looks, and remembers nothing that it could not move
COUNTING = """
from qmailpy.disk import drop
from qmailpy.receive.door import taking
server._CHORES, server._LOOKS, taking._REST, taking._REMEMBERED = 0.05, 1, 0, 0
waiting = drop.waiting
def counted(folder, now):
    with open(folder + b"/../../looks", "ab") as file:
        file.write(b".")
    return waiting(folder, now)
drop.waiting = counted
"""


@pytest.fixture
def home(tmp_path: object) -> str:
    return new_home(tmp_path)


@contextmanager
def closed(folder: str) -> Iterator[None]:
    """Nobody can make, rename or remove a name in it."""
    if os.geteuid() != 0:
        os.chmod(folder, 0o555)
    elif not has_program("chattr") or subprocess.run(["chattr", "+i", folder], check=False).returncode:
        pytest.skip("needs a file system with immutable files")
    try:
        yield
    finally:
        if os.geteuid() != 0:
            os.chmod(folder, 0o1733)
        else:
            subprocess.run(["chattr", "-i", folder], check=True)


def more_looks(home: str, count: int = 5) -> None:
    path = f"{home}/../looks"
    before = os.path.getsize(path)
    wait_for(lambda: os.path.getsize(path) >= before + count, f"{count} more looks into drop/")


def log_of(door: Door) -> bytes:
    return read(door.log)


def test_what_was_taken_in_and_cannot_be_removed_is_not_delivered_again(home: str) -> None:
    for name in ("one", "two", "three"):
        write(f"{home}/drop/{name}", conversation())
    with open_door(home) as first:  # the home's directories are all there; then nothing moves any more
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        first.stop()
    assert len(queued(home)) == 3
    for name in ("four", "five", "six"):
        write(f"{home}/drop/{name}", conversation())
    with closed(f"{home}/drop"), open_door(home, settings=COUNTING) as door:
        wait_for(lambda: b"cannot be removed" in log_of(door), "the warning")
        more_looks(home)
        assert len(queued(home)) == 4, "one of them, once; the others wait for it to go"
        assert len(os.listdir(f"{home}/drop")) == 4
        assert len(log_of(door).splitlines()) == 1
    with open_door(home, settings=COUNTING):
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        assert 6 <= len(queued(home)) <= 7, "a door that was started anew knows nothing of the one"


def test_a_drop_that_opens_again_is_taken_in_to_the_end(home: str) -> None:
    for name in ("one", "two", "three"):
        write(f"{home}/drop/{name}", conversation())
    with closed(f"{home}/drop"):
        door = Door(home, settings=COUNTING)
        wait_for(lambda: b"cannot be removed" in log_of(door), "the warning")
        more_looks(home)
    try:
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        assert len(queued(home)) == 3
    finally:
        door.stop()


def test_rubbish_that_cannot_be_moved_keeps_no_message_waiting(home: str) -> None:
    os.rmdir(f"{home}/drop/aside")
    for number in range(30):
        write(f"{home}/drop/rubbish-{number}", b"rubbish")
    write(f"{home}/drop/good", conversation())
    with open_door(home, settings=COUNTING.replace("taking._REMEMBERED = 0.05, 1, 0, 0", "taking._X = 0.05, 1, 0, 0")):
        wait_for(lambda: len(queued(home)) == 1, "the good one")
        more_looks(home)
        assert len(queued(home)) == 1
        lines = len(read(f"{home}/../door.log").splitlines())
        more_looks(home)
        assert len(read(f"{home}/../door.log").splitlines()) == lines, "what is known to be stuck is not said again"
