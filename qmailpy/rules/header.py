"""Header fields: which ones mean something at injection, and where a header ends.

The reader takes a message in pieces of any size and gives whole fields one at a time, so that a header of a million
fields never is a million objects. Source: spec/07-inject.md 3 and 4.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 64 << 20  # bytes of a header; a person's has 5 kB, a list manager's with 100,000 addresses 5 MB

# What an address in the field is used for
NOTHING, SENDER, RECIPIENT, RESENT_RECIPIENT = range(4)


class Action:
    """What injection does with one kind of field."""

    __slots__ = ("addresses", "delete", "use")

    def __init__(self, *, addresses: bool = True, use: int = NOTHING, delete: bool = False) -> None:
        """addresses: a list to complete; use: what its addresses are for; delete: it does not reach the reader."""
        self.addresses, self.use, self.delete = addresses, use, delete


_REWRITTEN = Action()
ACTIONS = {
    b"to": Action(use=RECIPIENT),
    b"cc": Action(use=RECIPIENT),
    b"apparently-to": Action(use=RECIPIENT),
    b"bcc": Action(use=RECIPIENT, delete=True),
    b"resent-to": Action(use=RESENT_RECIPIENT),
    b"resent-cc": Action(use=RESENT_RECIPIENT),
    b"resent-bcc": Action(use=RESENT_RECIPIENT, delete=True),
    b"return-path": Action(use=SENDER, delete=True),
    b"sender": _REWRITTEN,
    b"from": _REWRITTEN,
    b"reply-to": _REWRITTEN,
    b"return-receipt-to": _REWRITTEN,
    b"errors-to": _REWRITTEN,
    b"resent-sender": _REWRITTEN,
    b"resent-from": _REWRITTEN,
    b"resent-reply-to": _REWRITTEN,
    b"content-length": Action(addresses=False, delete=True),
}
RESENT = frozenset(
    b"resent-" + name for name in (b"sender", b"from", b"reply-to", b"to", b"cc", b"bcc", b"date", b"message-id")
)
_PRINTABLE = bytes(range(33, 127))


def name_of(field: bytes) -> bytes:
    """The lower-cased name of a field; empty if the line is none (no colon, no name, a strange byte in it)."""
    name = field[: max(field.find(b":"), 0)].rstrip(b" \t")
    return b"" if name.translate(None, _PRINTABLE) else name.lower()


class HeaderTooLong(Exception):
    """A header of more than LIMIT bytes."""


class HeaderReader:
    """Finds the fields of a header and the start of the body.

    rest: once the header has ended, the first bytes of the body, its empty line included. What has no empty line
    after its header gets one, if there is a body at all.
    """

    __slots__ = ("_buffer", "_field", "_scanned", "_size", "_take", "rest")

    def __init__(self, take: "Callable[[bytes], None]") -> None:
        """take: is given each field with its LF, continuation lines included."""
        self._take = take
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the buffer that hold no LF
        self._field: list[bytes] = []
        self._size = 0
        self.rest = b""

    def feed(self, piece: bytes) -> bool:
        """Read on.  Result: whether the header has ended.  Errors: HeaderTooLong, and what take raises."""
        self._buffer += piece
        self._size += len(piece)
        buffer = self._buffer
        start = 0
        while (end := buffer.find(b"\n", max(self._scanned, start))) >= 0:
            line = bytes(buffer[start : end + 1])
            if not self._line(line):
                self.rest += line + bytes(buffer[end + 1 :])
                return True
            start = end + 1
        if self._size > LIMIT:
            raise HeaderTooLong
        del buffer[:start]
        self._scanned = len(buffer)
        return False

    def finish(self) -> None:
        """End of input inside the header; a last line without LF gets one.  Errors: as of feed."""
        if not self._buffer or not self.feed(b"\n"):
            self._flush()

    def _line(self, line: bytes) -> bool:
        if line[0] in b" \t" and self._field:
            self._field.append(line)
            return True
        self._flush()
        if line == b"\n":
            return False
        if line.startswith(b"From "):
            line = b"MBOX-Line: " + line
        elif not name_of(line):
            self.rest = b"\n"  # the empty line that is missing
            return False
        self._field = [line]
        return True

    def _flush(self) -> None:
        if self._field:
            field, self._field = b"".join(self._field), []
            self._take(field)
