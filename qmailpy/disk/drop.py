"""drop/: where a message waits while the door is closed (DESIGN 2, "The door").

One complete file under a name that nobody can guess, put in place by rename; the directory is mode 1733, so that
nobody can list it. The door takes in regular files with one link only: a hard link, a symbolic link, a FIFO could
make it read or speak for somebody else. What the files hold is wire/door's business.
"""

import errno
import posix

from qmailpy.disk import durable
from qmailpy.disk.layout import OSSIFIED
from qmailpy.system import descriptors
from qmailpy.verdict import words

_NAME_BYTES = 16  # 128 bits of randomness
_MODE = 0o644  # the door is another user
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
_READ = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC | posix.O_NOCTTY
_ASIDE = b"aside"
_SHOWN = 100  # bytes of a stranger's name that are kept in a hidden one
_REGULAR, _DIRECTORY, _KIND = 0o100000, 0o040000, 0o170000
_NOT_A_FILE = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EMLINK)  # symbolic link, socket, device


class Dropping:
    """A message being left.  Errors of all calls: OSError, and nothing has been left."""

    def __init__(self, folder: bytes) -> None:
        """folder: drop/."""
        name = posix.urandom(_NAME_BYTES).hex().encode()
        self._temporary, self._path = folder + b"/." + name, folder + b"/" + name
        self._descriptor = posix.open(self._temporary, _NEW, _MODE)
        try:
            posix.fchmod(self._descriptor, _MODE)  # whatever the caller's umask is
        except OSError:
            self.abandon()
            raise

    def write(self, content: bytes) -> None:
        """More bytes."""
        try:
            descriptors.write_all(self._descriptor, content)
        except OSError:
            self.abandon()
            raise

    def finish(self) -> None:
        """Put it in place; it survives a power cut when this returns.

        An error after the rename leaves it in place: the door may have taken it already.
        """
        try:
            durable.sync_file(self._descriptor)
            posix.rename(self._temporary, self._path)
        except OSError:
            self.abandon()
            raise
        try:
            durable.sync_file(self._descriptor)  # the directory cannot be opened by us; this keeps the new name too
        finally:
            self._close()

    def abandon(self) -> None:
        """Leave nothing."""
        if self._descriptor >= 0:
            self._close()
            try:
                posix.unlink(self._temporary)
            except OSError:  # the door removes it after 36 hours
                return

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        posix.close(descriptor)


class Unfit(Exception):
    """This entry of drop/ is not a message that can be taken in.  text: why."""

    def __init__(self, text: bytes) -> None:
        """text: the end of a sentence."""
        super().__init__(text)
        self.text = text


class Found:
    """A message that waits: an open descriptor, whose it is, how many bytes it has."""

    __slots__ = ("descriptor", "name", "size", "uid")

    def __init__(self, name: bytes, descriptor: int, uid: int, size: int) -> None:
        """uid: the file's owner."""
        self.name, self.descriptor, self.uid, self.size = name, descriptor, uid, size


def changed(folder: bytes) -> int:
    """A number that is another one when something has been put into drop/; 0 where there is no drop/."""
    try:
        return posix.stat(folder).st_mtime_ns
    except OSError:
        return 0


def waiting(folder: bytes, now: int) -> list[bytes]:
    """Names of what waits, oldest first; removes unfinished files that nobody has touched for 36 hours.

    now: seconds since the epoch.  Errors: none; no drop/ is an empty one.
    """
    try:
        names = posix.listdir(folder)
    except OSError:
        return []
    found = []
    for name in names:
        path = folder + b"/" + name
        try:
            status = posix.lstat(path)
            if not name.startswith(b"."):
                if name != _ASIDE:
                    found.append((status.st_mtime_ns, name))
            elif now - status.st_mtime >= OSSIFIED:
                posix.unlink(path)
        except OSError:
            continue
    return [name for _, name in sorted(found)]


def open_found(folder: bytes, name: bytes) -> Found:
    """Open one that waits.  Errors: Unfit for good; OSError where trying again can help."""
    try:
        descriptor = posix.open(folder + b"/" + name, _READ)
    except OSError as error:
        if isinstance(error, PermissionError) or error.errno in _NOT_A_FILE:
            raise Unfit(words(error)) from None
        raise
    status = posix.fstat(descriptor)
    if status.st_mode & _KIND != _REGULAR:
        fault = b"not a regular file"
    elif status.st_nlink != 1:
        fault = b"it has %d names" % status.st_nlink
    else:
        return Found(name, descriptor, status.st_uid, status.st_size)
    posix.close(descriptor)
    raise Unfit(fault)


def remove(folder: bytes, name: bytes) -> None:
    """After it was taken in.  Errors: OSError."""
    posix.unlink(folder + b"/" + name)


def set_aside(folder: bytes, name: bytes) -> None:
    """Out of the way, for the administrator to look at.  Errors: OSError.

    A stranger's directory cannot be moved into another one; it stays here under a hidden name.
    """
    path = folder + b"/" + name
    try:
        posix.rename(path, b"/".join((folder, _ASIDE, name)))
    except FileNotFoundError:
        if _is_gone(path):
            raise
        raise NotADirectoryError(errno.ENOTDIR, "no directory aside") from None
    except OSError:
        if posix.lstat(path).st_mode & _KIND != _DIRECTORY:
            raise
        posix.rename(path, b"%s/.%s-%s" % (folder, posix.urandom(_NAME_BYTES).hex().encode(), name[:_SHOWN]))


def _is_gone(path: bytes) -> bool:
    try:
        posix.lstat(path)
    except FileNotFoundError:
        return True
    return False
