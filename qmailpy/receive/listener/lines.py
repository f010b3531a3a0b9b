"""What qmail-listen writes on descriptor 2: tcpserver's lines, with our name.  Pure.

Names come from strangers: what could end a field, a line or a terminal's patience becomes a question mark. An address
is written as it is; of IPv6 it has colons of its own.
"""

from qmailpy.receive.listener.options import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 100  # bytes of a field
_HARMLESS = bytes(byte if 33 <= byte <= 126 and byte not in b"%:" else ord("?") for byte in range(256))
_DROPPING = b"warning: dropping connection, "


def line(text: bytes) -> bytes:
    """Any sentence of ours."""
    return NAME + b": " + text


def status(count: int, limit: int) -> bytes:
    """How many connections there are."""
    return NAME + b": status: %d/%d" % (count, limit)


def arrived(who: bytes, ip: bytes) -> bytes:
    """A connection has come.  who: a pid, or a worker's pid, a dot, and a serial number."""
    return NAME + b": pid " + who + b" from " + ip


def judged(who: bytes, environment: "Mapping[bytes, bytes]", *, denied: bool) -> bytes:
    """All that is known of it, and whether it may stay."""
    field = environment.get
    return b"%s: %s %s %s:%s:%s %s:%s:%s:%s" % (
        NAME,
        b"deny" if denied else b"ok",
        who,
        harmless(field(b"TCPLOCALHOST", b"")),
        field(b"TCPLOCALIP", b""),
        field(b"TCPLOCALPORT", b""),
        harmless(field(b"TCPREMOTEHOST", b"")),
        field(b"TCPREMOTEIP", b""),
        harmless(field(b"TCPREMOTEINFO", b"")),
        field(b"TCPREMOTEPORT", b""),
    )


def ended(who: bytes, status: int) -> bytes:
    """It is over.  status: as wait(2) gives it."""
    return NAME + b": end %s status %d" % (who, status)


def dropping(reason: bytes) -> bytes:
    """It was given up, and that is our fault.  reason: a clause."""
    return line(_DROPPING + reason)


def harmless(text: bytes) -> bytes:
    """A field."""
    return text[:_LONGEST].translate(_HARMLESS) + (b"..." if len(text) > _LONGEST else b"")
