"""Removing from the queue: what qmail-clean does, and nobody else (spec/02 6 and 7).

Removals are not fsynced: a file that comes back after a power cut is removed again.
"""

import posix

from qmailpy.disk.layout import OSSIFIED
from qmailpy.disk.queue.paths import Paths


def remove_message(paths: Paths, number: int) -> None:
    """S2 or S3 -> S1: intd/N, then mess/N; what is gone already is fine (foop).  Errors: OSError."""
    _remove(paths.intd(number))
    _remove(paths.mess(number))


def remove_todo(paths: Paths, number: int) -> None:
    """S4 -> S5: intd/N, then todo/N; what is gone already is fine (todo).  Errors: OSError."""
    _remove(paths.intd(number))
    _remove(paths.todo(number))


def collect_pid(paths: Paths, now: int) -> int:
    """Remove what a crash left in pid/: everything last read 36 hours ago or longer.

    now: seconds since the epoch.  Result: how many files were removed.  Errors: none; the next round tries again.
    """
    folder = paths.folder(b"pid")
    try:
        names = posix.listdir(folder)
    except OSError:
        return 0
    removed = 0
    for name in names:
        path = folder + b"/" + name
        try:
            if now - posix.lstat(path).st_atime >= OSSIFIED:
                posix.unlink(path)
                removed += 1
        except OSError:
            continue
    return removed


def _remove(path: bytes) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        return
