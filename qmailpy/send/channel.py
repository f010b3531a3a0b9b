"""One channel: which recipient is tried next (spec/04 2 and 5).

A job is a message on this channel from the opening of its file to the last report; a message has at most one. Three
kinds of work share the slots in turn, so that none keeps the others waiting:
  fresh    messages that were never tried, in the order they came
  begun    further recipients of messages whose first one was started, in rotation
  due      messages that were deferred, the one due for longest first
Deferred mail leaves one slot of five to the others: a hundred thousand messages to dead hosts do not delay a new one.
"""

from collections import deque

from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules import bounce, schedule
from qmailpy.send.controls import Controls
from qmailpy.send.deliveries import Deliveries
from qmailpy.send.jobs import FAILED_RETRY, Job
from qmailpy.send.log import Log
from qmailpy.send.waiting import Waiting
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.send.straight import Straight, Straights

_APPEND_RETRY = 10.0  # seconds, for a bounce text that could not be kept
_STARTS = 50  # deliveries begun in one turn
_SKIPS = 1000  # records looked at in one turn of a job: a file may hold a million that are done
_BEGUN = 500  # jobs with further recipients, and so at most as many open files


class Channel:
    """Everything that waits for or is under way through one spawner."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        queue: Queue,
        controls: Controls,
        deliveries: Deliveries,
        finished: "Callable[[int], None]",
    ) -> None:
        """finished(number): told when a message has nothing left to do on this channel."""
        self._loop, self._log, self._queue, self._controls = loop, log, queue, controls
        self.number = deliveries.channel
        self.deliveries = deliveries
        self._finished = finished
        self.waiting = Waiting()
        self._fresh: deque[int | Straight] = deque()
        self._begun: deque[Job] = deque()
        self._jobs: dict[int, Job] = {}
        self._retrying = 0  # slots held by deferred mail
        self._kind = 0
        self._kinds = (self._start_fresh, self._go_on, self._start_due)
        self.straights: Straights | None = None

    # what comes in

    def add_fresh(self, message: "int | Straight", *, overdue: bool = False) -> None:
        """A message that was never tried: its number, or itself if it is tried straight from todo/.

        overdue: it has waited for that already, and comes before the others.
        """
        (self._fresh.appendleft if overdue else self._fresh.append)(message)

    def adopt(self, job: Job) -> None:
        """A message that was tried straight from todo/ is in S5 now, its delivery under way."""
        self._jobs[job.number] = job

    # what is next

    def patience(self, now: int) -> float | None:
        """Seconds until step() can do something; None: only a report can change that.  now: since the epoch."""
        if not self.deliveries.has_room:
            return None
        if self._fresh and len(self._begun) < _BEGUN:
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
            self._kind = (self._kind + 1) % 3
            if self._kinds[self._kind](now):
                return True
        return False

    def _start_fresh(self, now: int) -> bool:
        if len(self._begun) >= _BEGUN or not self._fresh:
            return False
        message = self._fresh.popleft()
        if not isinstance(message, int):
            assert self.straights is not None
            self.straights.start(message, self.deliveries, now)
        elif message not in self._jobs:
            self._open(message, now, again=False)
        return True

    def _start_due(self, now: int) -> bool:
        if len(self._begun) >= _BEGUN or not self._may_retry:
            return False
        number = self.waiting.pop(now)
        if number is None:
            return False
        if number not in self._jobs:
            self._open(number, now, again=True)
        return True

    def _go_on(self, _: int) -> bool:
        for _ in range(len(self._begun)):  # a full round
            job = self._begun.popleft()
            if not job.again or self._may_retry:
                self._advance(job)
                return True
            self._begun.append(job)
        return False

    def _open(self, number: int, now: int, *, again: bool) -> None:
        try:
            sender, birth = self._queue.sender_and_birth(number)
            reader = self._queue.recipients(number, self.number)
        except Trouble as trouble:
            self._log.tell(trouble)
            self.waiting.add(number, now + FAILED_RETRY)
            return
        dying = schedule.is_expired(birth, now, self._controls.lifetime)
        job = Job(number, sender, birth, schedule.next_try(birth, now, self.number), dying=dying, again=again)
        job.reader = reader
        self._jobs[number] = job
        self._advance(job)

    def _advance(self, job: Job) -> None:
        """Start the next recipient of this job; keep its place in the rotation if there may be more."""
        reader = job.reader
        assert reader is not None
        try:
            for _ in range(_SKIPS):
                record = reader.next()
                if record is None:
                    job.whole = True
                    break
                if not record[0]:
                    self._start(job, record[1], record[2])
                    job.whole = reader.at_end
                    break
        except Trouble as trouble:
            self._log.tell(trouble)
            reader.close()
            job.reader = None
            self._close_if_idle(job)
            return
        if job.whole:
            job.reader = None
            self._close_if_idle(job)
        else:
            self._begun.append(job)

    def _start(self, job: Job, offset: int, recipient: bytes) -> None:
        job.undone += 1
        job.running += 1
        self._retrying += job.again
        self.deliveries.start(
            job.number,
            job.sender,
            recipient,
            lambda letter, text: self.ended(job, offset, recipient, letter, text),
            dying=job.dying,
        )

    # what became of it

    def ended(self, job: Job, offset: int, recipient: bytes, letter: bytes, text: bytes) -> None:
        """An attempt has ended.  letter: K, D; anything else defers."""
        self._retrying -= job.again
        if letter == b"D":
            self._keep_failure(job, offset, bounce.record(recipient, text, self._controls.domains.virtual))
            return
        job.running -= 1
        if letter == b"K":
            self._mark(job, offset)
        self._close_if_idle(job)

    def _keep_failure(self, job: Job, offset: int, record: bytes) -> None:
        """The record first, the mark then: or a failure would be forgotten."""
        try:
            self._queue.append_bounce(job.number, record)
        except Trouble as trouble:
            self._log.tell(trouble)
            self._loop.after(_APPEND_RETRY, lambda: self._keep_failure(job, offset, record))
            return
        job.running -= 1
        self._mark(job, offset)
        self._close_if_idle(job)

    def _mark(self, job: Job, offset: int) -> None:
        job.undone -= 1
        if job.whole and not job.undone and not job.running and self._close(job):
            return  # without its file no mark is needed
        try:
            self._queue.mark(job.number, self.number, offset)
        except Trouble as trouble:
            self._log.tell(trouble)

    def _close(self, job: Job) -> bool:
        try:
            self._queue.close(job.number, self.number)
        except Trouble as trouble:
            self._log.tell(trouble)
            return False
        del self._jobs[job.number]
        self._finished(job.number)
        return True

    def _close_if_idle(self, job: Job) -> None:
        if job.running or job.reader is not None or job.number not in self._jobs:
            return
        if job.whole and not job.undone and self._close(job):
            return
        del self._jobs[job.number]
        self.waiting.add(job.number, job.retry)

    def save(self, now: int) -> None:
        """Before the end: write down when to go on (spec/02 6).  now: seconds since the epoch."""
        for job in self._begun:  # some recipients were never tried: they need not wait
            self.waiting.add(job.number, now)
        for number, due in self.waiting.items():
            try:
                self._queue.defer(number, self.number, due)
            except Trouble as trouble:
                self._log.tell(trouble)
