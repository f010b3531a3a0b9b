"""What senders are told: bounces, and what they asked for with NOTIFY (RFC 3461). Composed in a child of send/bounces.

A bounce is on disk until it is in the queue. That a message got through or is late is known to this process only: such
a report is tried again until we end, but nobody is told after a crash (PIC/INTERNALS 9). It has all that it says with
it, for the message may be gone when it is written.
"""

from qmailpy.disk.home import Home
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.disk.queue.wishes import Info
from qmailpy.rules import bounce, date, delivery_status, logline, verp
from qmailpy.rules.bounce import Bounce
from qmailpy.rules.delivery_status import DELAYED, DELIVERED, FAILED, RELAYED, Outcome
from qmailpy.rules.notice import Notice
from qmailpy.send.bounces import Bounces
from qmailpy.send.controls import Controls
from qmailpy.send.jobs import FAILED_RETRY, Job
from qmailpy.send.log import Log
from qmailpy.skeletons.submit import Result, Submission
from qmailpy.system import clock, identity
from qmailpy.system.loop import Loop
from qmailpy.wire import parameters
from qmailpy.wire.delivery import LOCAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Make = Callable[[int, int], tuple[Notice, Iterable[bytes]]]

_HEADER_LIMIT = 65536  # bytes of a header in a report without its message
_MOST = 1000  # recipients in a report that was asked for
_COLLECTED_LIMIT = 1 << 20  # bytes of failures in one notice about many messages
_UNLISTED = b"<and-others>:\nMore addresses failed than this notice has room for.\n\n"


class Reports:
    """Everything that is told to senders."""

    def __init__(self, loop: Loop, log: Log, home: Home, queue: Queue, controls: Controls, bounces: Bounces) -> None:
        """bounces: who has them injected."""
        self._loop, self._log, self._home, self._queue, self._controls = loop, log, home, queue, controls
        self._bounces = bounces
        self._telling: set[int] = set()  # messages whose delay is being told
        self.may_report: Callable[[bytes], bool] = _yes  # whether this sender may be told more

    # bounces

    def bounce(self, number: int, info: Info, bounced: "Callable[[int | None], None]") -> None:
        """Inject the bounce of this message.  Parameters: as of Bounces.start().  Errors: OSError."""
        self._bounces.start(number, lambda: self._submit_bounce([number], info), bounced)

    def bounce_many(self, numbers: list[int], info: Info, bounced: "Callable[[int | None], None]") -> None:
        """One bounce for all of these, which have one sender.  info: of the first.  Errors: OSError."""
        self._bounces.start(-1, lambda: self._submit_bounce(numbers, info), bounced)

    def _submit_bounce(self, numbers: list[int], info: Info) -> Result:
        """In the child: with all of the message, or, where that is too large, with its header."""
        wished = parameters.of_message(info.parameters)
        is_single = verp.base(info.sender) != b""  # in the body of a bounce stands why it was sent
        headers_only = len(numbers) > 1 or (is_single and self._controls.us.headers_only)
        whole = not headers_only and (wished is None or wished.ret != parameters.HDRS)
        result = self._try_bounce(numbers, info, wished, whole=whole)
        if whole and result.text.startswith(b"D"):  # too large, say: the sender must hear of it all the same
            result = self._try_bounce(numbers, info, wished, whole=False)
        return result

    def _try_bounce(
        self, numbers: list[int], info: Info, wished: parameters.MessageParameters | None, *, whole: bool
    ) -> Result:
        us = self._controls.us
        now = clock.now()
        east = clock.east_of_utc(now)
        also = len(numbers) if len(numbers) > 1 else 0
        failure = Bounce(info.sender, us, now, east, also)
        original = (lambda: self._queue.message(numbers[0])) if whole else (lambda: [self._header(numbers[0])])
        if not us.is_mime:
            return self._submit(
                (failure.before,),
                self._texts(numbers),
                (failure.between,),
                original(),
                envelope=(failure.envelope_sender, failure.recipient),
            )
        return_path = bounce.return_path(verp.base(info.sender))
        notice = Notice.of_bounce(failure, us)
        originals = {} if also else self._originals(info)
        pieces = notice.pieces(
            self._stamp(now),
            lambda: (
                Outcome(address, FAILED, text, originals.get(address, b""))
                for address, text in delivery_status.records(self._texts(numbers))
            ),
            lambda: _chain((return_path,), original()),
            None if also else wished,
            arrived=None if also else info.birth,
            whole=whole,
        )
        return self._submit(pieces, envelope=(notice.envelope_sender, notice.recipient))

    def _texts(self, numbers: list[int]) -> "Iterator[bytes]":
        """The records of these; of many, as many as there is room for.  Errors: OSError."""
        room = _COLLECTED_LIMIT
        for number in numbers:
            try:
                for piece in self._queue.bounce_text(number):
                    room -= len(piece)
                    yield piece
            except FileNotFoundError:
                if len(numbers) == 1:
                    raise
            if room < 0 and number != numbers[-1]:
                yield _UNLISTED
                return

    def _originals(self, info: Info) -> dict[bytes, bytes]:
        """ORCPT of each address, as the sender knows it.  Errors: Trouble."""
        found = {}
        for wish in info.wishes():
            wished = parameters.of_recipient(wish.text)
            if wished is not None and wished.orcpt:
                found[self._known(wish.address)] = wished.orcpt
        return found

    def _known(self, recipient: bytes) -> bytes:
        """A stored address as the sender knows it."""
        return bounce.without_prefix(recipient, self._controls.domains.virtual).replace(b"\n", b"_")

    # what was asked for

    @staticmethod
    def wants(wished: parameters.RecipientParameters | None, event: bytes, sender: bytes) -> bool:
        """Whether this sender asked to be told of this: SUCCESS or DELAY."""
        return wished is not None and event in wished.notify.split(b",") and sender not in (b"", bounce.DOUBLE_SENDER)

    def outcome(self, channel: int, letter: bytes, recipient: bytes, text: bytes, original: bytes) -> Outcome:
        """What a report will say of one recipient.  letter: K, or a deferral's."""
        done = DELIVERED if channel == LOCAL else RELAYED
        return Outcome(self._known(recipient), done if letter == b"K" else DELAYED, text, original)

    def tell_success(self, job: Job, outcomes: list[Outcome]) -> None:
        """These recipients of this message have it.  The message must still be there."""

        def make(now: int, east: int) -> Notice:
            return Notice.of_success(verp.base(job.sender), self._controls.us, now, east)

        if self.may_report(verp.base(job.sender)):
            self._tell(job, outcomes, make, lambda: None)

    def tell_delay(self, job: Job, outcomes: list[Outcome]) -> None:
        """These recipients wait for it; said once for each message."""
        if job.number in self._telling or not self.may_report(verp.base(job.sender)):
            return
        until = job.birth + self._controls.lifetime

        def make(now: int, east: int) -> Notice:
            return Notice.of_delay(verp.base(job.sender), self._controls.us, now, east, until)

        self._telling.add(job.number)
        self._tell(job, outcomes, make, lambda: self._told(job.number))

    def _told(self, number: int) -> None:
        self._telling.discard(number)
        try:
            self._queue.remember_told(number)
        except Trouble:
            pass  # the message has gone meanwhile, or the sender will be told twice

    def _tell(
        self, job: Job, outcomes: list[Outcome], make: "Callable[[int, int], Notice]", told: "Callable[[], None]"
    ) -> None:
        try:
            header = self._header(job.number)
        except OSError:
            header = b""
        number, sender, birth, wished = job.number, job.sender, job.birth, job.parameters
        original = bounce.return_path(verp.base(sender)) + header

        def submit() -> Result:
            now = clock.now()
            notice = make(now, clock.east_of_utc(now))
            listed = outcomes[:_MOST]
            pieces = notice.pieces(
                self._stamp(now), lambda: listed, lambda: (original,), wished, arrived=birth, whole=False
            )
            return self._submit(pieces, envelope=(notice.envelope_sender, notice.recipient))

        def bounced(qp: int | None) -> None:
            if qp is None:
                self._log.say(logline.NO_BOUNCE)
                self._loop.after(FAILED_RETRY, start)
                return
            self._log.say(logline.reported(number, outcomes[0].action, qp))
            told()

        def start() -> None:
            try:
                self._bounces.start(0, submit, bounced)
            except OSError:
                bounced(None)

        start()

    # in the child

    @staticmethod
    def _stamp(now: int) -> bytes:
        return b"%s.%d.qmail" % (date.message_id_stamp(now), identity.my_pid())

    def _header(self, number: int) -> bytes:
        """The header of a message, or as much of it as there is.  Errors: OSError."""
        piece = next(self._queue.message(number), b"")[:_HEADER_LIMIT]
        at = 0
        while (end := piece.find(b"\n", at)) >= 0:
            if not piece[at:end].strip(b"\r"):  # a message may have come with CRs, and they are kept
                return piece[: end + 1]
            at = end + 1
        return piece

    def _submit(self, *texts: "Iterable[bytes]", envelope: tuple[bytes, bytes]) -> Result:
        submission = Submission(self._home)
        try:
            for piece in _chain(*texts):
                submission.write(piece)
        except (OSError, Trouble):
            submission.fail()
        return submission.close(envelope[0], [envelope[1]])


def _yes(_sender: bytes) -> bool:
    return True


def _chain(*texts: "Iterable[bytes]") -> "Iterator[bytes]":
    for pieces in texts:
        yield from pieces
