"""Mbox files: adding one message at the end, under a lock, whole or not at all.

Appended, fsynced, and the directory fsynced where the file is new: only then it is delivered. Whatever goes wrong
before that, the file gets its old length back. A kill in between leaves a part of a message: that is what the format is
like; a Maildir has no such moment. Used by local/; source: spec/05-local.md 5.
"""

import fcntl
import posix

from qmailpy.disk import durable
from qmailpy.system import descriptors, signals
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Lock = Callable[[int], bool]

PATIENCE = 30  # seconds that somebody else may hold the lock
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


def _give_up(_signal: int) -> None:
    raise Die(TEMP, b"File has been locked for %d seconds straight. (#4.3.0)" % PATIENCE)


def append(path: bytes, pieces: "Iterable[bytes]", lock: "Lock" = flock) -> None:
    """Add these bytes to the file, which is made (0600) if need be; they are on disk when this returns.

    lock: called with the open file; a file whose lock failed is written all the same, but never shortened.
    Errors: Die TEMP, and whatever pieces raises; the file is as it was then.
    """
    try:
        descriptor, is_new, locked = _open_locked(path, lock)
    except OSError as error:
        raise Die(TEMP, b"Unable to open " + path + b": " + words(error) + b". (#4.2.1)") from None
    try:
        _write(path, descriptor, pieces, is_new=is_new, locked=locked)
    except OSError as error:
        raise Die(TEMP, b"Unable to write " + path + b": " + words(error) + b". (#4.3.0)") from None
    finally:
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


def _open_locked(path: bytes, lock: "Lock") -> tuple[int, bool, bool]:
    """The file that has this name once we hold its lock: while we waited a mail reader may have put
    another in its place, and what is written to the old one is lost.
    """
    while True:
        descriptor, is_new = _open(path)
        try:
            _refuse_other_kinds(path, descriptor)
            locked = lock(descriptor)
            if _is_named(path, descriptor):
                return descriptor, is_new, locked
        except BaseException:
            _close(descriptor)
            raise
        _close(descriptor)


def _open(path: bytes) -> tuple[int, bool]:
    try:
        return posix.open(path, _FLAGS), False
    except FileNotFoundError:
        return posix.open(path, _FLAGS | posix.O_CREAT, 0o600), True


def _refuse_other_kinds(path: bytes, descriptor: int) -> None:
    if posix.fstat(descriptor).st_mode & _KIND != _REGULAR:
        raise Die(TEMP, b"Unable to open " + path + b": not a regular file. (#4.2.1)")


def _is_named(path: bytes, descriptor: int) -> bool:
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
