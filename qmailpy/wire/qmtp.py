"""QMTP, the quick mail transfer protocol: a message, its sender and its recipients, each a netstring, and no dialogue.

Client: netstring(message) netstring(sender) netstring(netstring(recipient)...), any number of times. The message's
first byte says how its lines end: LF as they are stored, or CR for CR LF. Server: for each recipient a netstring, K, Z
or D and a sentence. Source: spec/06-remote-dns-smtp.md 6. Both ends are here; used by receive/qmtp.
"""

from qmailpy.wire import dots, netstring

LF, CRLF = b"\n", b"\r"  # the message's first byte
ADDRESS_ROOM = 1000  # bytes of an address must be fewer
BAD_RECIPIENT = b"Dsorry, I can't handle that recipient (#5.1.3)"
BAD_SENDER = b"Dunacceptable sender (#5.1.7)"
TOO_BIG = b"Dsorry, that message size exceeds my databytes limit (#5.3.4)"
TOO_MANY = b"Zsorry, too many recipients (#4.5.3)"


def accepted(now: int, qp: int) -> bytes:
    """What a recipient's netstring holds once the message is in the queue.  now: seconds; qp: as in the log."""
    return b"Kok %d qp %d" % (now, qp)


def answer(reply: bytes) -> bytes:
    """The same as this reply of SMTP's.  reply: code, blank, text."""
    letter = {b"2": b"K", b"4": b"Z"}.get(reply[:1], b"D")
    return letter + reply[4:]


def request(message: bytes, sender: bytes, recipients: list[bytes]) -> bytes:
    """One message, as the client says it.  message: lines ending LF."""
    return netstring.pack([LF + message, sender, netstring.pack(recipients)])


class LineDecoder:
    """A message whose lines end CR LF, in pieces of any size, as it is stored: a bare CR and a bare LF stay."""

    __slots__ = ("_cr",)

    def __init__(self) -> None:
        """At its beginning."""
        self._cr = False  # came last, and may be the beginning of a line end

    def feed(self, piece: bytes) -> bytes:
        """The bytes to store for this piece."""
        if self._cr:
            piece = CRLF + piece
        self._cr = piece.endswith(CRLF)
        return dots.stored_lines(piece[:-1] if self._cr else piece)

    def finish(self) -> bytes:
        """What is left."""
        return CRLF if self._cr else b""
