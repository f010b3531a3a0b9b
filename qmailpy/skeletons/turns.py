"""Whose turn it is: one user's slow deliveries must leave slots to the others (PIC/decisions/user-concurrency.md).

At most `limit` deliveries of a user run at a time. A further one waits for one of these to end, SLOW seconds at most,
and is refused after that; it is refused at once while all that run are slow already. So any number of quick deliveries
goes through, and any number of sleeping ones takes no more than `limit` slots for good. Used by qmail-lspawn.
"""

from collections import deque

from qmailpy.system import clock
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from qmailpy.system.loop import Timer

    Done = Callable[[], None]
    Start = Callable[[Done], None]

SLOW = 5.0  # seconds; a Maildir takes milliseconds, a program that calls a filter over the network one or two


class _User:
    __slots__ = ("running", "starting", "waiting")

    def __init__(self) -> None:
        self.running: list[float] = []  # when they began, the oldest first
        self.waiting: deque[_Waiting] = deque()
        self.starting = False  # a start that fails at once ends within itself


class _Waiting:
    __slots__ = ("start", "timer")

    def __init__(self, start: "Start", timer: "Timer") -> None:
        self.start, self.timer = start, timer


class Turns:
    """Every user who has a delivery under way."""

    def __init__(self, loop: Loop, limit: int) -> None:
        """limit: deliveries of one user; 0: any number."""
        self._loop, self._limit = loop, limit
        self._users: dict[Hashable, _User] = {}

    def take(self, user: "Hashable", start: "Start", refuse: "Callable[[], None]") -> None:
        """One delivery of this user: start(done) now or soon, or refuse() now or soon.

        done() is to be called once, when it has ended.
        """
        if not self._limit:
            start(_nothing)
            return
        one = self._users.get(user)
        if one is None:
            one = self._users[user] = _User()
        if len(one.running) < self._limit:  # and so nobody waits
            self._start(user, one, start)
        elif clock.monotonic() - one.running[-1] >= SLOW:  # the youngest: all are slow
            refuse()
        else:

            def give_up() -> None:
                one.waiting.remove(waiting)
                refuse()

            waiting = _Waiting(start, self._loop.after(SLOW, give_up))
            one.waiting.append(waiting)

    def _start(self, user: "Hashable", one: _User, start: "Start") -> None:
        begun = clock.monotonic()
        one.running.append(begun)
        start(lambda: self._ended(user, one, begun))

    def _ended(self, user: "Hashable", one: _User, begun: float) -> None:
        one.running.remove(begun)
        if one.starting:
            return
        one.starting = True
        while one.waiting and len(one.running) < self._limit:
            waiting = one.waiting.popleft()
            waiting.timer.cancel()
            self._start(user, one, waiting.start)
        one.starting = False
        if not one.running:
            del self._users[user]


def _nothing() -> None:
    pass
