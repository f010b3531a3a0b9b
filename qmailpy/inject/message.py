"""The message on descriptor 0: its header to whoever takes fields, its body in pieces, never whole.

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

    __slots__ = ("_ended", "_rest")

    def __init__(self) -> None:
        """Reads nothing yet."""
        self._ended = False  # after which nothing is read any more: a terminal would have to say it again
        self._rest = b""  # what was read beyond the header, its empty line included

    def header(self, take: "Callable[[bytes], None]") -> None:
        """Give every field to take.  Errors: Die PERM for a header without measure; what take raises."""
        reader = HeaderReader(take)
        try:
            while not self._ended:
                piece = self._read()
                if not piece:
                    reader.finish()
                elif reader.feed(piece):
                    break
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
