"""qmail-clean's client: requests go out as they come, answers come back in their order; nobody waits (spec/03 8).

A C qmail-clean works as well: it answers one after the other from its pipe.
"""

import posix
from collections import Counter, deque

from qmailpy.system import descriptors
from qmailpy.system.loop import Loop
from qmailpy.wire import cleaning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Answered = Callable[[bool], None]

BUSY = 200  # requests under way at which nothing new should be begun


class Cleaner:
    """The pipes to qmail-clean and what it was asked."""

    def __init__(self, loop: Loop, commands: int, answers: int, lost: "Callable[[], None]") -> None:
        """commands, answers: descriptors; lost: called once, when qmail-clean is gone."""
        self._loop, self._commands, self._answers, self._lost = loop, commands, answers, lost
        self._out = b""
        self._asked: deque[tuple[int, Answered]] = deque()
        self._numbers: Counter[int] = Counter()
        self.alive = True
        posix.set_blocking(commands, False)
        loop.on_read(answers, self._hear)

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
        self._out += cleaning.encode(word, number)

    def flush(self) -> None:
        """Send what qmail-clean takes now: call it once a turn."""
        if not self._out:
            return
        try:
            self._out = self._out[descriptors.write_pieces(self._commands, self._out) :]
        except OSError:
            self._break()
            return
        self._loop.on_write(self._commands, self.flush if self._out else None)

    def _hear(self) -> None:
        try:
            answers = posix.read(self._answers, descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            answers = b""
        if not answers or len(answers) > len(self._asked):  # gone, or speaking without being asked
            self._break()
            return
        for answer in answers:
            number, answered = self._asked.popleft()
            self._numbers[number] -= 1
            if not self._numbers[number]:
                del self._numbers[number]
            answered(answer == cleaning.DONE[0])

    def _break(self) -> None:
        self.alive = False
        self._asked.clear()
        self._numbers.clear()
        self._out = b""
        self._loop.forget(self._commands)
        self._loop.forget(self._answers)
        self._lost()
