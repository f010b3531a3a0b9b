"""From the last recipient to nothing: bounce, end msg, info/N away, mess/N away (spec/02 6, S5 -> S2 -> S1)."""

from itertools import islice

from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules import bounce, logline
from qmailpy.send.bounces import Bounces
from qmailpy.send.cleaner import Cleaner
from qmailpy.send.jobs import FAILED_RETRY
from qmailpy.send.log import Log
from qmailpy.send.waiting import Waiting
from qmailpy.system import clock
from qmailpy.wire import cleaning

_AT_ONCE = 50  # messages in one turn


class Finishing:
    """Messages of which at least one channel is finished."""

    def __init__(self, log: Log, queue: Queue, cleaner: Cleaner) -> None:
        """Nobody yet; bounces must be set before the first step()."""
        self._log, self._queue, self._cleaner = log, queue, cleaner
        self._ready: dict[int, None] = {}  # in their order; both channels of a message may finish in one turn
        self._bouncing: set[int] = set()  # a bounce of these is being injected
        self._failed = Waiting()
        self.bounces: Bounces | None = None
        self.leaving = False  # no new bounce is begun: the next start finds the message where it is

    def add(self, number: int) -> None:
        """A channel of this message is finished (or it never had one)."""
        self._ready[number] = None

    def patience(self, now: int) -> float | None:
        """Seconds until step() has something to do; None: never.  now: since the epoch."""
        if self._ready:
            return 0
        due = self._failed.next_due()
        return None if due is None else max(0, due - now)

    def step(self, now: int) -> None:
        """now: seconds since the epoch."""
        while (number := self._failed.pop(now)) is not None:
            self._ready[number] = None
        for number in list(islice(self._ready, _AT_ONCE)):
            del self._ready[number]
            try:
                self._finish(number)
            except Trouble as trouble:
                self._log.tell(trouble)
                self._failed.add(number, now + FAILED_RETRY)
        assert self.bounces is not None
        if not self.leaving:
            self.bounces.step()

    def _finish(self, number: int) -> None:
        if not self._cleaner.alive or number in self._bouncing or self._queue.is_open(number):
            return  # the next start finds it; the other channel will come here too
        if not self._queue.has_bounce(number):
            self._end(number)
            return
        sender, _ = self._queue.sender_and_birth(number)
        if bounce.is_triple(sender):
            self._log.say(logline.triple_bounce(number))
            self._queue.drop_bounce(number)
            self._end(number)
        elif not self.leaving:
            assert self.bounces is not None
            try:
                self.bounces.start(number, sender)
                self._bouncing.add(number)
            except OSError:
                self._log.say(logline.NO_QUEUE_PROGRAM)
                self._failed.add(number, clock.now() + FAILED_RETRY)

    def bounced(self, number: int, qp: int | None) -> None:
        """The bounce of this message is in the queue under qp, or must be tried again (None)."""
        self._bouncing.discard(number)
        try:
            if qp is None:
                self._log.say(logline.NO_BOUNCE)
                self._failed.add(number, clock.now() + FAILED_RETRY)
                return
            self._log.say(logline.bounced(number, qp))
            self._queue.drop_bounce(number)
            self._end(number)
        except Trouble as trouble:
            self._log.tell(trouble)
            self._failed.add(number, clock.now() + FAILED_RETRY)

    def _end(self, number: int) -> None:
        self._log.say(logline.end(number))
        self._queue.finish(number)
        self._cleaner.ask(cleaning.MESSAGE, number, lambda done: self._cleaned(number, done=done))

    def _cleaned(self, number: int, *, done: bool) -> None:
        if not done:
            self._log.say(logline.warning("clean", b"foop/%d" % number))
