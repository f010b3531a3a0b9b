"""Slow questions of the sessions of one worker: answered by children of it that are kept warm.

At most MOST of them are asked at a time, and MOST_OF_ONE for clients of one network, whose own name server may be what
keeps us waiting; the others wait for their turn, and none waits, or is answered, for longer than LONGEST: a source of
names or a plugin that hangs takes places, not the worker. What a child says is not believed to be more than bytes.
"""

import errno
from collections import deque

from qmailpy.disk.home import Home
from qmailpy.skeletons import questions
from qmailpy.system import clock
from qmailpy.system.resident import Crew, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.receive.listener.waiting import Waiter
    from qmailpy.system.loop import Loop

MOST = 32  # children at work; each has some 3 MB of its own
MOST_OF_ONE = MOST // 2  # for one network
LONGEST = 60.0  # seconds from the question to the answer
_WATCH = 1.0  # seconds between two looks at the clock while somebody waits
_ANSWERED, _FAILED = b"\0", b"\1"  # first byte of an answer


class _Asked:
    __slots__ = ("network", "pid", "request", "since", "who")

    def __init__(self, who: "Waiter", request: bytes) -> None:
        self.who, self.request, self.since, self.pid = who, request, clock.monotonic(), 0
        self.network = who.network


class Asking:
    """All questions under way."""

    def __init__(self, home: Home, loop: "Loop", account: tuple[int, int], prepare: "Callable[[], None]") -> None:
        """account: uid and gid of this worker; prepare: called in each new child first."""
        self._home, self._loop = home, loop
        self._crew = Crew(loop, prepare, MOST)
        self._kind = Kind(("question",), "qmail-listen", *account, home.path, self._answer)
        self._waiting: deque[_Asked] = deque()
        self._asked: set[_Asked] = set()
        self._of: dict[bytes, int] = {}  # network -> how many of those
        self._watching = False

    async def ask(self, who: "Waiter", question: bytes, request: bytes) -> bytes:
        """The answer.  Errors: OSError, as Dialog.ask."""
        asked = _Asked(who, question + b"\0" + request)
        if self._has_place(asked):
            self._give(asked)
        else:
            self._waiting.append(asked)
        if not self._watching:
            self._watching = True
            self._loop.after(_WATCH, self._watch)
        answer = await who.pause()
        if not isinstance(answer, bytes):
            raise OSError(errno.ETIMEDOUT if answer is None else errno.EIO, "no answer")
        if answer[:1] != _ANSWERED:
            raise OSError(errno.EIO, "nobody could answer")
        return answer[1:]

    def ended(self, pid: int, ending: "object") -> bool:
        """A child of this worker has ended: whether it was one of these."""
        return self._crew.ended(pid, ending)  # type: ignore[arg-type]

    def close(self) -> None:
        """The worker leaves."""
        self._crew.dismiss_idle()

    def _give(self, asked: _Asked) -> None:
        """Errors: OSError, no child can be had."""

        def hear(answer: bytes | None) -> None:
            self._forget(asked)
            asked.who.resume(answer or _FAILED)

        asked.pid = self._crew.give(self._kind, asked.request, [], hear)
        self._asked.add(asked)
        self._of[asked.network] = self._of.get(asked.network, 0) + 1

    def _has_place(self, asked: _Asked) -> bool:
        return len(self._asked) < MOST and self._of.get(asked.network, 0) < MOST_OF_ONE

    def _forget(self, asked: _Asked) -> None:
        self._asked.discard(asked)
        left = self._of.pop(asked.network) - 1
        if left:
            self._of[asked.network] = left
        while following := next(filter(self._has_place, self._waiting), None):
            self._waiting.remove(following)
            try:
                self._give(following)
            except OSError:
                following.who.resume(_FAILED)

    def _watch(self) -> None:
        """Give up what takes too long."""
        before = clock.monotonic() - LONGEST
        for asked in [asked for asked in self._asked if asked.since < before]:
            self._crew.abandon(asked.pid)
            self._forget(asked)
            asked.who.resume(None)
        while self._waiting and self._waiting[0].since < before:
            self._waiting.popleft().who.resume(None)
        self._watching = bool(self._asked or self._waiting)
        if self._watching:
            self._loop.after(_WATCH, self._watch)

    def _answer(self, packet: bytes) -> bytes:
        """Runs in the child."""
        question, _, request = packet.partition(b"\0")
        try:
            return _ANSWERED + questions.answer(self._home, question, request)
        except (OSError, KeyError):
            return _FAILED
