"""Deliveries under way on one channel: slots, commands to the spawner, its reports (spec/03 2 and 3).

The spawner's words are believed only as far as they make sense: a report for a slot that is not in use is logged and
ignored, an unknown letter defers.
"""

import heapq
import posix

from qmailpy.disk.queue.paths import Paths
from qmailpy.rules import logline, verp
from qmailpy.send.log import Log
from qmailpy.system import descriptors
from qmailpy.system.loop import Loop
from qmailpy.wire.delivery import Command, ReportReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Ended = Callable[[bytes, bytes], None]

_OUT_LIMIT = 65536  # bytes of commands that wait for a spawner that does not read


class Delivery:
    """One attempt at one recipient.  dying: whether a temporary failure is final."""

    __slots__ = ("dying", "ended", "number")

    def __init__(self, number: int, ended: "Ended", *, dying: bool) -> None:
        """number: for the log; ended(letter, text): told once, letter K, Z, D or something mangled."""
        self.number, self.ended, self.dying = number, ended, dying


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
        self._loop, self._log, self._counts, self._lost = loop, log, counts, lost
        self._commands, self._reports = pipes
        self._reader = ReportReader(wide)
        self._running: dict[int, Delivery] = {}
        self._free: list[int] = []
        self._out = b""
        self.channel = channel
        self.limit = 0
        self.alive = True
        posix.set_blocking(self._commands, False)
        loop.on_read(self._reports, self._hear)

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
        """Set the number of slots once the spawner has announced its own.  wanted: of the control file, >= 0."""
        self.limit = min(wanted, self._reader.announced or 0, self._reader.notation.limit)
        self._free = list(range(self.limit))  # sorted, and so a heap

    @property
    def running(self) -> int:
        """How many deliveries are under way."""
        return len(self._running)

    @property
    def has_room(self) -> bool:
        """Whether start() may be called."""
        return bool(self._free) and self.alive and len(self._out) < _OUT_LIMIT

    def start(self, number: int, sender: bytes, recipient: bytes, ended: "Ended", *, dying: bool) -> None:
        """Begin an attempt: the command goes out with the next flush().  number: the message's."""
        slot = heapq.heappop(self._free)
        self._counts.last += 1
        self._running[slot] = Delivery(self._counts.last, ended, dying=dying)
        command = Command(slot, Paths.message_id(number), verp.expand(sender, recipient), recipient)
        self._out += command.encode(self._reader.notation)
        self._log.say(logline.starting(self._counts.last, number, self.channel, recipient))
        self._counts.show()

    def flush(self) -> None:
        """Send what the spawner takes now."""
        if not self._out or not self.alive:
            return
        try:
            self._out = self._out[descriptors.write_pieces(self._commands, self._out) :]
        except OSError:
            self._break()
            return
        self._loop.on_write(self._commands, self.flush if self._out else None)

    def _hear(self) -> None:
        try:
            piece = posix.read(self._reports, descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._break()
            return
        for report in self._reader.feed(piece):
            self._end(report.slot, report.letter, report.text)

    def _end(self, slot: int, letter: bytes, text: bytes) -> None:
        delivery = self._running.pop(slot, None)
        if delivery is None:
            self._log.say(logline.OUT_OF_RANGE)
            return
        heapq.heappush(self._free, slot)
        if letter == b"Z" and delivery.dying:
            letter, text = b"D", text + logline.TOO_LONG
        self._log.say(logline.verdict(delivery.number, letter, text))
        delivery.ended(letter, text)
        self._counts.show()

    def _break(self) -> None:
        """Whoever was being delivered to is tried again after the next start."""
        self.alive = False
        self._running.clear()
        self._out = b""
        self._loop.forget(self._commands)
        self._loop.forget(self._reports)
        self._lost()
