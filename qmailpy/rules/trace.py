r"""The lines `trace: key=value ...`: what is said about a message beside qmail's own lines (PIC/decisions/trace).

    trace: msg=2254860.1763748747123456789 by=qmail-remote event=answer delivery=7 step=DOT reply="250 ok 17637 qp 12"

Both ends of the notation: encode() and decode() are each other's inverse, whatever the bytes of a value are, so that
nobody who is spoken of can end a line, add a field, or look like another line. A value of printable bytes stands as it
is; one that is empty, or has a blank or any of " \ %, or another byte, stands in quotes, where 32..126 but for these
three stand for themselves and everything else is \xHH. A value longer than VALUE ends in three dots; a line that would
be longer than LINE loses its last fields and says cut=1: it is one write that no other one interrupts (PIPE_BUF).

msg, by and event come first. Secrets (passwords, tokens, what a user's program is called with) are never told.
Pure; imports nothing: programs that are executed for each message use it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Fields = Mapping[str, "bytes | int"]

PREFIX = b"trace: "
VALUE = 500  # bytes of a value, as it came
LINE = 3500  # bytes; a pipe takes 4096 at one stroke, and a prefix may follow
_CUT = b" cut=1"
_DOTS = b"..."
_SPECIAL = b'"\\%'
_PLAIN = bytes(byte for byte in range(33, 127) if byte not in _SPECIAL)
_ESCAPES = tuple(
    bytes((byte,)) if 32 <= byte <= 126 and byte not in _SPECIAL else b"\\x%02x" % byte for byte in range(256)
)
_HEX = b"0123456789abcdef"
_NAME = b"abcdefghijklmnopqrstuvwxyz0123456789-"
_LONGEST_NAME = 30  # bytes
_DIGITS = b"0123456789"


def encode(fields: "Fields") -> bytes:
    """Fields in their order, without the line's beginning and end; at most LINE bytes.

    fields: names of lower-case letters, digits and - ; values: any bytes, or a number.
    """
    text = b""
    for name, value in fields.items():
        word = b"%s=%s" % (name.encode("ascii"), _encoded(value if isinstance(value, bytes) else b"%d" % value))
        if len(text) + len(word) + len(_CUT) >= LINE:
            return text + _CUT
        text += b" " + word if text else word
    return text


def line(fields: "Fields") -> bytes:
    """A whole line of the log, with its LF."""
    return PREFIX + encode(fields) + b"\n"


def received(by: bytes, qp: int, **known: bytes) -> bytes:
    """What a server says of a message that it has handed over, without LF.  known: of its client; empty is left out."""
    told = {name: value for name, value in known.items() if value}
    return PREFIX + encode({"msg": b"-", "by": by, "event": b"received", "qp": qp, **told})


def decode(text: bytes) -> "dict[str, bytes] | None":
    """What encode() was given, numbers as their digits; None where the text is nothing that it writes."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(text):
        if found:
            if text[at : at + 1] != b" ":
                return None
            at += 1
        equals = text.find(b"=", at)
        name = text[at : max(equals, at)]
        if not name or len(name) > _LONGEST_NAME or name.strip(_NAME):
            return None
        read = _decoded(text, equals + 1)
        if read is None or name.decode("ascii") in found:
            return None
        found[name.decode("ascii")], at = read
    return found or None


def key(number: int, nanoseconds: int) -> bytes:
    """Which message it is about: numbers come back, and so the time at which mess/N was written goes with it."""
    return b"%d.%d" % (number, nanoseconds)


def split_key(word: bytes) -> tuple[int, int] | None:
    """Number and nanoseconds of what key() wrote; None where it did not."""
    number, _, nanoseconds = word.partition(b".")
    if not (0 < len(number) < 20 and 0 < len(nanoseconds) < 20) or (number + nanoseconds).strip(_DIGITS):
        return None
    return int(number), int(nanoseconds)


def _encoded(value: bytes) -> bytes:
    if len(value) > VALUE:
        value = value[: VALUE - len(_DOTS)] + _DOTS
    if value and not value.translate(None, _PLAIN):
        return value
    return b'"%s"' % b"".join([_ESCAPES[byte] for byte in value])


def _decoded(text: bytes, at: int) -> tuple[bytes, int] | None:
    """The value that begins at this place, and where it ends."""
    if text[at : at + 1] != b'"':
        end = text.find(b" ", at)
        value = text[at:] if end < 0 else text[at:end]
        return (value, at + len(value)) if value and not value.translate(None, _PLAIN) else None
    end = text.find(b'"', at + 1)
    if end < 0:
        return None
    first, *others = text[at + 1 : end].split(b"\\")
    pieces = [first]
    for other in others:
        digits = other[1:3]
        if other[:1] != b"x" or len(digits) != 2 or digits.strip(_HEX):
            return None
        pieces += (bytes((int(digits, 16),)), other[3:])
    clear = pieces[::2]
    if any(piece.translate(None, _PLAIN + b" ") for piece in clear):
        return None
    return b"".join(pieces), end + 1
