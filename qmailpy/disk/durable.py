"""Durability: the only file that calls fsync.

link(2) and rename(2) are atomic, not durable: on ext4, xfs and btrfs the name is lost in a power cut
unless the directory is fsynced too (spec/12-crash-safety.md 2.1). A failed fsync is never tried again:
the pages were marked clean; the caller gives the operation up.
"""

import posix

_PAGE = 4096  # bytes


def start_writing(descriptor: int, size: int) -> None:
    """Begin to write a small file out, without waiting: several files then share one commit of the journal.

    size: of the file, bytes. A larger one is left to its fsync: more than a page cannot be said without making the
    kernel drop pages that will be read soon.  Errors: none, it is a hint.
    """
    if size <= _PAGE:
        try:
            posix.posix_fadvise(descriptor, 0, 1, posix.POSIX_FADV_DONTNEED)
        except (AttributeError, OSError):
            return


def sync_file(descriptor: int) -> None:
    """Content and inode of this file are on disk when this returns.  Errors: OSError."""
    posix.fsync(descriptor)


def sync_directory(path: bytes) -> None:
    """The names in this directory are on disk when this returns.  Errors: OSError."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fsync(descriptor)
    finally:
        posix.close(descriptor)


def sync_open_directory(descriptor: int) -> None:
    """As sync_directory, for one that is held open."""
    posix.fsync(descriptor)


def sync_all() -> None:
    """Everything that was written on this machine is on disk when this returns: for setup only."""
    posix.sync()
