"""POP3 (RFC 1939, 2449, 2595, 5034): command lines in, replies out; a message as a reply of many lines.

Server only: nothing of ours fetches mail. Source: spec/06-remote-dns-smtp.md 7. Used by receive/pop3.
"""

import binascii

from qmailpy.wire import dots

LINE = 4096  # bytes of a command
OK, FAILED = b"+OK ", b"-ERR "
_END_OF_LINE = b"\r\n"
_DIGITS = b"0123456789"
_LONGEST = 18  # digits
_SHOWN = bytes(byte if 33 <= byte <= 126 else ord("_") for byte in range(256))


def ok(text: bytes = b"") -> bytes:
    """One line; the blank is always there."""
    return OK + text + _END_OF_LINE


def error(text: bytes) -> bytes:
    """One line."""
    return FAILED + text + _END_OF_LINE


def challenge(text: bytes) -> bytes:
    """What a step of AUTH asks, which is nothing for the mechanisms that are known here."""
    return b"+ " + text + _END_OF_LINE


def lines(texts: list[bytes]) -> bytes:
    """A reply of many lines, none of which begins with a dot."""
    return _END_OF_LINE.join([OK, *texts, dots.END])


def split(line: bytes) -> tuple[bytes, bytes]:
    """A command's verb, in capitals, and its argument.  line: without its end; a NUL ends it."""
    verb, _, argument = line.partition(b"\0")[0].partition(b" ")
    return verb.upper(), argument.lstrip(b" ")


def number(argument: bytes) -> tuple[int | None, bytes]:
    """The decimal digits that it begins with, and what stands behind them and the blanks after them.

    None where there are none; a number that no message has, however long it is.
    """
    rest = argument.lstrip(_DIGITS)
    digits = argument[: len(argument) - len(rest)]
    if not digits:
        return None, rest
    significant = digits.lstrip(b"0")
    return int(significant or b"0") if len(significant) <= _LONGEST else 10**_LONGEST, rest.lstrip(b" ")


def unique_id(name: bytes) -> bytes:
    """What UIDL says of a file of this name: all up to a colon."""
    return name.partition(b":")[0].translate(_SHOWN)


def plain(response: bytes) -> tuple[bytes, bytes] | None:
    """Login and password of AUTH PLAIN (RFC 4616); None where it is not that.  response: in base64."""
    try:
        parts = binascii.a2b_base64(response, strict_mode=True).split(b"\0") if response else []
    except binascii.Error:
        return None
    if len(parts) != 3 or not parts[1] or not parts[2] or parts[0] not in (b"", parts[1]):
        return None
    return parts[1], parts[2]


class Sending:
    """A stored message, in pieces of any size, as the lines after the first one of the reply to RETR or TOP.

    An empty line is put behind it, as qmail has always done.
    """

    __slots__ = ("_blank", "_encoder", "_header", "_left", "_whole", "done")

    def __init__(self, body: int | None) -> None:
        """body: lines of it behind header and empty line; None for all."""
        self._encoder = dots.Encoder()
        self._left = body
        self._header = True
        self._blank = True  # the line that we are in has been empty so far
        self._whole = True  # what was taken ends with a line end, or is nothing
        self.done = False  # nothing more is needed

    def feed(self, piece: bytes) -> bytes:
        """The bytes to send for this piece."""
        if self._left is not None:
            piece = piece[: self._wanted(piece, self._left)]
        if piece:
            self._whole = piece.endswith(b"\n")
        return self._encoder.feed(piece)

    def _wanted(self, piece: bytes, left: int) -> int:
        """How much of the piece; left: lines of the body."""
        at = 0
        while at < len(piece) and not self.done:
            found = piece.find(b"\n", at)
            end = len(piece) if found < 0 else found + 1
            self._blank = self._blank and not piece[at:end].strip(_END_OF_LINE)
            at = end
            if found >= 0:
                if not self._header:
                    left -= 1
                self._header = self._header and not self._blank
                self._blank = True
                self.done = not self._header and left == 0
        self._left = left
        return at

    def finish(self) -> bytes:
        """The last bytes."""
        return self._encoder.feed(b"\n" if self._whole else b"\n\n") + self._encoder.finish()
