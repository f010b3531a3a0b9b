"""Constant databases: users/cdb and its kind.  The format is spec/00-common.md 8; pure-cdb reads and writes it.

The only file that imports cdblib, and only where a file is really opened: programs that never look into one must start
fast. A file may be damaged or made by anybody: every question ends, and nonsense is an OSError. A new one takes the
place of the old by rename, so that a reader sees one of the two, whole.
"""

import errno
import posix
import struct

from qmailpy.disk import durable
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    Record = tuple[bytes, bytes]

_PAIR = 8  # bytes of a slot: a file of n bytes has at most n / 8 of them


class Cdb:
    """An open constant database.  Use it in a with statement."""

    def __init__(self, path: bytes) -> None:
        """Errors: FileNotFoundError where there is none; OSError where it is none."""
        import mmap

        from cdblib import Reader

        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        try:
            self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file
            raise OSError(errno.EINVAL, "not a constant database") from None
        finally:
            posix.close(descriptor)
        try:
            self._reader = Reader(self._map)
        except OSError:
            self._map.close()
            raise OSError(errno.EINVAL, "not a constant database") from None
        self._read_pair = Reader.read_pair
        self._reader.read_pair = self._bounded_pair
        self._left = 0

    def get(self, key: bytes) -> bytes | None:
        """What was first added under this key; None if nothing was.  Errors: OSError for a damaged file."""
        self._left = len(self._map) // _PAIR + 1
        try:
            found: bytes | None = self._reader.get(key)
        except (struct.error, LookupError):
            raise OSError(errno.EINVAL, "not a constant database") from None
        return found

    def _bounded_pair(self, pair: bytes) -> tuple[int, int]:
        """A table without an empty slot would be searched for ever."""
        self._left -= 1
        if self._left < 0:
            raise LookupError
        values: tuple[int, int] = self._read_pair(pair)
        return values

    def __enter__(self) -> "Self":
        """For with."""
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", value: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        """Give the file back."""
        self._map.close()


def write(draft: bytes, path: bytes, records: "Iterable[Record]", *, group: int = -1) -> None:
    """Put a database of these records, in their order, into the place of path: whole and on disk, or not at all.

    draft: a path in the same directory.  It is locked, so that two who write at once come one after the other; it is
    gone afterwards.  The mode is 0644 less the umask; with a group it belongs to that one, and is 0640.
    The same records give the same bytes.
    Errors: Die TEMP with the path and the reason; whatever records raises, which must be no OSError.  path is as it
    was then, unless only the directory could not be fsynced.
    """
    try:
        descriptor = _open_draft(draft)
    except OSError as error:
        raise Die(TEMP, b"unable to open " + draft + b": " + words(error)) from None
    try:
        try:
            if group >= 0:
                posix.fchmod(descriptor, 0o640)
                posix.fchown(descriptor, -1, group)
            _fill(descriptor, records)
        except BaseException:
            posix.unlink(draft)
            raise
        try:
            posix.rename(draft, path)
        except OSError as error:
            posix.unlink(draft)
            raise Die(TEMP, b"unable to move %s to %s: %s" % (draft, path, words(error))) from None
    except (OSError, struct.error) as error:  # struct: a position of 4 GB or more
        reason = words(error) if isinstance(error, OSError) else words(errno.EFBIG)
        raise Die(TEMP, b"unable to write " + draft + b": " + reason) from None
    finally:
        _close(descriptor)
    folder = path.rpartition(b"/")[0] or b"."
    try:
        durable.sync_directory(folder)
    except OSError as error:
        raise Die(TEMP, b"unable to fsync " + folder + b": " + words(error)) from None


def _close(descriptor: int) -> None:
    """And give the lock back.  What this could complain about fsync has asked already."""
    try:
        posix.close(descriptor)
    except OSError:
        return


def _open_draft(draft: bytes) -> int:
    """The draft, empty and locked.  Errors: OSError."""
    import fcntl

    flags = posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
    while True:
        descriptor = posix.open(draft, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_named(descriptor, draft):  # else who had the lock before us has finished, and it is his result
                posix.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            posix.close(descriptor)
            raise
        posix.close(descriptor)


def _is_named(descriptor: int, path: bytes) -> bool:
    ours = posix.fstat(descriptor)
    try:
        named = posix.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)


def _fill(descriptor: int, records: "Iterable[Record]") -> None:
    """Write all of it.  Errors: OSError, struct.error, and what records raises."""
    from cdblib import Writer

    with open(descriptor, "wb", closefd=False) as file:
        writer = Writer(file)
        for key, value in _with_zero_last(records):
            writer.put(key, value)
        writer.finalize()
    durable.sync_file(descriptor)


def _with_zero_last(records: "Iterable[Record]") -> "Iterator[Record]":
    """The records, those whose key has the hash 0 at the end, and of them only the first.

    pure-cdb's writer takes their slots for empty ones, and what comes later would be put over them.
    """
    from cdblib import djb_hash

    last: Record | None = None
    for record in records:
        if djb_hash(record[0]) != 0:
            yield record
        elif last is None:
            last = record
        elif last[0] != record[0]:
            raise OSError(errno.EINVAL, "two keys with the hash 0")
    if last is not None:
        yield last
