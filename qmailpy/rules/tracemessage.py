"""What qmail-trace looks for, and what it knows of a message; and the numbers in lines of the log.  Pure."""

from collections import OrderedDict

from qmailpy.rules import trace
from qmailpy.rules.logline import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Piece = tuple[int, bytes, bytes]  # position in all logs, prefix, text

_DIGITS = b"0123456789"
_REMEMBERED = 20000  # messages whose qp is known, deliveries, lines that came before their message
_EARLY = 100  # lines of one message that came before it
_NEAR = 100_000  # lines between a message and the line that names its qp: such numbers come back too
_OVERHEAD = 150  # bytes of a line besides its text


class Query:
    """What is looked for: a number (or number.nanoseconds), an address (or @domain), a <Message-ID>."""

    __slots__ = ("address", "domain", "key", "name", "number")

    def __init__(self, word: bytes) -> None:
        """word: as on the command line.  Errors: ValueError for one that is nothing of these."""
        self.number, self.key, self.address, self.domain, self.name = -1, b"", b"", b"", b""
        if word.startswith(b"<") and word.endswith(b">") and len(word) > 2:
            self.name = word
        elif trace.split_key(word) is not None:
            self.key, self.number = word, int(word.partition(b".")[0])
        elif word and len(word) < 20 and not word.strip(_DIGITS):
            self.number = int(word)
        elif word.startswith(b"@") and len(word) > 1:
            self.domain = safe(word).lower()
        elif b"@" in word[1:]:
            self.address = safe(word).lower()
        else:
            raise ValueError

    def is_address(self, address: bytes) -> bool:
        """Whether this is one that is looked for.  address: as it came, or as the log shows it."""
        shown = safe(address).lower()
        return shown == self.address if self.address else bool(self.domain) and shown.endswith(self.domain)

    def is_named_by(self, text: bytes) -> bool:
        """Whether this trace line says the Message-ID that is looked for."""
        if not self.name or b" id=" not in text:
            return False
        return (trace.decode(text[len(trace.PREFIX) :]) or {}).get("id") == self.name

    def is_refused_by(self, text: bytes) -> bool:
        """Whether this line of a server says no to mail from or to the address."""
        if not (self.address or self.domain) or b": refused " not in text:
            return False
        head = text.partition(b' reply="')[0].lower()
        return b" from=" in head and (b"<" + self.address if self.address else self.domain) + b">" in head


class Message:
    """One incarnation of a number.

    key: number and nanoseconds, empty where no trace line has said it; qp: -1 where unknown; led_to: qps; because: the
    number of the message that led to it, or None; held: bytes of its lines; cut: lines were left off; ended: end msg
    was seen; entered: its beginning was seen; at: the position of its first line; gone: nobody will ask for its lines.
    """

    __slots__ = (
        *(
            "at",
            "because",
            "bytes",
            "cut",
            "ended",
            "entered",
            "gone",
            "held",
            "key",
            "led_to",
            "lines",
            "number",
            "qp",
        ),
        *("sender", "uid", "wanted"),
    )

    def __init__(self, number: int, at: int) -> None:
        """Nothing else is known."""
        self.number, self.at, self.key = number, at, b""
        self.lines: list[Piece] = []
        self.led_to: list[int] = []
        self.because: int | None = None  # no more: a chain of messages would keep each other
        self.qp = self.uid = self.bytes = -1
        self.sender: bytes | None = None
        self.held = 0
        self.wanted = self.cut = self.ended = self.entered = self.gone = False

    def forget(self) -> None:
        """What was said of it."""
        self.held = 0
        self.lines.clear()
        self.led_to.clear()


class Early:
    """Lines that came before their message: the oldest go where they are too many, or too long."""

    __slots__ = ("_budget", "_held", "_pieces")

    def __init__(self, budget: int) -> None:
        """budget: of bytes."""
        self._budget, self._held = budget, 0
        self._pieces: OrderedDict[tuple[str, int | bytes], list[Piece]] = OrderedDict()

    def keep(self, key: "tuple[str, int | bytes]", piece: "Piece", most: int = _EARLY) -> None:
        """most: lines of this message that are kept besides."""
        pieces = self._pieces[key] = [*self.take(key)[:most], piece]
        self._held += sum(map(weight, pieces))
        while len(self._pieces) > _REMEMBERED or self._held > self._budget:
            self._held -= sum(map(weight, self._pieces.popitem(last=False)[1]))

    def take(self, key: "tuple[str, int | bytes]") -> "list[Piece]":
        """Its message has come."""
        pieces = self._pieces.pop(key, [])
        self._held -= sum(map(weight, pieces))
        return pieces


class Leading:
    """Which message has which qp, and which lead to one that has not come yet."""

    __slots__ = ("_awaited", "_by_qp")

    def __init__(self) -> None:
        """None yet."""
        self._by_qp: OrderedDict[int, Message] = OrderedDict()
        self._awaited: OrderedDict[int, tuple[int, int]] = OrderedDict()  # number that leads to it, said where

    def of(self, qp: int) -> Message | None:
        """The last one that had it."""
        return self._by_qp.get(qp)

    def come(self, message: Message, at: int) -> bool:
        """It has a qp.  Result: whether one that is wanted leads to it.  at: the position of the line."""
        remember(self._by_qp, message.qp, message)
        parent, said = self._awaited.pop(message.qp, (-1, 0))
        if parent < 0 or at - said >= _NEAR:
            return False
        message.because = parent
        return True

    def lead(self, message: Message, qp: int, at: int) -> Message | None:
        """The message that this one, which is wanted, leads to, if that is there."""
        other = self._by_qp.get(qp)
        if other is None or other is message or other.gone or at - other.at >= _NEAR:
            remember(self._awaited, qp, (message.number, at))
            return None
        other.because = message.number if other.because is None else other.because
        return other


def weight(piece: "Piece") -> int:
    """Bytes that it takes."""
    return len(piece[1]) + len(piece[2]) + _OVERHEAD


def _digits(text: bytes) -> int | None:
    length = len(text) - len(text.lstrip(_DIGITS))
    return int(text[:length]) if 0 < length < 20 else None


def first(text: bytes, before: bytes) -> int | None:
    """The number after these words at the beginning."""
    return _digits(text[len(before) :]) if text.startswith(before) else None


def behind(text: bytes, before: bytes) -> int | None:
    """The number after the first of these words."""
    at = text.find(before)
    return _digits(text[at + len(before) :]) if at >= 0 else None


def forwarded(text: bytes) -> int | None:
    """The qp that qmail-local's summary of a delivery names; a user's own words may stand before it."""
    words = text[text.rfind(b"did_") :].split(b"/")
    good = b": success: " in text and len(words) > 1 and not words[0].strip(b"did_0123456789+")
    return first(words[1], b"qp_") if good else None


def last(text: bytes, before: bytes) -> int | None:
    """The number after the last of these words."""
    at = text.rfind(before)
    return _digits(text[at + len(before) :]) if at >= 0 else None


def remember(table: "OrderedDict[Any, Any]", key: object, value: object) -> None:
    """Put it into the table, where the youngest stay."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > _REMEMBERED:
        table.popitem(last=False)
