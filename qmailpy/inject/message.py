"""The message on descriptor 0: its header to whoever takes fields, its body in pieces, never whole.

Lines may end with CR LF, as PHP and programs from other systems write them: the first line decides, as in Postfix.

Source: spec/07-inject.md 3.
"""

import posix

from qmailpy.rules.header import HeaderReader, HeaderTooLong
from qmailpy.system.descriptors import READ_SIZE
from qmailpy.verdict import PERM, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MESSAGE = 0  # descriptor


class Message:
    """Read once, from its first byte to its last: header(), then body().  Errors of both: Die TEMP."""

    __slots__ = ("_ended", "_held", "_rest", "_strips")

    def __init__(self) -> None:
        """Reads nothing yet."""
        self._ended = False  # after which nothing is read any more: a terminal would have to say it again
        self._strips: bool | None = None  # whether lines end with CR LF, as the first one says; None: not known yet
        self._held = b""  # read, but not given: the beginning of the first line, or a CR that may end one
        self._rest = b""  # what was read beyond the header, its empty line included

    def header(self, take: "Callable[[bytes], None]") -> None:
        """Give every field to take.  Errors: Die PERM for a header without measure; what take raises."""
        reader = HeaderReader(take)
        try:
            while piece := self._read():
                if reader.feed(piece):
                    break
            else:
                reader.finish()
        except HeaderTooLong:
            raise Die(PERM, b"header too long: more than 64 MB") from None
        self._rest = reader.rest

    def body(
        self, header: bytes, write: "Callable[[bytes], None]", go_on: "Callable[[int], bool]" = lambda _: True
    ) -> None:
        """The completed header, then all of the body; a last line without LF gets one.  Errors: those of write.

        go_on: is asked, with the descriptor, before each reading.
        """
        piece = last = header + self._rest
        while piece:
            write(piece)
            last = piece
            piece = b"" if self._ended or not go_on(_MESSAGE) else self._read()
        if last and not last.endswith(b"\n"):
            write(b"\n")

    def _read(self) -> bytes:
        """The next piece; empty at the end.  CR LF becomes LF throughout if it ends the first line."""
        while not self._ended:
            piece = self._held + self._take()
            self._held = b""
            if self._strips is None:
                end = piece.find(b"\n")
                if end < 0 and len(piece) < READ_SIZE and not self._ended:
                    self._held = piece
                    continue
                self._strips = piece[:end].endswith(b"\r") if end > 0 else False
            if not self._strips:
                return piece
            if piece.endswith(b"\r") and not self._ended:
                piece, self._held = piece[:-1], b"\r"
            if piece:
                from qmailpy.wire.dots import stored_lines  # not for everybody's mail: it costs a start

                return stored_lines(piece)
        return b""

    def _take(self) -> bytes:
        while True:
            try:
                piece = posix.read(_MESSAGE, READ_SIZE)
            except BlockingIOError:  # whoever gave us the descriptor has made it non-blocking
                import select

                poll = select.poll()
                poll.register(_MESSAGE, select.POLLIN)
                poll.poll()
            except OSError:
                raise Die(TEMP, b"read error") from None
            else:
                self._ended = not piece
                return piece
