"""The file lock/tcpto: 1024 bytes, 64 records of 16, read and rewritten under its own lock (spec/06 4).

It may be read and changed by C programs at the same time; a record is always written whole. It is only advice: where
it cannot be opened, or somebody holds its lock, mail goes on without it. What the records mean: rules/tcpto.
"""

import fcntl
import posix

from qmailpy.disk.home import Home
from qmailpy.disk.layout import TCPTO_SIZE
from qmailpy.disk.queue.paths import Paths
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def look(home: Home) -> bytes:
    """The table; empty if there is none, which turns the feature off.

    Not under the lock: a thousand conversations share a process that must never wait, and the worst that a record
    half written can do is one attempt more or less.
    """
    try:
        descriptor = posix.open(Paths(home).lock(b"tcpto"), posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return posix.read(descriptor, TCPTO_SIZE)
    except OSError:
        return b""
    finally:
        posix.close(descriptor)


def amend(home: Home, decide: "Callable[[bytes], tuple[int, bytes] | None]") -> None:
    """Read, decide and write one record, all under the lock; nothing happens if somebody else holds it.

    decide(table): where to write what, or None.
    """
    try:
        descriptor = posix.open(Paths(home).lock(b"tcpto"), posix.O_RDWR | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        change = decide(posix.pread(descriptor, TCPTO_SIZE, 0))
        if change is not None:
            posix.pwrite(descriptor, change[1], change[0])
    except OSError:  # the lock is taken, or the disk is ill: one time-out less is remembered
        return
    finally:
        posix.close(descriptor)


def zero(home: Home) -> None:
    """Forget everything: all 1024 bytes NUL (qmail-rspawn at its start, qmail-tcpok)."""
    try:
        descriptor = posix.open(Paths(home).lock(b"tcpto"), posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        posix.pwrite(descriptor, bytes(TCPTO_SIZE), 0)
    except OSError:
        return
    finally:
        posix.close(descriptor)


# for qmail-tcpto and qmail-tcpok, which must say what is wrong


def read(home: Home) -> bytes:
    """The table, under its lock.  Errors: Die TEMP."""
    return _locked(home, posix.O_RDONLY, lambda descriptor: posix.pread(descriptor, TCPTO_SIZE, 0))


def forget(home: Home) -> None:
    """Forget everything, under the lock.  Errors: Die TEMP."""
    _locked(home, posix.O_WRONLY, lambda descriptor: posix.pwrite(descriptor, bytes(TCPTO_SIZE), 0))


def _locked(home: Home, flags: int, work: "Callable[[int], T]") -> "T":
    path = Paths(home).lock(b"tcpto")
    try:
        descriptor = posix.open(path, flags | posix.O_NONBLOCK | posix.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return work(descriptor)
        finally:
            posix.close(descriptor)
    except OSError as error:
        hint = b" (be root, or qmailr)" if isinstance(error, PermissionError) else b""
        raise Die(TEMP, b"unable to use " + path + b": " + words(error) + hint) from None
