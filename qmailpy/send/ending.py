"""What became of a delivery: the record of a failure, the mark, the end of the channel's part; what a sender asked for.

Used by send/channel, one for each.
"""

from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules import bounce, logline, report
from qmailpy.send.controls import Controls
from qmailpy.send.jobs import FAILED_RETRY, Job
from qmailpy.send.lanes import Lanes
from qmailpy.send.log import Log
from qmailpy.send.reports import Reports
from qmailpy.send.waiting import Waiting
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from qmailpy.wire import parameters
from qmailpy.wire.delivery import CHANNELS, REMOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_APPEND_RETRY = 10.0  # seconds, for a bounce text that could not be kept


class Ending:
    """The jobs of one channel, and how they end.  jobs: by the number of the message."""

    def __init__(self, loop: Loop, log: Log, queue: Queue, controls: Controls, reports: Reports, channel: int) -> None:
        """meet() must follow before anything happens."""
        self._loop, self._log, self._queue, self._controls = loop, log, queue, controls
        self._reports, self._number = reports, channel
        self.jobs: dict[int, Job] = {}
        self._finished: Callable[[int], None]
        self._wait: Callable[[int, int], None]

    def meet(
        self,
        waiting: Waiting,
        lanes: Lanes,
        wait: "Callable[[int, int], None]",
        park: "Callable[[Job], None]",
        finished: "Callable[[int], None]",
    ) -> None:
        """wait(number, due): a message is to be tried again; park(job): in the domains that had no room for it.

        finished(number): nothing is left to do here.
        """
        self._waiting, self._lanes = waiting, lanes
        self._wait, self._park, self._finished = wait, park, finished

    def ended(
        self,
        job: Job,
        offset: int,
        recipient: bytes,
        letter: bytes,
        text: bytes,
        wished: parameters.RecipientParameters | None = None,
    ) -> None:
        """An attempt has ended.  letter: K, D; anything else defers."""
        unwanted = letter == b"D" and wished is not None and wished.wants_no_failure
        if letter == b"D" and not unwanted:
            self._keep_failure(job, offset, bounce.record(recipient, text, self._controls.domains.virtual))
            return
        if unwanted and wished is not None:
            self._log.say(logline.unwanted_bounce(job.number, recipient, wished.notify))
        elif wished is not None:
            self.note(job, recipient, letter, text, wished)
        job.running -= 1
        if letter in (b"K", b"D"):
            self._mark(job, offset)
        self.close_if_idle(job)

    def note(
        self, job: Job, recipient: bytes, letter: bytes, text: bytes, wished: parameters.RecipientParameters
    ) -> None:
        """Success or delay, if he asked to be told of it."""
        noted = job.succeeded if letter == b"K" else job.late
        event = parameters.SUCCESS if letter == b"K" else parameters.DELAY
        if not self._reports.wants(wished, event, job.sender):
            return
        if letter == b"K" and self._number == REMOTE and report.is_passed_on(text):
            return
        if letter != b"K" and (job.is_told or clock.now() < job.birth + self._controls.delay_warning):
            return
        noted.append(self._reports.outcome(self._number, letter, recipient, text, wished.orcpt))

    def tell(self, job: Job) -> None:
        """The reports on this job that were asked for; its message must still be there."""
        if job.succeeded:
            self._reports.tell_success(job, job.succeeded)
            job.succeeded = []
        if job.late:
            if self._controls.delay_warning:
                self._reports.tell_delay(job, job.late)
            job.late = []

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
        self.close_if_idle(job)

    def _mark(self, job: Job, offset: int) -> None:
        job.undone -= 1
        if job.whole and not job.undone and not job.running and self._close(job):
            return  # without its file no mark is needed
        try:
            self._queue.mark(job.number, self._number, offset)
        except Trouble as trouble:
            self._log.tell(trouble)

    def _close(self, job: Job) -> bool:
        try:
            self._queue.close(job.number, self._number)
        except Trouble as trouble:
            self._log.tell(trouble)
            return False
        self.tell(job)
        del self.jobs[job.number]
        self._lanes.withdraw(job.number)
        self._waiting.remove(job.number)
        self._finished(job.number)
        return True

    def close_if_idle(self, job: Job) -> None:
        """If nothing of it is under way: the message waits, or is finished here."""
        if job.running or job.reader is not None or job.number not in self.jobs:
            return
        retry = job.retry
        if job.whole and not job.undone:
            if self._close(job):
                return
            retry = clock.now() + FAILED_RETRY  # nothing but the file's name is left
        self.tell(job)
        del self.jobs[job.number]
        self._park(job)
        due = self._waiting.due(job.number)
        if not job.whole or job.undone > job.passed or (due is None and job.number not in self._lanes):
            when = retry if due is None else min(due, retry)
            if self._log.trace.on:
                self._log.trace.tell(job.number, b"wait", channel=CHANNELS[self._number], until=when)
            self._wait(job.number, when)
