"""Who holds lock/sendmutex: the running qmail-send, ours or another, found without a file that tells its pid.

The kernel's list of locks names it by the file's inode. Several file systems may have an inode of this number, so
the process must also be the owner's of the lock, and have qmail-send's name.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.queue.paths import Paths
from qmailpy.verdict import Die

_NAME = b"qmail-send"


def holder(paths: Paths) -> int:
    """Its pid; 0 where there is none, or we may not know."""
    try:
        lock = posix.stat(paths.lock(b"sendmutex"))
        locks = control.read(b"/proc/locks") or b""
    except (OSError, Die):
        return 0
    for line in locks.split(b"\n"):
        pid = _of_line(line, lock.st_ino)
        if pid and _is_sender(pid, lock.st_uid):
            return pid
    return 0


def is_free(paths: Paths) -> bool:
    """Whether we may look, and nobody has it: no qmail-send runs here."""
    try:
        posix.stat(paths.lock(b"sendmutex"))
    except OSError:
        return False
    return not holder(paths)


def _of_line(line: bytes, inode: int) -> int:
    """The pid in a line as 3: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF; 0 if it is about another file."""
    words = line.split()
    if len(words) < 6 or words[1] != b"FLOCK" or words[5].rpartition(b":")[2] != b"%d" % inode:
        return 0
    return int(words[4]) if words[4].isdigit() else 0  # who waits for the lock has an arrow before FLOCK


def _is_sender(pid: int, uid: int) -> bool:
    try:
        if posix.stat(b"/proc/%d" % pid).st_uid not in (uid, 0):  # 0: what may not be dumped belongs to root there
            return False
        return control.read(b"/proc/%d/comm" % pid) == _NAME + b"\n"
    except (OSError, Die):
        return False
