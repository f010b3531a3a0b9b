"""Netstrings: a length in decimal, a colon, so many bytes, a comma.

The form that QMTP and QMQP are made of, and what our own processes ask each other (skeletons/questions). Strict: no
leading zeros, no signs, no blanks; every length is bounded before a byte of what it announces is taken. A list is
the netstrings of its items, one after the other.
Used by wire/qmtp, wire/qmqp, receive/, skeletons/. Both ends are here.
"""

LONGEST = 200_000_000  # bytes of one netstring that anybody may announce
_DIGITS = b"0123456789"
_MOST_DIGITS = len(b"%d" % LONGEST)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class NetstringError(Exception):
    """This is no netstring, and whatever follows means nothing."""


class TooLong(NetstringError):
    """It announces more bytes than are allowed."""


def encode(content: bytes) -> bytes:
    """One netstring."""
    return b"%d:%b," % (len(content), content)


def pack(items: "Iterable[bytes]") -> bytes:
    """A list, to be put into a question or its answer."""
    return b"".join([b"%d:%b," % (len(item), item) for item in items])


def unpack(content: bytes, limit: int = LONGEST) -> list[bytes]:
    """The list that pack() made of it.  Errors: NetstringError, also where something is missing at its end."""
    decoder = Decoder(limit)
    items = decoder.feed(content)
    if not decoder.idle:
        raise NetstringError("cut off")
    return items


def head(came: bytes, limit: int = LONGEST) -> tuple[int, int] | None:
    """The length that these bytes begin with, and how many of them tell it, the colon among them.

    None: the colon has not come yet.  limit: bytes.  Errors: NetstringError; TooLong as soon as it is certain.
    """
    digits, colon, _ = came[: _MOST_DIGITS + 1].partition(b":")
    if digits.strip(_DIGITS) or (digits.startswith(b"0") and len(digits) > 1) or (colon and not digits):
        raise NetstringError("not a length")
    if len(digits) > _MOST_DIGITS or (digits and int(digits) > min(limit, LONGEST)):
        raise TooLong("too long")
    return (int(digits), len(digits) + 1) if colon else None


class Decoder:
    """A stream of netstrings, in pieces of any size, none of them larger than a limit.

    What it holds is never more than one netstring and the piece that was fed last.
    """

    __slots__ = ("_came", "_limit", "_wanted")

    def __init__(self, limit: int) -> None:
        """limit: bytes of one netstring."""
        self._limit = limit
        self._came = bytearray()
        self._wanted = 0  # bytes before it is worth looking again

    @property
    def idle(self) -> bool:
        """Whether nothing is half here."""
        return not self._came

    def feed(self, piece: bytes) -> list[bytes]:
        """The netstrings that these bytes complete, in their order.  Errors: NetstringError; feed nothing more then."""
        self._came += piece
        if len(self._came) < self._wanted:
            return []
        items: list[bytes] = []
        at = self._wanted = 0
        while at < len(self._came):
            found = head(bytes(self._came[at : at + _MOST_DIGITS + 1]), self._limit)
            if found is None:
                break
            length, digits = found
            end = at + digits + length
            if len(self._came) <= end:
                self._wanted = end + 1 - at
                break
            if self._came[end] != ord(b","):
                raise NetstringError("no comma at its end")
            items.append(bytes(self._came[at + digits : end]))
            at = end + 1
        del self._came[:at]
        return items
