"""The start: every message in S5 waits for its time again, or is to be finished (spec/02 6).

There may be hundreds of thousands. They are listed at once, and looked at a few at a time between the turns of the
loop, so that new mail is delivered from the first second.
"""

from qmailpy.disk.layout import OSSIFIED
from qmailpy.disk.queue.claiming import Claiming
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules import schedule
from qmailpy.send.channel import Channel
from qmailpy.send.finishing import Finishing
from qmailpy.send.jobs import FAILED_RETRY
from qmailpy.send.log import Log
from qmailpy.system import clock
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SLEEP = 10.0  # seconds after a directory that could not be listed
_FAR = 86400  # seconds: the longest wait of a message that is a week old is nine hours
_TURN = 0.005  # seconds of one turn
_AT_ONCE = 50  # messages between two looks at the clock


class Loading:
    """What was in the queue before we were.  loaded(): told once, when all of it has been looked at."""

    def __init__(
        self, loop: Loop, log: Log, queue: Queue, claiming: Claiming, channels: list[Channel], finishing: Finishing
    ) -> None:
        """begin() must follow before anything is claimed."""
        self._loop, self._log, self._queue, self._claiming = loop, log, queue, claiming
        self._channels, self._finishing = channels, finishing
        self._left: list[int] = []
        self._in_haste = False
        self.loaded = _nothing

    def begin(self, is_leaving: "Callable[[], bool]") -> None:
        """List them; where that is impossible, say so and try again until it is not, or we are to leave."""
        while not is_leaving():
            try:
                self._left = self._queue.taken(self._claiming.half)
            except Trouble as trouble:
                self._log.tell(trouble)
                self._log.flush()
                end = clock.monotonic() + _SLEEP
                while not is_leaving() and (left := end - clock.monotonic()) > 0:
                    self._loop.turn(left)
            else:
                self._claiming.unloaded.update(self._left)
                return

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return not self._left

    def all_now(self) -> None:
        """What is loaded from here on need not wait."""
        self._in_haste = bool(self._left)

    def step(self) -> None:
        """Look at some."""
        if not self._left:
            return
        end = clock.monotonic() + _TURN
        while self._left and clock.monotonic() < end:
            for _ in range(min(_AT_ONCE, len(self._left))):
                self.load(self._left.pop())
        if not self._left:
            self.loaded()

    def load(self, number: int) -> None:
        """This one now, if it is left."""
        if number not in self._claiming.unloaded:
            return
        self._claiming.unloaded.discard(number)
        self._load(number)

    def _load(self, number: int) -> None:
        try:
            due = [self._believable(number, channel, when) for channel, when in enumerate(self._queue.both_due(number))]
        except Trouble as trouble:
            self._load_later(number, trouble)
            return
        for channel, when in zip(self._channels, due, strict=True):
            if when is not None:
                channel.wait(number, min(when, clock.now()) if self._in_haste else when)
        if due == [None, None]:
            self._finishing.add(number)

    def _believable(self, number: int, channel: int, when: int | None) -> int | None:
        """No schedule says more than this: a clock that was wrong when it was written has.  Errors: Trouble."""
        now = clock.now()
        if when is None or when < now + _FAR:
            return when
        return min(when, schedule.next_try(self._queue.info(number).birth, now, channel))

    def _load_later(self, number: int, trouble: Trouble) -> None:
        self._log.tell(trouble)
        if isinstance(trouble.error, FileNotFoundError):  # its mess file is gone: there is nothing to try
            self._claiming.orphan(number)
            self._loop.after(OSSIFIED, lambda: self._bury(number))
        else:
            self._loop.after(FAILED_RETRY, lambda: self._load(number))

    def _bury(self, number: int) -> None:
        """For 36 hours nobody has brought its mess file back: as all litter, it goes."""
        try:
            self._claiming.bury(number)
        except Trouble as trouble:
            self._log.tell(trouble)
            self._loop.after(FAILED_RETRY, lambda: self._bury(number))


def _nothing() -> None:
    """Nobody wants to know."""
