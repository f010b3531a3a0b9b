import os
from collections.abc import Iterator

import pytest

from qmailpy.system.loop import Loop
from qmailpy.system.neighbour import Neighbour, Pause


class Street:
    """A neighbour, and the other ends of its pipes."""

    def __init__(self, pause: float = 0.0) -> None:
        self.commands, to_it = os.pipe()
        from_it, self.reports = os.pipe()
        self._ours = [to_it, from_it]
        self.loop = Loop()
        self.heard: list[bytes] = []
        self.lost = 0
        self.neighbour = Neighbour(self.loop, (to_it, from_it), self.heard.append, self._lose, pause)

    def _lose(self) -> None:
        self.lost += 1

    def close(self) -> None:
        for end in (self.commands, self.reports, *self._ours):
            try:
                os.close(end)
            except OSError:
                continue


@pytest.fixture
def street() -> Iterator[Street]:
    street = Street()
    yield street
    street.close()


def test_what_is_said_goes_out_together_and_what_it_says_comes_in(street: Street) -> None:
    street.neighbour.say(b"one ")
    street.neighbour.say(b"two")
    assert street.neighbour.unsent == 7
    street.neighbour.flush()
    assert os.read(street.commands, 100) == b"one two"
    os.write(street.reports, b"yes")
    street.loop.turn(0)
    assert (street.heard, street.neighbour.unsent, street.lost) == ([b"yes"], 0, 0)


def test_what_its_pipe_does_not_take_waits(street: Street) -> None:
    text = os.urandom(300_000)
    street.neighbour.say(text)
    street.neighbour.flush()
    assert street.neighbour.unsent > 0
    found = b""
    while len(found) < len(text):
        found += os.read(street.commands, 65536)
        street.loop.turn(0)
    assert found == text


@pytest.mark.parametrize("end", ["commands", "reports"])
def test_its_loss_is_told_once_whichever_pipe_shows_it(street: Street, end: str) -> None:
    os.close(getattr(street, end))
    street.neighbour.say(b"are you there?")
    street.neighbour.flush()
    street.loop.turn(0)
    street.neighbour.say(b"hello?")
    street.neighbour.flush()
    assert (street.lost, street.neighbour.alive, street.neighbour.unsent) == (1, False, 0)


def test_one_that_is_given_up_is_not_heard_any_more(street: Street) -> None:
    street.neighbour.give_up()
    os.write(street.reports, b"wait!")
    street.loop.turn(0)
    assert (street.lost, street.heard) == (1, [])


def test_a_busy_neighbour_is_woken_once_for_several_things() -> None:
    street = Street(0.01)
    for text in (b"one ", b"two ", b"three"):
        street.neighbour.say(text)
        street.neighbour.flush()
    assert os.read(street.commands, 100) == b"one "
    street.loop.turn(1)
    assert os.read(street.commands, 100) == b"two three"
    street.close()


def test_a_pause_delays_and_forgets_nothing() -> None:
    loop = Loop()
    done: list[int] = []
    pause = Pause(loop, 0.01, lambda: done.append(1))
    for _ in range(3):
        pause.do()
    assert len(done) == 1
    loop.turn(1)
    assert len(done) == 2
    loop.turn(0.03)
    assert len(done) == 2
    pause.do()
    assert len(done) == 3
