"""The collector: what nobody claims in mess/ for 36 hours goes (spec/02 7), a few entries a turn."""

from qmailpy.disk.queue import litter
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.rules import logline
from qmailpy.send.cleaner import BUSY, Cleaner
from qmailpy.send.log import Log
from qmailpy.system import clock
from qmailpy.wire import cleaning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

INTERVAL = 76431  # seconds between two walks
_ENTRIES = 20  # looked at in one turn
_RETRY = 10  # seconds after a directory that could not be listed


class Collecting:
    """The walk that is under way, or the time of the next one."""

    def __init__(self, log: Log, cleaner: Cleaner, paths: Paths) -> None:
        """The first walk begins at once."""
        self._log, self._cleaner, self._paths = log, cleaner, paths
        self._walk: Iterator[int | None] | None = None
        self._next = 0.0  # on the monotonic clock

    def patience(self) -> float | None:
        """Seconds until step() has something to do."""
        if self._cleaner.pending >= BUSY:
            return None
        return 0 if self._walk is not None else max(0.0, self._next - clock.monotonic())

    def step(self, now: int) -> None:
        """now: seconds since the epoch."""
        if self._walk is None:
            moment = clock.monotonic()
            if moment < self._next:
                return
            self._walk = litter.walk(self._paths, now)
            self._next = moment + INTERVAL
        try:
            for _ in range(_ENTRIES):
                if self._cleaner.pending >= BUSY:
                    return
                number = next(self._walk)
                # one that was asked about already may be another message's when the answer comes
                if number is not None and not self._cleaner.is_asked_about(number):
                    self._remove(number)
        except StopIteration:
            self._walk = None
        except Trouble as trouble:
            self._log.tell(trouble)
            self._walk = None
            self._next = clock.monotonic() + _RETRY

    def _remove(self, number: int) -> None:
        self._cleaner.ask(cleaning.MESSAGE, number, lambda done: None if done else self._unclean(number))

    def _unclean(self, number: int) -> None:
        self._log.say(logline.warning("clean", b"foop/%d" % number))
