"""What a message's number may not bring along from another message."""

import os

import pytest

from qmailpy.disk.home import Home
from qmailpy.disk.queue.claiming import Claiming
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from tests.queue_support import new_home
from tests.support import write

NUMBER = 26


class Orphan:
    """info/N, local/N and bounce/N without mess/N."""

    def __init__(self, home: str) -> None:
        paths = Paths(Home(os.fsencode(home)))
        self.mess = os.fsdecode(paths.mess(NUMBER))
        self.files = [os.fsdecode(path) for path in (paths.info(NUMBER), paths.split(b"local", NUMBER))]
        self.files.append(os.fsdecode(paths.bounce(NUMBER)))
        for path in self.files:
            write(path, b"Fa@b\0")
        self.claiming = Claiming(paths)
        self.claiming.orphan(NUMBER)

    @property
    def left(self) -> int:
        return sum(map(os.path.exists, self.files))


@pytest.fixture
def orphan(tmp_path: object) -> Orphan:
    return Orphan(new_home(tmp_path))


def test_an_orphan_is_buried_with_everything_it_has(orphan: Orphan) -> None:
    orphan.claiming.bury(NUMBER)
    assert orphan.left == 0
    assert NUMBER not in orphan.claiming.half


def test_one_whose_message_has_come_back_is_not_buried(orphan: Orphan) -> None:
    write(orphan.mess, b"text")
    orphan.claiming.bury(NUMBER)
    assert orphan.left == 3


def test_a_new_message_of_its_number_finds_nothing_of_it(orphan: Orphan) -> None:
    orphan.claiming.forget(NUMBER)  # as every new message does
    assert orphan.left == 0
    orphan.claiming.gone(NUMBER)
    write(orphan.files[0], b"Fnew@b\0")
    orphan.claiming.bury(NUMBER)
    assert orphan.left == 1, "the new message is not the orphan"


def test_what_cannot_be_removed_is_trouble_and_tried_again(orphan: Orphan) -> None:
    os.unlink(orphan.files[1])
    os.mkdir(orphan.files[1])
    with pytest.raises(Trouble):
        orphan.claiming.bury(NUMBER)
    os.rmdir(orphan.files[1])
    orphan.claiming.bury(NUMBER)
    assert orphan.left == 0


def test_an_envelope_with_a_number_of_a_message_that_was_not_looked_at_yet_is_another_messages(orphan: Orphan) -> None:
    claiming = orphan.claiming
    claiming.half.clear()
    claiming.unloaded.add(NUMBER)
    with pytest.raises(Trouble):
        claiming.claim(NUMBER)  # there is none; but it was looked for
    assert not claiming.unloaded
    claiming.forget(NUMBER)
    assert orphan.left == 0
