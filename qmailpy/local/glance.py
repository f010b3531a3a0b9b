"""A first look at a message: its header's fields, and as much of its body as fits on a line or two.

Used by qbiff, maildirwatch and qreceipt; never holds more than a header.
"""

import posix

from qmailpy.rules.header import HeaderReader, HeaderTooLong, name_of
from qmailpy.system import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def read_header(descriptor: int, take: "Callable[[bytes, bytes], None]") -> bytes:
    """Give each field to take: its name in lower case, and all of it.  Reads on from where the descriptor stands.

    Result: the first bytes of the body, its empty line included; a header without measure ends where its measure does.
    Errors: OSError, and what take raises.
    """
    reader = HeaderReader(lambda field: take(name_of(field), field))
    try:
        while piece := posix.read(descriptor, descriptors.READ_SIZE):
            if reader.feed(piece):
                return reader.rest
        reader.finish()
    except HeaderTooLong:
        return b""
    return reader.rest


def value(field: bytes) -> bytes:
    """What stands after a field's name and colon, and after the blanks there; its LF included."""
    return field.partition(b":")[2].lstrip(b" \t\n\r")


def beginning(descriptor: int, limit: int, others: "Callable[[bytes, bytes], None]") -> bytes:
    """The subject and the body, together at most limit bytes; others: is given each other field, as in read_header."""
    text = bytearray()

    def take(name: bytes, field: bytes) -> None:
        if name == b"subject":
            text.extend(value(field)[:limit])
        else:
            others(name, field)

    text += read_header(descriptor, take)[:limit]
    while len(text) < limit and (piece := posix.read(descriptor, descriptors.READ_SIZE)):
        text += piece
    return bytes(text[:limit])


def shown(text: bytes, substitute: bytes) -> bytes:
    """A text on one line of a terminal: any byte that is not printable ASCII becomes substitute."""
    return text.translate(bytes(byte if 32 <= byte < 127 else substitute[0] for byte in range(256)))
