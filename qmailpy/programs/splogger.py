"""splogger: lines from descriptor 0 to syslog.

Usage: splogger [tag [facility-number]]
Runs as: qmaill, started by qmail-start.  Descriptors: 0 lines.  Exit codes: 0 at end of file.
Control files: none.  Trusts: nobody; bytes outside 32..126 become '?', a blank line is nothing.

It never blocks the system: without a log daemon, or with one that does not read, lines are dropped and
counted after one short wait, and the first line that gets through again is preceded by the count.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.skeletons import renewal
from qmailpy.system import clock, title
from qmailpy.system.descriptors import READ_SIZE
from qmailpy.system.syslog import ALERT, INFO, MAIL, WARNING, Syslog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 799  # bytes of a line in one syslog message
FACILITIES = 24  # there are so many; a larger number would change the priority's other bits

_PRIORITIES = ((b"warning:", WARNING), (b"alert:", ALERT))
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def stamp(nanoseconds: int) -> bytes:
    """SECS.MICROS6.  nanoseconds: since the epoch.  Source: spec/01 2."""
    return b"%d.%06d" % (nanoseconds // 10**9, nanoseconds // 1000 % 10**6)


def priority_of(piece: bytes) -> int:
    """A line's priority, by how its first piece begins."""
    for prefix, priority in _PRIORITIES:
        if piece.startswith(prefix):
            return priority
    return INFO


class Pieces:
    """Turns lines into syslog messages of at most 799 bytes of text, and counts the lines that got lost."""

    def __init__(self, log: Syslog) -> None:
        """log: where they go."""
        self._log = log
        self._line = b""  # what is there of the present piece
        self._begun = b""  # the stamp of the present line once its first piece has gone out
        self._priority = INFO
        self._lost = 0  # lines, since the last one that got through
        self._whole = True  # no piece of the present line was lost

    def feed(self, content: bytes) -> None:
        """Take more bytes; lines may begin and end anywhere in them."""
        *finished, rest = content.split(b"\n")
        for line in finished:
            self._add(line)
            self.end_line()
        self._add(rest)

    def _add(self, part: bytes) -> None:
        self._line += part.translate(_PRINTABLE)
        while len(self._line) > PIECE:
            piece, self._line = self._line[:PIECE], self._line[PIECE:]
            self._send(piece)

    def end_line(self) -> None:
        """The line is complete (also at end of file, where its LF may be missing)."""
        if self._line:
            self._send(self._line)
        if not self._whole:
            self._lost += 1
        self._line, self._begun, self._whole = b"", b"", True

    def _send(self, piece: bytes) -> None:
        if self._begun:
            text = self._begun + b"+" + piece
        else:
            self._begun, self._priority = stamp(clock.now_ns()), priority_of(piece)
            text = self._begun + b" " + piece
        self.report_lost()
        if not self._log.send(self._priority, text):
            self._whole = False

    def report_lost(self) -> None:
        """Say how many lines were lost, once somebody listens again."""
        if self._lost:
            words = b" warning: splogger lost %d lines: the log daemon did not take them" % self._lost
            if self._log.send(WARNING, stamp(clock.now_ns()) + words):
                self._lost = 0


def copy(descriptor: int, log: Syslog, between: "Callable[[], None]" = lambda: None) -> None:
    """Log every line from a descriptor until its end.  Errors: none; a descriptor that fails is at its end.

    between: called where no line is half read.
    """
    pieces = Pieces(log)
    while True:
        try:
            content = posix.read(descriptor, READ_SIZE)
        except OSError:
            content = b""
        if not content:
            break
        pieces.feed(content)
        if content.endswith(b"\n"):
            between()
    pieces.end_line()
    pieces.report_lost()


def main(argv: list[bytes], home: Home) -> int:
    """Log until the end of descriptor 0."""
    title.set_title("splogger")
    words = argv[: argv.index(renewal.RESUMED)] if renewal.RESUMED in argv else argv
    tag = words[1] if len(words) > 1 else b"splogger"
    number = words[2] if len(words) > 2 else b""

    stale = False

    def renew() -> None:
        nonlocal stale
        if not stale and renewal.is_due(home, argv):
            renewal.exchange(home, argv, [])
            stale = True  # it cannot be run

    facility = int(number) if number.isdigit() and len(number) < 4 else MAIL
    copy(0, Syslog(tag, facility if facility < FACILITIES else MAIL), renew)
    return 0
