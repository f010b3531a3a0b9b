"""What stands in the files of a message: whether it is whole, as far as that can be seen.  For checking_rules.

What may not be read counts as whole: its mode or owner is wrong then, and when that is mended it is read.
Errors of every call: OSError.
"""

import posix

from qmailpy.disk.queue.checking import Folders, Item
from qmailpy.system import descriptors
from qmailpy.wire.envelope import decode_todo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

READ = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_PIECE = descriptors.READ_SIZE


class Channel:
    """local/N or remote/N.  whole: bytes up to the last NUL; waiting: recipients; sound: only known records."""

    __slots__ = ("sound", "waiting", "whole")

    def __init__(self) -> None:
        """Nothing read."""
        self.whole = self.waiting = 0
        self.sound = True


def channel(folders: Folders, item: Item) -> Channel:
    """Its records, read in pieces."""
    found, rest = Channel(), b""
    if not _may_be_read(folders, item):
        found.whole = item.size
        return found
    for piece in _pieces(folders, item):
        *records, rest = (rest + piece).split(b"\0")
        for record in records:
            found.whole += len(record) + 1
            found.waiting += record[:1] == b"T"
            found.sound = found.sound and record[:1] in (b"T", b"D")
    found.sound = found.sound and rest[:1] in (b"", b"T", b"D")
    return found


def is_info(folders: Folders, item: Item) -> bool:
    """Whether it names a sender: what follows him may be wishes of any length."""
    if not _may_be_read(folders, item):
        return True
    start = next(_pieces(folders, item), b"")
    return start[:1] == b"F" and b"\0" in start


def is_todo(folders: Folders, item: Item) -> bool:
    """Whether it is an envelope."""
    return not _may_be_read(folders, item) or decode_todo(b"".join(_pieces(folders, item))) is not None


def _may_be_read(folders: Folders, item: Item) -> bool:
    try:
        posix.close(posix.open(item.name, READ, dir_fd=folders.at(item.folder)))
    except PermissionError:
        return False
    return True


def _pieces(folders: Folders, item: Item) -> "Iterator[bytes]":
    descriptor = posix.open(item.name, READ, dir_fd=folders.at(item.folder))
    try:
        while piece := posix.read(descriptor, _PIECE):
            yield piece
    finally:
        posix.close(descriptor)
