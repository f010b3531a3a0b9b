"""The message that is being delivered: an open file that is read again for each mailbox, and never changed.

Read by position, so that no reader disturbs another; only a user's program gets the descriptor itself, rewound.
A piece at a time: a message of any size costs the same memory.
"""

import posix

from qmailpy.rules.loops import HeaderSearch
from qmailpy.verdict import PERM, TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 65536  # bytes


class Unreadable(Exception):
    """The message cannot be read to its end.  error: of the system."""

    def __init__(self, error: OSError) -> None:
        """error: what reading said."""
        super().__init__(error)
        self.error = error

    def death(self) -> Die:
        """What is reported of it, where nothing more special is said."""
        return Die(TEMP, b"Unable to read message: " + words(self.error) + b". (#4.3.0)")


class Message:
    """A message on a descriptor that can be rewound."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        """descriptor: stays the caller's."""
        self.descriptor = descriptor

    def rewind(self) -> None:
        """Back to its first byte, for whoever inherits the descriptor.  Errors: Die TEMP for a pipe."""
        try:
            posix.lseek(self.descriptor, 0, 0)
        except OSError:
            raise Die(TEMP, b"Unable to rewind message. (#4.3.0)") from None

    def pieces(self, head: bytes = b"") -> "Iterator[bytes]":
        """Head and then the whole message, none of the pieces empty.  Errors: Unreadable.

        Only an empty read is the end: before a bad block of a disk there may be a short one.
        """
        at = 0
        while piece := self._read(at):
            at += len(piece)
            yield head + piece
            head = b""
        if head:
            yield head

    def _read(self, at: int) -> bytes:
        try:
            return posix.pread(self.descriptor, _PIECE, at)
        except OSError as error:
            raise Unreadable(error) from None

    def refuse_loop(self, delivered_to: bytes) -> None:
        """A message whose header has this very line has been here before.  Errors: Die PERM then; Die TEMP."""
        self.rewind()
        search = HeaderSearch(delivered_to)
        try:
            for piece in self.pieces():
                search.feed(piece)
                if search.done:
                    break
        except Unreadable as trouble:
            raise trouble.death() from None
        if search.found:
            raise Die(PERM, b"This message is looping: it already has my Delivered-To line. (#5.4.6)")
