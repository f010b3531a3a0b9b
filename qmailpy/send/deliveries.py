"""Deliveries under way on one channel: slots, commands to the spawner, its reports (spec/03 2 and 3).

The spawner's words are believed only as far as they make sense: a report for a slot that is not in use is logged and
ignored, an unknown letter defers.
"""

import heapq

from qmailpy.disk.queue.paths import Paths
from qmailpy.rules import logline, verp
from qmailpy.send.log import Log
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from qmailpy.system.neighbour import Neighbour
from qmailpy.wire import wished
from qmailpy.wire.delivery import CHANNELS, REMOTE, TRACE, Command, Report, ReportReader
from qmailpy.wire.parameters import Parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Ended = Callable[[bytes, bytes], None]

_OUT_LIMIT = 65536  # bytes of commands that wait for a spawner that does not read


class Delivery:
    """One attempt at one recipient.  dying: whether a temporary failure is final; parameters: his, or None.

    began: on the monotonic clock, where its story is told.
    """

    __slots__ = ("began", "dying", "ended", "message", "number", "parameters")

    def __init__(
        self, number: int, message: int, ended: "Ended", *, dying: bool, parameters: Parameters | None = None
    ) -> None:
        """number: for the log; message: its number; ended(letter, text): told once, letter K, Z, D or mangled."""
        self.number, self.message, self.ended, self.dying = number, message, ended, dying
        self.parameters = parameters
        self.began = 0.0


class Counts:
    """What both channels share: the number of the last delivery, and who shows the status."""

    __slots__ = ("last", "show")

    def __init__(self, show: "Callable[[], None]") -> None:
        """show: logs the status line."""
        self.last = 0
        self.show = show


class Deliveries:
    """One spawner, as qmail-send sees it."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        counts: Counts,
        channel: int,
        pipes: tuple[int, int],
        lost: "Callable[[], None]",
        *,
        wide: bool,
    ) -> None:
        """pipes: for commands and of reports; lost: called once, when the spawner is gone."""
        self._tells = CHANNELS[channel] in log.trace.tellers
        self._log, self._counts, self._lost = log, counts, lost
        self._neighbour = Neighbour(loop, pipes, self._hear, self._lose)
        self._reader = ReportReader(wide)
        self._running: dict[int, Delivery] = {}
        self._free: list[int] = []
        self.channel = channel
        self.limit = 0
        self.flush = self._neighbour.flush
        self.heard: Callable[[int, bytes, bytes], None] = _nobody  # told of every end: message, letter, text

    @property
    def alive(self) -> bool:
        """Whether there is a spawner."""
        return self._neighbour.alive

    @property
    def announced(self) -> bool:
        """Whether the spawner has said how many deliveries it can run."""
        return self._reader.announced is not None

    @property
    def note(self) -> bytes:
        """What the spawner announced, for the process that we may become."""
        return self._reader.note()

    def resume(self, note: bytes) -> None:
        """The spawner announced itself to the process that became us."""
        self._reader.resume(note)

    def limit_to(self, wanted: int) -> None:
        """Set the number of slots, once the spawner has announced its own.  wanted: of the control file, >= 0.

        Deliveries under way go on, in slots beyond the new number too.
        """
        self.limit = min(wanted, self._reader.announced or 0, self._reader.notation.limit)
        self._free = [slot for slot in range(self.limit) if slot not in self._running]  # sorted, and so a heap

    @property
    def running(self) -> int:
        """How many deliveries are under way."""
        return len(self._running)

    @property
    def has_room(self) -> bool:
        """Whether start() may be called."""
        has_slot = bool(self._free) and len(self._running) < self.limit
        return has_slot and self._neighbour.alive and self._neighbour.unsent < _OUT_LIMIT

    def start(
        self,
        number: int,
        sender: bytes,
        recipient: bytes,
        ended: "Ended",
        *,
        dying: bool,
        parameters: Parameters | None = None,
    ) -> None:
        """Begin an attempt: the command goes out with the next flush().  number: the message's.

        parameters: kept with the delivery; qmail-rspawn is told of them, if it is ours.
        """
        slot = heapq.heappop(self._free)
        self._counts.last += 1
        delivery = Delivery(self._counts.last, number, ended, dying=dying, parameters=parameters)
        self._running[slot] = delivery
        traced = self._log.trace.on
        sender = verp.expand(sender, recipient)
        wishes = wished.encode(parameters) if parameters is not None and self.channel == REMOTE else b""
        command = Command(
            slot, Paths.message_id(number), sender, recipient, traced=traced and self._tells, wished=wishes
        )
        self._neighbour.say(command.encode(self._reader.notation))
        self._log.say(logline.starting(self._counts.last, number, self.channel, recipient))
        if traced:
            delivery.began = clock.monotonic()
            last = {"last": 1} if dying else {}
            self._log.trace.tell(number, b"try", delivery=delivery.number, recipient=recipient, **last)
        self._counts.show()

    def _hear(self, piece: bytes) -> None:
        for report in self._reader.feed(piece):
            if report.letter == TRACE and self._tells:
                self._be_told(report)
            else:
                self._end(report.slot, report.letter, report.text)

    def _be_told(self, report: Report) -> None:
        delivery = self._running.get(report.slot)
        if delivery is not None:
            self._log.trace.hear(delivery.message, delivery.number, self.channel, report)

    def _end(self, slot: int, letter: bytes, text: bytes) -> None:
        delivery = self._running.pop(slot, None)
        if delivery is None:
            self._log.say(logline.OUT_OF_RANGE)
            return
        if slot < self.limit:
            heapq.heappush(self._free, slot)
        expired = letter == b"Z" and delivery.dying
        if expired:
            letter, text = b"D", text + logline.TOO_LONG
        self._log.say(logline.verdict(delivery.number, letter, text))
        if self._log.trace.on:
            self._tell_end(delivery, letter, expired=expired)
        delivery.ended(letter, text)
        self.heard(delivery.message, letter, text)
        self._counts.show()

    def _tell_end(self, delivery: Delivery, letter: bytes, *, expired: bool) -> None:
        tenths = round((clock.monotonic() - delivery.began) * 10) if delivery.began else 0
        self._log.trace.tell(
            delivery.message,
            b"result",
            delivery=delivery.number,
            verdict=logline.VERDICTS.get(letter, b"mangled"),
            seconds=b"%d.%d" % divmod(tenths, 10),
            **({"expired": 1} if expired else {}),
        )

    def _lose(self) -> None:
        """Whoever was being delivered to is tried again after the next start."""
        self._running.clear()
        self._lost()


def _nobody(_message: int, _letter: bytes, _text: bytes) -> None:
    """Nobody wants to know."""
