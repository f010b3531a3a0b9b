"""Reading a file that somebody else may have put there: whole, regular, bounded, and not while it is being written.

Never waits (a FIFO is no such file). Used for aliases, the lists that they include, and ~/.forward.
"""

import errno
import posix

from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die, words

LIMIT = 64 << 20  # bytes
FORBIDDEN = 0o002  # mode bits of a file that others can write: its lines may be theirs
_KIND, _REGULAR = 0o170000, 0o100000
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)  # the last one: part of a name is a sender's choice
_FLAGS = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC


class Content:
    """A file as it was at one moment.  stamp: mtime in nanoseconds and size: another stamp, another content."""

    __slots__ = ("stamp", "text", "uid")

    def __init__(self, text: bytes, stamp: tuple[int, int], uid: int) -> None:
        """uid: the owner's."""
        self.text, self.stamp, self.uid = text, stamp, uid


def stamp_of(path: bytes) -> tuple[int, int] | None:
    """The stamp of what is there now; None where there is nothing.  Errors: Die TEMP."""
    try:
        status = posix.stat(path)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise _cannot(b"open", path, words(error)) from None
    return status.st_mtime_ns, status.st_size


def read(path: bytes) -> Content | None:
    """The file; None where there is none.

    Errors: Die TEMP where it cannot be read, is not regular, is larger than LIMIT, can be written by others, or
    changes while it is read.
    """
    try:
        descriptor = posix.open(path, _FLAGS)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise _cannot(b"open", path, words(error)) from None
    try:
        before = posix.fstat(descriptor)
        if before.st_mode & _KIND != _REGULAR:
            raise _cannot(b"open", path, b"not a regular file")
        if before.st_mode & FORBIDDEN:
            raise Die(TEMP, b"Uh-oh: " + path + b" is writable. (#4.7.0)")
        text = descriptors.read_whole(descriptor, LIMIT)
        after = posix.fstat(descriptor)
    except OSError as error:
        raise _cannot(b"read", path, words(error)) from None
    finally:
        posix.close(descriptor)
    stamp = (after.st_mtime_ns, after.st_size)
    if stamp != (before.st_mtime_ns, len(text)):
        raise _cannot(b"read", path, b"it is being written")
    return Content(text, stamp, after.st_uid)


def _cannot(verb: bytes, path: bytes, reason: bytes) -> Die:
    return Die(TEMP, b"Unable to " + verb + b" " + path + b": " + reason + b". (#4.3.0)")
