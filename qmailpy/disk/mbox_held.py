"""An mbox that a program has for itself, to put another in its place or to empty it.

Held with every lock that a delivery takes (disk/mbox), so nobody who asks for any of them reads or writes meanwhile.
Used by maildir2mbox and mbox2maildir.
"""

import errno
import posix

from qmailpy.disk import dotlock, durable, mbox
from qmailpy.system import clock, descriptors
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PAUSE = 0.05  # seconds between two tries for what is not waited for in the kernel
_KIND, _REGULAR = 0o170000, 0o100000  # of st_mode
_FLAGS = posix.O_RDWR | posix.O_NONBLOCK | posix.O_CLOEXEC
_DRAFT = posix.O_WRONLY | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC


class Held:
    """An mbox, open and locked, until release()."""

    __slots__ = ("_lock", "descriptor", "path")

    def __init__(self, path: bytes, descriptor: int, lock: bytes) -> None:
        """path: its name, for messages; lock: of dotlock.take()."""
        self.path, self.descriptor, self._lock = path, descriptor, lock

    def pieces(self, start: int = 0) -> "Iterator[bytes]":
        """Its content from start on, none of the pieces empty.  Errors: Die TEMP."""
        while True:
            try:
                piece = posix.pread(self.descriptor, descriptors.READ_SIZE, start)
            except OSError as error:
                raise Die(TEMP, b"unable to read " + self.path + b": " + words(error)) from None
            if not piece:
                return
            start += len(piece)
            yield piece

    def empty(self, size: int) -> None:
        """Take away all of it, for good.  size: what it had; if somebody without a lock has added to it, nothing is.

        Errors: Die TEMP.
        """
        try:
            if posix.fstat(self.descriptor).st_size != size:
                raise Die(TEMP, self.path + b" has changed although it is locked")
            posix.ftruncate(self.descriptor, 0)
            durable.sync_file(self.descriptor)
        except OSError as error:
            raise Die(TEMP, b"unable to empty " + self.path + b": " + words(error)) from None

    def replace(self, draft: bytes, more: "Iterable[bytes]") -> None:
        """Put into its place a file that also has these messages: whole and on disk, or not at all.

        draft: a path in the same file system; what is there is gone.  Owner and mode stay, as far as we may say so.
        Errors: Die TEMP, and whatever more raises; the mbox is as it was then.
        """
        try:
            descriptor = posix.open(draft, _DRAFT, 0o600)
        except OSError as error:
            raise Die(TEMP, b"unable to create " + draft + b": " + words(error)) from None
        try:
            self._take_draft(draft, descriptor)
            try:
                self._fill(descriptor, more)
                real = posix.readlink(b"/proc/self/fd/%d" % self.descriptor)  # the mbox may be a link to it
            except BaseException:
                _remove(draft)
                raise
        except OSError as error:
            raise Die(TEMP, b"unable to write to " + draft + b": " + words(error)) from None
        finally:
            descriptors.close(descriptor)
        try:
            posix.rename(draft, real)
        except OSError as error:
            _remove(draft)
            raise Die(TEMP, b"unable to move " + draft + b" to " + real + b": " + words(error)) from None
        folder = real.rpartition(b"/")[0] or b"/"
        try:
            durable.sync_directory(folder)
        except PermissionError:  # a directory that we may not list: its owner chose so
            return
        except OSError as error:
            raise Die(TEMP, b"unable to fsync " + folder + b": " + words(error)) from None

    def _take_draft(self, draft: bytes, descriptor: int) -> None:
        """Errors: Die TEMP for a draft that is no file, or the very mbox."""
        old, new = posix.fstat(self.descriptor), posix.fstat(descriptor)
        if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino) or new.st_mode & _KIND != _REGULAR:
            raise Die(TEMP, b"unable to create " + draft + b": something else has this name")

    def _fill(self, descriptor: int, more: "Iterable[bytes]") -> None:
        """Errors: OSError of writing; Die."""
        posix.ftruncate(descriptor, 0)
        _give(descriptor, posix.fstat(self.descriptor), posix.fstat(descriptor))
        tail = b"\n\n"
        for piece in self.pieces():
            descriptors.write_all(descriptor, piece)
            tail = (tail + piece)[-2:]
        if not tail.endswith(b"\n\n"):  # or the next message would be part of the last one
            descriptors.write_all(descriptor, b"\n" if tail.endswith(b"\n") else b"\n\n")
        for piece in more:
            descriptors.write_all(descriptor, piece)
        durable.sync_file(descriptor)

    def release(self) -> None:
        """Let others have it."""
        dotlock.release(self._lock)
        descriptors.close(self.descriptor)


def _give(descriptor: int, old: posix.stat_result, new: posix.stat_result) -> None:
    """The draft belongs to whom the mbox belongs to; where we may not do that, to nobody but us."""
    mode = old.st_mode & 0o777
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        try:
            posix.chown(descriptor, old.st_uid if old.st_uid != new.st_uid else -1, old.st_gid)
        except OSError:
            mode &= 0o700
    posix.chmod(descriptor, mode)


def _remove(path: bytes) -> None:
    try:
        posix.unlink(path)
    except OSError:
        return


def hold(path: bytes, *, create: bool) -> Held:
    """Lock this mbox, which is made (0600) if need be and wanted.

    Errors: Die TEMP where it is not there, is no file, or somebody else keeps it for mbox.PATIENCE seconds.
    """
    end = clock.monotonic() + mbox.PATIENCE
    while True:
        try:
            descriptor = posix.open(path, _FLAGS | (posix.O_CREAT if create else 0), 0o600)
        except OSError as error:
            raise _unlockable(path, words(error)) from None
        lock: bytes | None = None
        try:
            _flock(path, descriptor)
            lock = None if mbox.is_record_locked(descriptor) else dotlock.take(path)
            if lock is not None and mbox.is_named(path, descriptor):
                return Held(path, descriptor, lock)
        except BaseException as error:
            dotlock.release(lock or dotlock.NONE_HERE)
            descriptors.close(descriptor)
            if isinstance(error, OSError):
                raise _unlockable(path, words(error)) from None
            raise
        dotlock.release(lock or dotlock.NONE_HERE)
        descriptors.close(descriptor)
        if lock is None:
            if clock.monotonic() > end:
                raise Die(TEMP, b"%s has been locked for %d seconds straight" % (path, mbox.PATIENCE))
            clock.sleep(_PAUSE)


def _flock(path: bytes, descriptor: int) -> None:
    """Errors: Die TEMP: without a lock nobody may take a mbox away."""
    if posix.fstat(descriptor).st_mode & _KIND != _REGULAR:
        raise _unlockable(path, b"not a regular file")
    if not mbox.flock(descriptor):
        raise _unlockable(path, words(errno.ENOLCK))


def _unlockable(path: bytes, reason: bytes) -> Die:
    return Die(TEMP, b"unable to lock " + path + b": " + reason)
