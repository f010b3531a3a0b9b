"""Lines on the wire of SMTP and back: the only place for CR LF and for dots, in both directions.

Outward, Encoder: stored lines become lines that end CR LF, a line that begins with a dot gets another one, a line
with a lone dot ends it all. What leaves has no CR and no LF but in CR LF pairs, so every receiver, however lenient,
sees exactly one end of data (spec/11-attacks.md 1.2; RFC 5321 4.5.2). ChunkEncoder: the same lines without any dot
more, for what has its length before it (RFC 3030).
Inward, Decoder: only CR LF . CR LF is the end; a bare LF is refused.
Neither looks at anything else: NUL and 8-bit bytes pass. Used by remote/ and receive/.
"""

END = b".\r\n"  # after a complete line: the end of data
_END_LINE = b"\r\n.\r\n"


def stored_lines(piece: bytes) -> bytes:
    """A piece of a message whose lines end with CR LF, from a program on this machine, with lines as they are stored.

    Only for what was never on a wire: there is no end in it to be found, and every other CR stays.
    """
    return piece.replace(b"\r\n", b"\n")


class _Lines:
    """A stored message, in pieces of any size, with no CR left.

    A line ends at LF; a CR directly before it belongs to it. Any other CR becomes a space: as a line end it would
    make lines, header fields and ends of header that nobody has checked. A run of CRs counts as one.
    """

    __slots__ = ("cr",)

    def __init__(self) -> None:
        """At the beginning of a message."""
        self.cr = False  # a CR came last: part of a line end, or a space

    def feed(self, piece: bytes) -> bytes:
        """The same without CRs; one at its end waits for what follows."""
        if self.cr:
            piece = b"\r" + piece
            self.cr = False
        return self._without_cr(piece) if b"\r" in piece else piece

    def _without_cr(self, piece: bytes) -> bytes:
        while b"\r\r" in piece:  # a run has half its length after each turn: 16 turns for 64 kB
            piece = piece.replace(b"\r\r", b"\r")
        if piece.endswith(b"\r"):
            self.cr = True
            piece = piece[:-1]
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b" ")


class ChunkEncoder:
    """A stored message, in pieces of any size, as the bytes in BDAT's chunks.  A last line without LF gets one."""

    __slots__ = ("_line_start", "_lines")

    def __init__(self) -> None:
        """At the beginning of a message."""
        self._lines = _Lines()
        self._line_start = True  # what was put out so far ends with CR LF, or is nothing

    def feed(self, piece: bytes) -> bytes:
        """The bytes to send for this piece, perhaps none: a CR at its end waits for what follows."""
        piece = self._lines.feed(piece)
        if piece:
            self._line_start = piece.endswith(b"\n")
        return piece.replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        """The last bytes."""
        return b"" if self._line_start and not self._lines.cr else b"\r\n"


class Measure:
    """How long a stored message, in pieces of any size, is as ChunkEncoder gives it out."""

    __slots__ = ("_line_start", "_lines", "_size")

    def __init__(self) -> None:
        """At the beginning of a message."""
        self._lines, self._line_start, self._size = _Lines(), True, 0

    def feed(self, piece: bytes) -> None:
        """Count this piece."""
        piece = self._lines.feed(piece)
        self._size += len(piece) + piece.count(b"\n")
        if piece:
            self._line_start = piece.endswith(b"\n")

    def finish(self) -> int:
        """Bytes of all of it."""
        return self._size + (0 if self._line_start and not self._lines.cr else 2)


class Encoder:
    """A stored message, in pieces of any size, as the bytes after DATA's reply.  A last line without LF gets one."""

    __slots__ = ("_line_start", "_lines")

    def __init__(self) -> None:
        """At the beginning of a message."""
        self._lines = _Lines()
        self._line_start = True  # what was put out so far ends with CR LF, or is nothing

    def feed(self, piece: bytes) -> bytes:
        """The bytes to send for this piece; a CR at its end waits for what follows."""
        piece = self._lines.feed(piece)
        if not piece:
            return b""
        encoded = piece.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
        if self._line_start and piece.startswith(b"."):
            encoded = b"." + encoded
        self._line_start = piece.endswith(b"\n")
        return encoded

    def finish(self) -> bytes:
        """The last bytes, the end of data among them."""
        return END if self._line_start and not self._lines.cr else b"\r\n" + END


class BareLineFeed(Exception):
    """The peer sent a LF without a CR: what it means to others is not known, so nothing of it is taken."""


class Decoder:
    """The bytes after our 354, in pieces of any size, as the message to store: lines end LF, dots removed.

    A bare CR stays in the message; Encoder never puts one out again.
    """

    __slots__ = ("_began", "_held", "done", "rest")

    def __init__(self) -> None:
        """At the beginning of the data, which is the beginning of a line."""
        self._held = b"\r\n"  # as if a line had just ended: bytes that may be the beginning of the end
        self._began = False
        self.done = False
        self.rest = b""  # once done: what came after the end

    def feed(self, piece: bytes) -> bytes:
        """The bytes to store for this piece.  Errors: BareLineFeed; nothing more may be fed then."""
        assert not self.done
        came = self._held + piece
        at = came.find(_END_LINE)
        if at >= 0:
            self.done = True
            self.rest = came[at + len(_END_LINE) :]
            self._held = b""
            lines = came[: at + 2]
        else:
            self._held = _beginning_of_end(came)
            lines = came[: len(came) - len(self._held)]
        if not lines:
            return b""
        if lines.count(b"\n") != lines.count(b"\r\n"):
            raise BareLineFeed
        stored = lines.replace(b"\r\n.", b"\r\n").replace(b"\r\n", b"\n")
        if not self._began:  # the line end before the first line was ours
            self._began = True
            return stored[1:]
        return stored


class ChunkDecoder:
    """The bytes of BDAT's chunks (RFC 3030), which have a length instead of dots and an end, as the message to store.

    CR LF and a LF alone end a line; a bare CR stays. Nothing in them is an end of data, here or where Encoder sends it.
    """

    __slots__ = ("_cr", "_whole")

    def __init__(self) -> None:
        """At the beginning of the message."""
        self._cr = False  # came last, and may be the beginning of a line end
        self._whole = True  # what was given out ends with a line end, or is nothing

    def feed(self, piece: bytes) -> bytes:
        """The bytes to store for this piece."""
        if self._cr:
            piece = b"\r" + piece
        self._cr = piece.endswith(b"\r")
        stored = (piece[:-1] if self._cr else piece).replace(b"\r\n", b"\n")
        if stored:
            self._whole = stored.endswith(b"\n")
        return stored

    def finish(self) -> bytes:
        """What is left: a message in the queue ends with a whole line."""
        return b"\r" * self._cr + (b"" if self._whole and not self._cr else b"\n")


def _beginning_of_end(came: bytes) -> bytes:
    """The longest end of these bytes with which the end of data may begin."""
    for length in range(min(len(_END_LINE) - 1, len(came)), 0, -1):
        if came.endswith(_END_LINE[:length]):
            return _END_LINE[:length]
    return b""
