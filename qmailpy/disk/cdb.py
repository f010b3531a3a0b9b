"""Constant databases: users/cdb and its kind.  The format is spec/00-common.md 8; pure-cdb reads it.

The only file that imports cdblib, and only where a file is really opened: programs that never look into one must start
fast. A file may be damaged or made by anybody: every question ends, and nonsense is an OSError.
"""

import errno
import posix
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

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
