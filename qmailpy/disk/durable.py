"""Durability: the only file that calls fsync.

link(2) and rename(2) are atomic, not durable: on ext4, xfs and btrfs the name is lost in a power cut
unless the directory is fsynced too (spec/12-crash-safety.md 2.1). A failed fsync is never tried again:
the pages were marked clean; the caller gives the operation up.
"""

import posix


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
