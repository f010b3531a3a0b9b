"""One thread, many descriptors: poll(2) with timers, for daemons that must stay small.

asyncio costs 28 ms and 10 MB a process; these daemons need three verbs of it. Who has thousands of descriptors gives it
an epoll (system/epoll), with which an idle one costs nothing.
Used by qmail-send, the spawners, the door, and with an epoll by qmail-listen.
"""

import heapq
import posix
import select

from qmailpy.system import clock, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Poll(Protocol):
        """What watches descriptors: select.poll(), or system/epoll."""

        def register(self, descriptor: int, events: int, /) -> None:
            """From now on these."""

        def unregister(self, descriptor: int, /) -> None:
            """No more.  Errors: KeyError where it was not watched."""

        def poll(self, milliseconds: float, /) -> list[tuple[int, int]]:
            """Descriptors and what has happened there."""


_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL
_WRITABLE = select.POLLOUT | select.POLLHUP | select.POLLERR | select.POLLNVAL
LONGEST = 86400.0  # seconds a poll may last; a day is as good as for ever


def is_writable(descriptor: int) -> bool:
    """Whether a write will not block now; of a pipe: whether PIPE_BUF bytes fit."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


class Timer:
    """A callback to be made later, unless cancelled."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: "Callable[[], None] | None") -> None:
        """due: on the monotonic clock."""
        self.due, self.call = due, call

    def cancel(self) -> None:
        """Do not call."""
        self.call = None

    def __lt__(self, other: "Timer") -> bool:
        """Order by due time, for the heap."""
        return self.due < other.due


class Loop:
    """Calls back when a descriptor is ready, a time has come, or a signal arrived."""

    def __init__(self, poll: "Poll | None" = None) -> None:
        """Nothing is watched yet.  poll: instead of poll(2)."""
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._watchers: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._poll: Poll = poll or select.poll()
        self._signalled: list[int] = []
        self._on_signal: dict[int, Callable[[], None]] = {}
        self._wake: tuple[int, int] | None = None
        self.now = clock.monotonic()  # when the last turn had waited: exact enough for time-outs, and costs nothing

    def on_read(self, descriptor: int, call: "Callable[[], None] | None") -> None:
        """Call when there is something to read (or an end to see); None: no more."""
        self._change(self._readers, descriptor, call)

    def on_write(self, descriptor: int, call: "Callable[[], None] | None") -> None:
        """Call when a write will not block (or will fail); None: no more."""
        self._change(self._writers, descriptor, call)

    def dispatch(self, descriptor: int, call: "Callable[[int], None] | None") -> None:
        """Call with whatever events come of a descriptor that its owner has registered with the epoll; None: no more.

        Closing the descriptor ends its registration; say it here first.
        """
        if call is None:
            self._watchers.pop(descriptor, None)
        else:
            self._watchers[descriptor] = call

    def forget(self, descriptor: int) -> None:
        """Before closing a descriptor."""
        self._readers.pop(descriptor, None)
        self._writers.pop(descriptor, None)
        self._arm(descriptor)

    def _change(
        self,
        table: "dict[int, Callable[[], None]]",
        descriptor: int,
        call: "Callable[[], None] | None",
    ) -> None:
        known = descriptor in table
        if call is None:
            table.pop(descriptor, None)
        else:
            table[descriptor] = call
        if known != (call is not None):
            self._arm(descriptor)

    def _arm(self, descriptor: int) -> None:
        events = 0
        if descriptor in self._readers:
            events |= select.POLLIN
        if descriptor in self._writers:
            events |= select.POLLOUT
        if events:
            self._poll.register(descriptor, events)
        else:
            try:
                self._poll.unregister(descriptor)
            except KeyError:
                return

    def after(self, seconds: float, call: "Callable[[], None]") -> Timer:
        """Call once, so many seconds from now."""
        timer = Timer(clock.monotonic() + seconds, call)
        heapq.heappush(self._timers, timer)
        return timer

    def on_signal(self, number: int, call: "Callable[[], None]") -> None:
        """Call from turn(), never in the middle of something, when this signal has come."""
        if self._wake is None:
            read_end, write_end = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
            self._wake = (read_end, write_end)
            signals.wake_by(write_end)
            self.on_read(read_end, self._drain)
        self._on_signal[number] = call
        signals.catch(number, self._signalled.append)

    def catch_signals(self) -> None:
        """Catch them again after something (an exec that failed) has made them default."""
        if self._wake is not None:
            signals.wake_by(self._wake[1])
        for number in self._on_signal:
            signals.catch(number, self._signalled.append)

    def _drain(self) -> None:
        assert self._wake is not None
        try:
            posix.read(self._wake[0], 512)
        except BlockingIOError:
            return

    def turn(self, longest: float = LONGEST) -> None:
        """Wait at most this many seconds for something to happen, then make its calls."""
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        if self._timers:
            longest = min(longest, self._timers[0].due - clock.monotonic())
        if self._signalled:
            longest = 0.0
        ready = self._poll.poll(max(0.0, longest) * 1000 + (0.999 if longest > 0 else 0))
        self.now = clock.monotonic()
        while self._signalled:
            self._on_signal[self._signalled.pop(0)]()
        for descriptor, events in ready:
            watcher = self._watchers.get(descriptor)
            if watcher is not None:
                watcher(events)
                continue
            reader = self._readers.get(descriptor)
            if reader is not None and events & _READABLE:
                reader()
            writer = self._writers.get(descriptor)
            if writer is not None and events & _WRITABLE:
                writer()
        self._fire()

    def _fire(self) -> None:
        now = clock.monotonic()
        while self._timers and self._timers[0].due <= now:
            call = heapq.heappop(self._timers).call
            if call is not None:
                call()

    def close(self) -> None:
        """Give back what the loop itself holds open (a forked child does this first)."""
        if self._wake is not None:
            signals.wake_by(-1)
            for end in self._wake:
                posix.close(end)
            self._wake = None
        self._readers.clear()
        self._writers.clear()
        self._watchers.clear()
        self._timers.clear()
        self._poll = select.poll()
