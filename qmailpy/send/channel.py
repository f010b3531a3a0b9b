"""One channel: which recipient is tried next (spec/04 2 and 5).

A job is a message on this channel from the opening of its file to the last report; a message has at most one. Four
kinds of work share the slots in turn, so that none keeps the others waiting:
  fresh    messages that were never tried, in the order they came
  begun    further recipients of messages whose first one was started, in rotation
  due      messages that were deferred, the one due for longest first
  parked   messages to domains that had no room and have some now (send/lanes)
Deferred mail leaves one slot of five to the others: a hundred thousand messages to dead hosts do not delay a new one.
What becomes of a delivery: send/ending.
"""

from collections import OrderedDict, deque

from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules import schedule
from qmailpy.send.controls import Controls
from qmailpy.send.deliveries import Deliveries
from qmailpy.send.ending import Ending
from qmailpy.send.jobs import FAILED_RETRY, Job
from qmailpy.send.lanes import Lanes, domain_of
from qmailpy.send.log import Log
from qmailpy.send.waiting import Waiting
from qmailpy.wire import asking, parameters
from qmailpy.wire.delivery import REMOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qmailpy.send.jobs import Orders, Straights, Unprepared

_STARTS = 50  # deliveries begun in one turn
_SKIPS = 1000  # records looked at in one turn of a job: a file may hold a million that are done
_BEGUN = 500  # jobs with further recipients, and so at most as many open files


class Channel:
    """Everything that waits for or is under way through one spawner."""

    def __init__(
        self,
        log: Log,
        queue: Queue,
        controls: Controls,
        deliveries: Deliveries,
        ending: Ending,
        finished: "Callable[[int], None]",
        ordering: "Orders",
    ) -> None:
        """ending: of this channel; finished(number): nothing is left to do; ordering: may keep one from its try."""
        self._log, self._queue, self._controls = log, queue, controls
        self.number = deliveries.channel
        self.deliveries, self.ending, self._ordering = deliveries, ending, ordering
        self.waiting = Waiting()
        self.lanes = Lanes(log, controls, is_remote=self.number == REMOTE)
        ending.meet(self.waiting, self.lanes, self.wait, self._park, finished)
        self._fresh: OrderedDict[int | Unprepared, None] = OrderedDict()
        self._begun: deque[Job] = deque()
        self._jobs = ending.jobs
        self._retrying = 0  # slots held by deferred mail
        self._kind = 0
        self._kinds = (self._start_fresh, self._go_on, self._start_due, self._start_parked)
        self.straights: Straights | None = None

    # what comes in

    def add_fresh(self, message: "int | Unprepared", *, overdue: bool = False) -> None:
        """A message that was never tried: its number, or itself if it is tried straight from todo/.

        overdue: it has waited for that already, and comes before the others.
        """
        if isinstance(message, int) and self._ordering.catch(message, self.number):
            return
        self._fresh[message] = None
        if overdue:
            self._fresh.move_to_end(message, last=False)

    def wait(self, number: int, due: int) -> None:
        """A message that is to be tried at this time, in seconds since the epoch; unless it is ordered about."""
        if not self._ordering.catch(number, self.number):
            self.waiting.add(number, due)

    def adopt(self, job: Job) -> None:
        """A message that was tried straight from todo/ is in S5 now, its delivery under way."""
        self._jobs[job.number] = job

    def is_busy(self, number: int) -> bool:
        """Whether something of this message is under way."""
        return number in self._jobs

    def withdraw(self, number: int) -> bool:
        """Take it out of what waits here.  Result: whether it was there."""
        return any([self.waiting.remove(number), self.lanes.withdraw(number), self._fresh.pop(number, self) is None])

    def state(self, number: int) -> bytes:
        """What it waits for here: a word of wire/asking, or a time."""
        if number in self._jobs:
            return asking.RUNNING
        waits = asking.FRESH if number in self._fresh else self.lanes.state(number)
        return waits if (due := self.waiting.due(number)) is None else b"%d" % due

    # what is next

    def patience(self, now: int) -> float | None:
        """Seconds until step() can do something; None: only a report can change that.  now: since the epoch."""
        if not self.deliveries.has_room:
            return None
        if (self._fresh or self.lanes.has_work) and len(self._begun) < _BEGUN:
            return 0
        if self._begun and (self._may_retry or any(not job.again for job in self._begun)):
            return 0
        due = self.waiting.next_due()
        if due is None or not self._may_retry or len(self._begun) >= _BEGUN:
            return None
        return max(0, due - now)

    @property
    def _may_retry(self) -> bool:
        limit = self.deliveries.limit
        return self._retrying < limit - limit // 5

    def step(self, now: int) -> None:
        """Start what can be started, up to a limit.  now: seconds since the epoch."""
        if self.patience(now) != 0:
            return
        for _ in range(_STARTS):
            if not self.deliveries.has_room or not self._start_one(now):
                break
        self.deliveries.flush()

    def _start_one(self, now: int) -> bool:
        for _ in self._kinds:
            self._kind = (self._kind + 1) % len(self._kinds)
            if self._kinds[self._kind](now):
                return True
        return False

    def _start_fresh(self, now: int) -> bool:
        if len(self._begun) >= _BEGUN or not self._fresh:
            return False
        message, _ = self._fresh.popitem(last=False)
        if not isinstance(message, int):
            assert self.straights is not None
            if self.lanes.is_open_for(message.recipient):
                self.straights.start(message, now)
            else:
                self.straights.keep(message.number)
        elif message not in self._jobs:
            self._open(message, now, again=False)
        return True

    def _start_due(self, now: int) -> bool:
        if len(self._begun) >= _BEGUN or not self._may_retry:
            return False
        number = self.waiting.pop(now)
        if number is None:
            return False
        job = self._jobs.get(number)
        if job is None:
            self._open(number, now, again=True)
        elif job.only:
            self.waiting.add(number, now + FAILED_RETRY)  # others than those of this pass
        return True

    def _go_on(self, _: int) -> bool:
        for _ in range(len(self._begun)):  # a full round
            job = self._begun.popleft()
            if not job.again or self._may_retry:
                self._advance(job)
                return True
            self._begun.append(job)
        return False

    def _start_parked(self, now: int) -> bool:
        found = self.lanes.next() if len(self._begun) < _BEGUN else None
        if found is None:
            return False
        domain, message, tried = found
        if not isinstance(message, int):
            self._advance(message)
        elif message in self._jobs:
            self._read_again(self._jobs[message], domain)
        elif not self._ordering.catch(message, self.number):
            self._open(message, now, again=False, only=domain, tried=tried)
        self.lanes.again(domain)
        return True

    def _read_again(self, job: Job, domain: bytes) -> None:
        """There is room for those of this domain, while others of this message are still under way."""
        job.blocked.add(domain)  # and so it is parked again when that pass is over
        if job.reader is not None or job.tried is None or job.number in self._ordering:
            return
        try:
            job.wishes = self._queue.info(job.number).wishes_of(self.number)
            job.reader = self._queue.recipients(job.number, self.number)
        except Trouble as trouble:
            self._log.tell(trouble)
            return
        job.blocked.discard(domain)
        job.only, job.is_reread = domain, True
        self._advance(job)

    def _park(self, job: Job) -> None:
        blocked, job.blocked = job.blocked, set()
        if blocked and not self._ordering.catch(job.number, self.number):
            self.lanes.park(job.number, blocked, job.tried or ())

    def _open(self, number: int, now: int, *, again: bool, only: bytes = b"", tried: "Iterable[int]" = ()) -> None:
        try:
            info = self._queue.info(number)
            reader = self._queue.recipients(number, self.number)
        except Trouble as trouble:
            self._log.tell(trouble)
            self.wait(number, now + FAILED_RETRY)
            return
        dying = schedule.is_expired(info.birth, now, self._controls.lifetime)
        retry = schedule.next_try(info.birth, now, self.number)
        job = Job(number, info.sender, info.birth, retry, dying=dying, again=again)
        job.parameters, job.only, job.is_told = parameters.of_message(info.parameters), only, info.is_told
        job.reader, job.wishes = reader, info.wishes_of(self.number)
        job.tried = set(tried) if self.lanes.has_rules or tried else None
        self._jobs[number] = job
        self._advance(job)

    def _advance(self, job: Job) -> None:
        """Start the next recipient of this job; keep its place in the rotation if there may be more."""
        reader = job.reader
        assert reader is not None
        if job.number in self._ordering:
            job.close()
            self.ending.close_if_idle(job)
            return
        try:
            for _ in range(_SKIPS):
                record, job.pending = job.pending or reader.next(), None
                if record is None:
                    job.whole = True
                    break
                done, offset, recipient = record
                lane = None if done else self.lanes.of(recipient)
                if done:
                    job.skip(offset)
                elif job.is_for_others(offset, domain_of(recipient)):
                    job.pass_over(offset)
                elif lane is None or lane.is_open or (job.only and lane.has_room):
                    self._start(job, offset, recipient)
                    job.whole = reader.at_end
                    break
                elif job.only and lane.limit:
                    job.pending = record
                    self.lanes.stall(lane, job)
                    return
                else:
                    job.pass_over(offset, lane.domain)
        except Trouble as trouble:
            self._log.tell(trouble)
            job.close()
            self.ending.close_if_idle(job)
            return
        if job.whole:
            job.close()
            if job.running:
                self._park(job)
            self.ending.close_if_idle(job)
        else:
            self._begun.append(job)

    def _start(self, job: Job, offset: int, recipient: bytes) -> None:
        wished = parameters.of_recipient(job.wishes.of(offset)) if job.wishes is not None else None  # may be trouble
        job.begin(offset)
        self._retrying += job.again
        lane = self.lanes.enter(recipient)

        def ended(letter: bytes, text: bytes) -> None:
            self._retrying -= job.again
            self.lanes.leave(lane)
            self.ending.ended(job, offset, recipient, letter, text, wished)

        self.deliveries.start(
            job.number,
            job.sender,
            recipient,
            ended,
            dying=job.dying,
            parameters=parameters.of_delivery(job.parameters, wished),
        )

    def save(self, now: int) -> None:
        """Before the end: write down when to go on (spec/02 6).  now: seconds since the epoch."""
        for number in (*(job.number for job in self._begun), *self.lanes.numbers()):
            self.waiting.add(number, now)  # some recipients were never tried: they need not wait
        for number, due in self.waiting.items():
            try:
                self._queue.defer(number, self.number, due)
            except Trouble as trouble:
                self._log.tell(trouble)
