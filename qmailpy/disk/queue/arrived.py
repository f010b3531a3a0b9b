"""What mess/ and todo/ tell of a message without qmail-send: for lists that the door makes.

Nothing is locked; a message that goes while it is looked at is left out.
"""

import posix

from qmailpy.disk.queue.paths import Paths

_START = 256  # bytes of a message that are read: its first line has less than half of that
_TODO_START = 65536  # bytes of todo/N that are read: an envelope may have a thousand times as many


class Arrived:
    """A message in mess/.  start: its first bytes; when: it came, seconds since the epoch; size: in bytes."""

    __slots__ = ("number", "size", "start", "when")

    def __init__(self, number: int, start: bytes, when: int, size: int) -> None:
        """As above."""
        self.number, self.start, self.when, self.size = number, start, when, size


def arrived(paths: Paths, number: int) -> Arrived | None:
    """This message; None where it is not there any more, or cannot be read."""
    try:
        descriptor = posix.open(paths.mess(number), posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = posix.fstat(descriptor)
        return Arrived(number, posix.read(descriptor, _START), int(status.st_mtime), status.st_size)
    except OSError:
        return None
    finally:
        posix.close(descriptor)


def todo_start(paths: Paths, number: int) -> tuple[bytes, bool] | None:
    """The first records of todo/N, and whether they are all; None where there is none, or it cannot be read."""
    try:
        descriptor = posix.open(paths.todo(number), posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = posix.read(descriptor, _TODO_START)
    except OSError:
        return None
    finally:
        posix.close(descriptor)
    return content[: content.rfind(b"\0") + 1], len(content) < _TODO_START


def is_entering(paths: Paths, number: int) -> bool:
    """Whether its envelope is still being written: it was not accepted yet."""
    try:
        posix.stat(paths.intd(number))
    except OSError:
        return False
    return True
