"""lock/trigger: how qmail-send hears that there is something new in todo/ (spec/02 5).  disk/queue/entering pulls it.

We hold both ends: a FIFO whose last writer has gone would wake us for ever.
"""

import posix

from qmailpy.disk.queue.paths import Paths
from qmailpy.system import descriptors

_KIND, _FIFO = 0o170000, 0o010000


class Trigger:
    """The FIFO, while it is there."""

    __slots__ = ("_path", "_writer", "descriptor")

    def __init__(self, paths: Paths) -> None:
        """Not open yet."""
        self._path = paths.lock(b"trigger")
        self._writer = -1
        self.descriptor = -1  # readable when somebody has pulled; -1: not open

    def open(self) -> bool:
        """Open it by its name, again if it was open.  False where it is not there: then only the clock tells."""
        self.close()
        flags = posix.O_NONBLOCK | posix.O_CLOEXEC
        try:
            self.descriptor = posix.open(self._path, posix.O_RDONLY | flags)
            self._writer = posix.open(self._path, posix.O_WRONLY | flags)
        except OSError:
            self.close()
            return False
        if posix.fstat(self.descriptor).st_mode & _KIND != _FIFO:
            self.close()
            return False
        return True

    def drain(self) -> None:
        """Forget who has pulled; whatever they brought is found by the scan that follows."""
        try:
            posix.read(self.descriptor, descriptors.READ_SIZE)
        except OSError:
            return

    def close(self) -> None:
        """May be called twice."""
        for descriptor in (self.descriptor, self._writer):
            if descriptor >= 0:
                posix.close(descriptor)
        self.descriptor = self._writer = -1
