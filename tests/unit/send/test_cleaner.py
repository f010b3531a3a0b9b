import os
from collections.abc import Iterator

import pytest

from qmailpy.send.cleaner import Cleaner
from qmailpy.system.loop import Loop
from qmailpy.wire.cleaning import MESSAGE, TODO


class Talk:
    """A cleaner's client, and the other ends of its pipes."""

    def __init__(self) -> None:
        self.commands, to_clean = os.pipe()
        from_clean, self.answers = os.pipe()
        self._ours = [to_clean, from_clean]
        self.loop = Loop()
        self.lost = 0
        self.answered: list[tuple[int, bool]] = []
        self.cleaner = Cleaner(self.loop, to_clean, from_clean, self._lose)

    def _lose(self) -> None:
        self.lost += 1

    def ask(self, number: int, word: bytes = MESSAGE) -> None:
        self.cleaner.ask(word, number, lambda done: self.answered.append((number, done)))

    def turn(self) -> None:
        self.cleaner.flush()
        self.loop.turn(0.01)  # what was sent a moment ago waits for the next a moment longer

    def answer(self, answers: bytes) -> None:
        os.write(self.answers, answers)
        self.loop.turn(0)

    def close(self) -> None:
        for end in (self.commands, self.answers, *self._ours):
            try:
                os.close(end)
            except OSError:
                continue


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    yield talk
    talk.close()


def test_requests_go_out_together_and_answers_find_their_way(talk: Talk) -> None:
    talk.ask(1, TODO)
    talk.ask(2)
    talk.ask(1)
    talk.turn()
    assert os.read(talk.commands, 100) == b"todo/1\0foop/2\0foop/1\0"
    assert talk.cleaner.pending == 3
    talk.answer(b"+")
    assert talk.answered == [(1, True)]
    assert talk.cleaner.is_asked_about(1)
    talk.answer(b"!+")
    assert talk.answered == [(1, True), (2, False), (1, True)]
    assert not talk.cleaner.is_asked_about(1)
    assert talk.cleaner.pending == 0


def test_one_answer_may_lead_to_the_next_request(talk: Talk) -> None:
    talk.cleaner.ask(TODO, 1, lambda _: talk.ask(1))
    talk.turn()
    assert os.read(talk.commands, 100) == b"todo/1\0"
    talk.answer(b"+")
    talk.turn()
    assert os.read(talk.commands, 100) == b"foop/1\0"


def test_an_answer_that_nobody_asked_for_is_a_loss(talk: Talk) -> None:
    talk.ask(1)
    talk.turn()
    talk.answer(b"++")
    assert (talk.lost, talk.answered, talk.cleaner.alive) == (1, [], False)


def test_an_end_is_a_loss_and_told_once(talk: Talk) -> None:
    talk.ask(1)
    os.close(talk.answers)
    talk.turn()
    talk.ask(2)
    talk.turn()
    assert (talk.lost, talk.cleaner.pending) == (1, 0)


def test_nobody_who_reads_is_a_loss(talk: Talk) -> None:
    os.close(talk.commands)
    talk.ask(1)
    talk.turn()
    assert talk.lost == 1


def test_a_cleaner_that_reads_slowly_gets_everything(talk: Talk) -> None:
    for number in range(20000):  # more than a pipe holds
        talk.ask(number)
    heard = b""
    while heard.count(b"\0") < 20000:
        talk.turn()
        heard += os.read(talk.commands, 65536)
    assert heard == b"".join(b"foop/%d\0" % number for number in range(20000))
