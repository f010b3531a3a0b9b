"""qmail-trace: tells the story of one message from a log.

qmail-trace [--json] [--log FILE]... NUMBER | ADDRESS | @DOMAIN | '<MESSAGE-ID>' [FILE]...
-j, --json: one JSON object a line, for each message. A FILE may be the directory of a multilog, svlogd or s6-log.
Without one the log is read from descriptor 0.

Runs as: anybody who may read the log.
Descriptors: 0 the log, where no file is named; 1 the story; 2 what went wrong.
Exit codes: 0 told; 100 nothing of it is in the log, or wrong usage; 111 a log cannot be read.
Control files: none; there is more to tell where control/trace says 1.
Trusts: nobody. A line is at most LINE bytes, and what it says is shown printable; memory is bounded (rules/tracestory).
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.rules import date, trace, tracelog
from qmailpy.rules.tracemessage import Message, Query
from qmailpy.rules.tracestory import MOST_LINES, Tracker
from qmailpy.rules.tracewords import delivery, is_beginning, printable, sentence
from qmailpy.system import clock, descriptors
from qmailpy.system.lines import read_lines
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.rules.tracemessage import Piece

USAGE = b"usage: qmail-trace [ --json ] [ --log file ] number | address | @domain | '<message-id>' [ file ... ]"
LINE = 32768  # bytes; qmail-send's longest lines have 10 kB
_NO_TRACE = b"; a Message-ID is in the log only since control/trace says 1"


class Wanted:
    """What the command line says."""

    __slots__ = ("json", "logs", "query", "word")

    def __init__(self, argv: list[bytes]) -> None:
        """Errors: Die PERM, the usage."""
        self.json, self.logs = False, []  # type: bool, list[bytes]
        plain: list[bytes] = []
        left = argv[:0:-1]
        while left:
            word = left.pop()
            if word in (b"-j", b"--json"):
                self.json = True
            elif word == b"--log" and left:
                self.logs.append(left.pop())
            elif word.startswith(b"--log="):
                self.logs.append(word.partition(b"=")[2])
            elif word == b"--":
                plain += left[::-1]
                break
            elif word.startswith(b"-"):
                raise Die(PERM, USAGE)
            else:
                plain.append(word)
        if not plain:
            raise Die(PERM, USAGE)
        self.word, *more = plain
        self.logs += more
        try:
            self.query = Query(self.word)
        except ValueError:
            raise Die(PERM, USAGE) from None


# reading


def _read(log: bytes, tracker: Tracker) -> None:
    """Every line of one log; empty: of descriptor 0.  Errors: Die TEMP."""
    descriptor = 0
    try:
        if log:
            descriptor = posix.open(log, posix.O_RDONLY | posix.O_CLOEXEC)
        _read_lines(descriptor, tracker)
    except OSError as error:
        raise Die(TEMP, b"unable to read %s: %s" % (log or b"descriptor 0", words(error))) from None
    finally:
        if descriptor:
            posix.close(descriptor)


def _files(log: bytes) -> list[bytes]:
    """Of a logger's directory its old logs, the oldest first, and the current one; else the log itself."""
    try:
        names = posix.listdir(log)
    except OSError:  # no directory; or whoever opens it says what is wrong
        return [log]
    old = sorted(name for name in names if name.startswith(b"@"))
    old += [name for name in names if name == b"previous"]  # current becomes this, and then an old one
    return [log.rstrip(b"/") + b"/" + name for name in (*old, b"current")]


def _read_lines(descriptor: int, tracker: Tracker) -> None:
    held: tuple[bytes, bytes] | None = None  # splogger may go on with it
    for raw, _ in read_lines(descriptor, LINE):
        prefix, text, continues = tracelog.split(raw)
        if continues:
            if held is not None and held[0] == prefix and len(held[1]) < LINE:
                held = prefix, held[1] + text
            continue
        if not text.startswith(tracelog.WORDS):  # other programs write there too
            continue
        if held is not None:
            tracker.take(*held)
        held = prefix, text
    if held is not None:
        tracker.take(*held)


# telling


class Teller:
    """Shows times as this host does."""

    def __init__(self) -> None:
        """Now."""
        self._now = clock.now()
        self._east = clock.east_of_utc(self._now)

    def moment(self, prefix: bytes) -> int | None:
        """When, in nanoseconds since the epoch."""
        return tracelog.moment(prefix, self._now, self._east)

    def ordered(self, message: Message) -> "list[tuple[int | None, Piece]]":
        """Its lines in the order of their times, where all have one; else as they stand in the logs.

        Who brought it stands before what became of it, whoever was quicker to write it.
        """
        found = [(self.moment(piece[1]), piece) for piece in sorted(message.lines)]
        if all(when is not None for when, _ in found):
            found.sort(key=lambda each: (each[0], each[1][0]))
        found.sort(key=lambda each: not is_beginning(each[1][2]))
        return found

    @staticmethod
    def day(seconds: int) -> bytes:
        """The date, local."""
        return b"%04d-%02d-%02d" % date.civil(seconds + clock.east_of_utc(seconds))[:3]

    @staticmethod
    def time(seconds: int) -> bytes:
        """The time of day, local."""
        return b"%02d:%02d:%02d" % date.civil(seconds + clock.east_of_utc(seconds))[3:6]

    def both(self, seconds: int) -> bytes:
        """Date and time."""
        return self.day(seconds) + b" " + self.time(seconds)

    def text(self, message: Message) -> bytes:
        """For a person."""
        lines = self.ordered(message)
        first = next((when for when, _ in lines if when is not None), None)
        head = b"message %d" % message.number
        if first is not None:
            head += b", " + self.day(first // tracelog.NANO)
        if message.because is not None:
            head += b" (because of message %d)" % message.because
        told = [head]
        if not message.entered:
            told.append(b"  the log begins later than this message")
        if len(message.lines) >= MOST_LINES:
            told.append(b"  it has more lines than %d; these are the first" % MOST_LINES)
        elif message.cut:
            told.append(b"  earlier lines were left off, there were too many; ask for %d" % message.number)
        day = b"" if first is None else self.day(first // tracelog.NANO)
        spoken = b""  # the delivery that the last line was about
        for when, piece in lines:
            says = sentence(piece[2], self.both)
            if not says:
                continue
            number = delivery(piece[2])
            detail = says.lstrip()
            if number and number != spoken and detail != says and not detail.startswith(b"delivery "):
                says = b"  delivery %s: %s" % (number, detail)  # others are under way at the same time
            spoken = number or spoken
            at = b""
            if when is not None:
                seconds, nanoseconds = divmod(when, tracelog.NANO)
                if self.day(seconds) != day:
                    day = self.day(seconds)
                    told.append(b"  " + day)
                at = self.time(seconds) + b".%03d  " % (nanoseconds // 1_000_000)
            told.append(b"  " + at + says)
        if not message.ended:
            told.append(b"  and there the log ends: it has not left the queue, as far as this log says")
        return b"\n".join(told) + b"\n"

    def json(self, message: Message) -> bytes:
        """For a program."""
        import json

        def shown(raw: bytes) -> str:
            return raw.decode("utf-8", "surrogateescape")

        events = []
        for when, (_, _, text) in self.ordered(message):
            event: dict[str, object] = {"time": None if when is None else when / tracelog.NANO, "line": shown(text)}
            fields = trace.decode(text[len(trace.PREFIX) :]) if text.startswith(trace.PREFIX) else None
            if fields is not None:
                event["trace"] = {name: shown(value) for name, value in fields.items()}
            event["says"] = shown(sentence(text, self.both)).strip()
            events.append(event)
        told = {
            "message": message.number,
            "key": shown(message.key) or None,
            "bytes": None if message.bytes < 0 else message.bytes,
            "sender": None if message.sender is None else shown(message.sender),
            "qp": None if message.qp < 0 else message.qp,
            "uid": None if message.uid < 0 else message.uid,
            "because": message.because,
            "ended": message.ended,
            "whole": message.entered and not message.cut,
            "events": events,
        }
        return json.dumps(told).encode() + b"\n"

    def refusals(self, pieces: "list[Piece]") -> bytes:
        """What servers did not take."""
        lines = [b"refused by a server:"]
        for _, prefix, text in pieces:
            when = self.moment(prefix)
            lines.append(b"  " + (b"" if when is None else self.both(when // tracelog.NANO) + b"  ") + printable(text))
        return b"\n".join(lines) + b"\n"


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del home
    wanted = Wanted(argv)
    if not wanted.logs and posix.isatty(0):
        raise Die(PERM, b"no log: name its file, or say: journalctl -t qmail -o short-iso | qmail-trace " + wanted.word)
    tracker = Tracker(wanted.query)
    for log in wanted.logs or [b""]:
        for file in _files(log):
            _read(file, tracker)
    teller = Teller()
    if not (tracker.stories or tracker.refusals):
        raise Die(PERM, b"nothing about %s in this log" % wanted.word + (_NO_TRACE if wanted.query.name else b""))
    if tracker.dropped:
        gone = b"qmail-trace: %d earlier messages are left out: only the last %d are told; ask for less"
        descriptors.say(gone % (tracker.dropped, len(tracker.stories)))
    show = teller.json if wanted.json else teller.text
    for at, message in enumerate(tracker.stories):
        descriptors.write_all(1, (b"" if wanted.json or not at else b"\n") + show(message))
    if tracker.refusals and not wanted.json:
        descriptors.write_all(1, (b"\n" if tracker.stories else b"") + teller.refusals(list(tracker.refusals)))
    return EXIT[OK]
