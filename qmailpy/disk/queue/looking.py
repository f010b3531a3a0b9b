"""What can be seen of a message's file by whoever may read it, whatever state it is in: for those who tell of it."""

import posix

from qmailpy.disk.queue.paths import Paths
from qmailpy.system import descriptors


def written(paths: Paths, number: int) -> int:
    """When mess/N was written, in nanoseconds since the epoch; 0 where it is gone."""
    try:
        return posix.stat(paths.mess(number)).st_mtime_ns
    except OSError:
        return 0


def beginning(paths: Paths, number: int, size: int) -> bytes:
    """The first bytes of mess/N; empty where it is gone."""
    return descriptors.beginning(paths.mess(number), size)
