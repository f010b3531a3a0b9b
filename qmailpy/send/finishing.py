"""From the last recipient to nothing: bounce, end msg, info/N away, mess/N away (spec/02 6, S5 -> S2 -> S1)."""

from collections import deque
from itertools import islice

from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.disk.queue.wishes import Info
from qmailpy.rules import bounce, logline, verp
from qmailpy.send.bounces import Bounces
from qmailpy.send.budget import Budget
from qmailpy.send.cleaner import Cleaner
from qmailpy.send.jobs import FAILED_RETRY
from qmailpy.send.log import Log
from qmailpy.send.reports import Reports
from qmailpy.send.waiting import Waiting
from qmailpy.system import clock
from qmailpy.wire import cleaning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_AT_ONCE = 50  # messages in one turn


class Finishing:
    """Messages of which at least one channel is finished."""

    def __init__(self, log: Log, queue: Queue, cleaner: Cleaner, bounces: Bounces, reports: Reports) -> None:
        """Nobody yet; budget must be set before the first step()."""
        self._log, self._queue, self._cleaner = log, queue, cleaner
        self._bounces, self._reports = bounces, reports
        self._ready: dict[int, None] = {}  # in their order; both channels of a message may finish in one turn
        self._bouncing: set[int] = set()  # a bounce of these is being injected
        self.failed = Waiting()
        self._told: deque[tuple[int, int]] = deque()  # many at once: message, qp of the bounce that tells of it
        self.budget: Budget | None = None
        self.ended: Callable[[int], None] = _nobody  # told of every message that ends here
        self.left_open: Callable[[int], None] = _nobody  # told where one channel is finished and the other is not
        self.is_deleted: Callable[[int], bool] = _no  # whether an administrator wishes that it goes without a word
        self.leaving = False  # no new bounce is begun: the next start finds the message where it is

    def add(self, number: int) -> None:
        """A channel of this message is finished (or it never had one)."""
        self._ready[number] = None

    def patience(self, now: int) -> float | None:
        """Seconds until step() has something to do; None: never.  now: since the epoch."""
        if self._ready or self._told:
            return 0
        due = self.failed.next_due()
        return None if due is None else max(0, due - now)

    def step(self, now: int) -> None:
        """now: seconds since the epoch."""
        while (number := self.failed.pop(now)) is not None:
            self._ready[number] = None
        for number in list(islice(self._ready, _AT_ONCE)):
            del self._ready[number]
            try:
                self._finish(number)
            except Trouble as trouble:
                self._log.tell(trouble)
                self.failed.add(number, now + FAILED_RETRY)
        for _ in range(min(len(self._told), _AT_ONCE)):
            self.bounced(*self._told.popleft())
        self._bounces.step()

    def _finish(self, number: int) -> None:
        if not self._cleaner.alive or number in self._bouncing:
            return  # the next start finds it
        if self._queue.is_open(number):
            self.left_open(number)  # the other channel will come here too
            return
        if self.is_deleted(number):  # what was under way then has failed meanwhile, and nobody is told
            self._queue.drop_bounce(number)
        if not self._queue.has_bounce(number):
            self._end(number)
            return
        info = self._queue.info(number)
        if bounce.is_triple(info.sender):
            self._log.say(logline.triple_bounce(number))
            self._queue.drop_bounce(number)
            self._end(number)
        elif not self.leaving:
            sender = verp.base(info.sender)
            assert self.budget is not None
            if not sender or self.budget.may_tell(sender, number):
                self._bounce(number, info, sender)

    def _bounce(self, number: int, info: Info, sender: bytes) -> None:
        assert self.budget is not None
        budget = self.budget

        def bounced(qp: int | None) -> None:
            if qp is None:
                budget.take_back(sender)
            self.bounced(number, qp)

        self._bouncing.add(number)
        try:
            self._reports.bounce(number, info, bounced)
        except OSError:
            budget.take_back(sender)
            self._cannot_start([number])

    def _cannot_start(self, numbers: list[int]) -> None:
        self._log.say(logline.NO_QUEUE_PROGRAM)
        for number in numbers:
            self._bouncing.discard(number)
            self.failed.add(number, clock.now() + FAILED_RETRY)

    def bounce_collected(self, numbers: list[int]) -> None:
        """One bounce about all of these messages, which have one sender; or all is tried again later."""
        if self.leaving:
            return
        try:
            numbers = [number for number in numbers if self._queue.has_bounce(number)]
            if not numbers:
                return
            info = self._queue.info(numbers[0])
        except Trouble as trouble:
            self._log.tell(trouble)
            for number in numbers:
                self.failed.add(number, clock.now() + FAILED_RETRY)
            return
        self._bouncing.update(numbers)
        try:
            self._reports.bounce_many(numbers, info, lambda qp: self._bounced_many(numbers, qp))
        except OSError:
            self._cannot_start(numbers)

    def _bounced_many(self, numbers: list[int], qp: int | None) -> None:
        if qp is not None:
            self._told.extend((number, qp) for number in numbers)
            return
        self._log.say(logline.NO_BOUNCE)
        for number in numbers:
            self._bouncing.discard(number)
            self.failed.add(number, clock.now() + FAILED_RETRY)

    def bounced(self, number: int, qp: int | None) -> None:
        """The bounce of this message is in the queue under qp, or must be tried again (None)."""
        self._bouncing.discard(number)
        try:
            if qp is None:
                self._log.say(logline.NO_BOUNCE)
                self.failed.add(number, clock.now() + FAILED_RETRY)
                return
            self._log.say(logline.bounced(number, qp))
            if self._log.trace.on:
                self._log.trace.tell(number, b"bounce", qp=qp)
            self._queue.drop_bounce(number)
            self._end(number)
        except Trouble as trouble:
            self._log.tell(trouble)
            self.failed.add(number, clock.now() + FAILED_RETRY)

    def withdraw(self, number: int) -> bool:
        """Begin nothing more about it.  False where its bounce is being injected."""
        assert self.budget is not None
        self.budget.withdraw(number)
        if number in self._bouncing:
            if not self._bounces.withdraw(number):
                return False
            self._bouncing.discard(number)
        self._ready.pop(number, None)
        self.failed.remove(number)
        return True

    def end(self, number: int) -> None:
        """Nothing is left of it but info/N; where that cannot be removed now, it is tried again."""
        try:
            self._end(number)
        except Trouble as trouble:
            self._log.tell(trouble)
            self.failed.add(number, clock.now() + FAILED_RETRY)

    def _end(self, number: int) -> None:
        self._log.say(logline.end(number))
        if self._log.trace.on:
            self._log.trace.tell(number, b"end")
        self._queue.finish(number)
        self.ended(number)
        self._cleaner.ask(cleaning.MESSAGE, number, lambda done: self._cleaned(number, done=done))

    def _cleaned(self, number: int, *, done: bool) -> None:
        if not done:
            self._log.say(logline.warning("clean", b"foop/%d" % number))


def _no(_number: int) -> bool:
    return False


def _nobody(_number: int) -> None:
    """Nobody wants to know."""
