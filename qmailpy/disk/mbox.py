"""Mbox files: adding one message at the end, under a lock, whole or not at all.

Appended, fsynced, and the directory fsynced where the file is new: only then it is delivered. Whatever goes wrong
before that, the file gets its old length back. A kill in between leaves a part of a message: that is what the format is
like; a Maildir has no such moment.
The lock is three: flock, which qmail's own programs take, a record lock (fcntl), and a dot-lock where the directory
lets us make one; of mail readers each knows some of them. flock is waited for with nothing else in hand, the others are
only tried, and all is given back before the next turn: so no order in which a neighbour takes them ends in a deadlock.
Used by local/; source: spec/05-local.md 5.
"""

import errno
import fcntl
import posix

from qmailpy.disk import dotlock, durable
from qmailpy.system import clock, descriptors, signals
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Lock = Callable[[int], bool]

PATIENCE = 30  # seconds that somebody else may hold the lock
_PAUSE = 0.05  # seconds between two tries for what is not waited for in the kernel
_NETWORK = (b"nfs", b"nfs4", b"cifs", b"smb3")  # where flock and a record lock are one lock of the server's
_FROM_END = 2  # lseek's whence; posix does not name it
_KIND, _REGULAR = 0o170000, 0o100000  # of st_mode
_FLAGS = posix.O_WRONLY | posix.O_NONBLOCK | posix.O_APPEND | posix.O_CLOEXEC


def flock(descriptor: int) -> bool:
    """Lock this file for us alone until it is closed; whether that worked (some file systems cannot).

    Errors: Die TEMP after PATIENCE seconds.
    """
    signals.alarm(PATIENCE, _give_up)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    finally:
        signals.alarm(0, None)
    return True


def _give_up(_signal: int = 0) -> None:
    raise Die(TEMP, b"File has been locked for %d seconds straight. (#4.3.0)" % PATIENCE)


def is_record_locked(descriptor: int) -> bool:
    """Whether another process has a record lock on this file; if not, we have one now, or nobody can."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES) and not _is_on_network(descriptor)
    return False


def _is_on_network(descriptor: int) -> bool:
    """Whether our own flock may be what refuses us the record lock."""
    device = posix.fstat(descriptor).st_dev
    ours = b" %d:%d " % (posix.major(device), posix.minor(device))
    try:
        mounts = posix.open(b"/proc/self/mountinfo", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    text = descriptors.read_all(mounts, 1 << 24)
    posix.close(mounts)
    kinds = [line.partition(b" - ")[2].partition(b" ")[0] for line in text.split(b"\n") if ours in line]
    return any(kind in _NETWORK for kind in kinds)


def append(path: bytes, pieces: "Iterable[bytes]", lock: "Lock" = flock) -> None:
    """Add these bytes to the file, which is made (0600) if need be; they are on disk when this returns.

    lock: called with the open file; a file whose lock failed is written all the same, but never shortened.
    Errors: Die TEMP, and whatever pieces raises; the file is as it was then.
    """
    try:
        descriptor, is_new, locked, beside = _open_locked(path, lock)
    except OSError as error:
        raise Die(TEMP, b"Unable to open " + path + b": " + words(error) + b". (#4.2.1)") from None
    try:
        _write(path, descriptor, pieces, is_new=is_new, locked=locked)
    except OSError as error:
        raise Die(TEMP, b"Unable to write " + path + b": " + words(error) + b". (#4.3.0)") from None
    finally:
        dotlock.release(beside)
        _close(descriptor)


def _write(path: bytes, descriptor: int, pieces: "Iterable[bytes]", *, is_new: bool, locked: bool) -> None:
    start = posix.lseek(descriptor, 0, _FROM_END)
    try:
        for piece in pieces:
            descriptors.write_all(descriptor, piece)
        durable.sync_file(descriptor)
        if is_new or start == 0:  # an empty one may be of somebody who was killed before its fsync
            _sync_name(path, descriptor)
    except BaseException:
        if locked:
            _shorten(descriptor, start)
        raise


def _open_locked(path: bytes, lock: "Lock") -> tuple[int, bool, bool, bytes]:
    """The file that has this name once we hold its locks: while we waited a mail reader may have put
    another in its place, and what is written to the old one is lost.

    Result: the file, whether we made it, whether it could be locked, the dot-lock.
    """
    end = clock.monotonic() + PATIENCE
    made = False
    while True:
        descriptor, is_new = _open(path)
        made = made or is_new
        beside = None
        try:
            _refuse_other_kinds(path, descriptor)
            locked = lock(descriptor)
            beside = None if is_record_locked(descriptor) else dotlock.take(path)
            if beside is not None and is_named(path, descriptor):
                return descriptor, made, locked, beside
        except BaseException:
            dotlock.release(beside or dotlock.NONE_HERE)
            _close(descriptor)
            raise
        dotlock.release(beside or dotlock.NONE_HERE)
        _close(descriptor)
        if beside is None:
            if clock.monotonic() > end:
                _give_up()
            clock.sleep(_PAUSE)


def _open(path: bytes) -> tuple[int, bool]:
    try:
        return posix.open(path, _FLAGS), False
    except FileNotFoundError:
        return posix.open(path, _FLAGS | posix.O_CREAT, 0o600), True


def _refuse_other_kinds(path: bytes, descriptor: int) -> None:
    if posix.fstat(descriptor).st_mode & _KIND != _REGULAR:
        raise Die(TEMP, b"Unable to open " + path + b": not a regular file. (#4.2.1)")


def is_named(path: bytes, descriptor: int) -> bool:
    """Whether the file that is open here still is the one of this name."""
    held = posix.fstat(descriptor)
    try:
        named = posix.stat(path)
    except FileNotFoundError:
        return False
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def _sync_name(path: bytes, descriptor: int) -> None:
    """The file's name is on disk too.  path may be a symbolic link: the kernel knows where the file really is."""
    try:
        real = posix.readlink(b"/proc/self/fd/%d" % descriptor)
    except OSError:
        real = path
    folder, slash, _ = real.rpartition(b"/")
    try:
        durable.sync_directory((folder or slash) or b".")
    except PermissionError:  # a spool directory that we may not list: its owner chose so
        return


def _close(descriptor: int) -> None:
    try:
        posix.close(descriptor)
    except OSError:
        return  # after the fsync it says nothing about the message any more


def _shorten(descriptor: int, length: int) -> None:
    try:
        posix.ftruncate(descriptor, length)
    except OSError:
        return  # what made us come here is worse, and is reported
