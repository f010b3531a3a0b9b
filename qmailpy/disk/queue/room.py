"""Whether the queue's disk has room for mail: bytes and inodes are kept back, for qmail-send's own files and others'.

A full disk is noticed before a message comes, not in its midst: what is refused then need not be sent.
control/queuereserve: bytes; control/queuereservefiles: inodes; 0 for none. The disk is asked once a second at most.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.system import clock
from qmailpy.wire.door import Refusal

BYTES, FILES = 8 << 20, 100  # kept back where the files do not say how many; on a small disk a tenth of it
_SMALL = 10  # one part in so many
_FRESH = 1.0  # seconds
_FULL = 53  # exit code of qmail-queue


class Room:
    """One queue's disk."""

    __slots__ = ("_bytes", "_disk", "_files", "_looked_at", "_path")

    def __init__(self, path: bytes, reserve: int = -1, files: int = -1) -> None:
        """path: of the queue; reserve: bytes; -1: the default, for this disk."""
        self._path, self._bytes, self._files = path, reserve, files
        self._looked_at = -_FRESH
        self._disk: posix.statvfs_result | None = None

    def has(self, size: int = 0) -> bool:
        """Whether there is room for so many bytes more; in doubt yes."""
        now = clock.monotonic()
        if now >= self._looked_at + _FRESH:
            self._looked_at = now
            try:
                self._disk = posix.statvfs(self._path)
            except OSError:  # whoever writes there has the words for that
                self._disk = None
        disk = self._disk
        if disk is None:
            return True
        files = self._files if self._files >= 0 else min(FILES, disk.f_files // _SMALL)
        reserve = self._bytes if self._bytes >= 0 else min(BYTES, disk.f_blocks * disk.f_frsize // _SMALL)
        if disk.f_files and disk.f_favail < files:  # some file systems make inodes as they need them: they say 0
            return False
        return disk.f_bavail * disk.f_frsize >= size + reserve

    def require(self) -> None:
        """Errors: Refusal where there is no room."""
        if not self.has():
            raise Refusal(_FULL, b"the queue's disk is almost full (control/queuereserve, queuereservefiles)")


def room_of(home: Home) -> Room:
    """With what the control files say.  Errors: Die TEMP."""
    return Room(home.queue, control.integer(home, "queuereserve", -1), control.integer(home, "queuereservefiles", -1))
