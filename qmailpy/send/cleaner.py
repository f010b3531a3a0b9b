"""qmail-clean's client: requests go out as they come, answers come back in their order; nobody waits (spec/03 8).

A C qmail-clean works as well: it answers one after the other from its pipe.
"""

from collections import Counter, deque

from qmailpy.system.loop import Loop
from qmailpy.system.neighbour import Neighbour
from qmailpy.wire import cleaning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Answered = Callable[[bool], None]

BUSY = 200  # requests under way at which nothing new should be begun
_PAUSE = 0.005  # seconds: nobody is in a hurry to see a message go, and each waking costs two processes something


class Cleaner:
    """What qmail-clean was asked."""

    def __init__(self, loop: Loop, commands: int, answers: int, lost: "Callable[[], None]") -> None:
        """commands, answers: descriptors; lost: called once, when qmail-clean is gone."""
        self._lost = lost
        self._neighbour = Neighbour(loop, (commands, answers), self._hear, self._lose, _PAUSE)
        self._asked: deque[tuple[int, Answered]] = deque()
        self._numbers: Counter[int] = Counter()
        self.flush = self._neighbour.flush

    @property
    def alive(self) -> bool:
        """Whether there is a qmail-clean."""
        return self._neighbour.alive

    @property
    def pending(self) -> int:
        """Requests without an answer."""
        return len(self._asked)

    def is_asked_about(self, number: int) -> bool:
        """Whether a request about this message is under way: its number may be another message's soon."""
        return number in self._numbers

    def ask(self, word: bytes, number: int, answered: "Answered") -> None:
        """answered(done) comes later, or never if qmail-clean is lost.  word: MESSAGE or TODO of wire/cleaning."""
        if not self.alive:
            return
        self._asked.append((number, answered))
        self._numbers[number] += 1
        self._neighbour.say(cleaning.encode(word, number))

    def _hear(self, answers: bytes) -> None:
        if len(answers) > len(self._asked):  # speaking without being asked
            self._neighbour.give_up()
            return
        for answer in answers:
            number, answered = self._asked.popleft()
            self._numbers[number] -= 1
            if not self._numbers[number]:
                del self._numbers[number]
            answered(answer == cleaning.DONE[0])

    def _lose(self) -> None:
        self._asked.clear()
        self._numbers.clear()
        self._lost()
