"""What qmail-trace looks for, and what it knows of a message; and the numbers in lines of the log.  Pure."""

from qmailpy.rules import trace
from qmailpy.rules.logline import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import OrderedDict
    from typing import Any

    Piece = tuple[int, bytes, bytes]  # position in all logs, prefix, text

_DIGITS = b"0123456789"
_REMEMBERED = 20000  # messages whose qp is known, and lines that came before their message


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
    message that led to it, or None; cut: lines were left off; ended: end msg was seen; entered: its beginning was seen;
    at: the position of its first line; gone: nobody will ask for its lines.
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
        self.because: Message | None = None
        self.qp = self.uid = self.bytes = -1
        self.sender: bytes | None = None
        self.held = 0  # bytes of lines
        self.wanted = self.cut = self.ended = self.entered = self.gone = False


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
