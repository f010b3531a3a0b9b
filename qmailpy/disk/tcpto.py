"""The files lock/tcpto (IPv4: 64 records of 16 bytes; spec/06 4) and lock/tcpto6, each under its own lock.

The first may be read and changed by C programs at the same time, who do not know the other one; a record is always
written whole. They are only advice: where one cannot be opened, or somebody holds its lock, mail goes on without it.
What the records mean: rules/tcpto.
"""

import fcntl
import posix
from functools import partial

from qmailpy.disk.home import Home
from qmailpy.disk.layout import TCPTO6_SIZE, TCPTO_SIZE
from qmailpy.disk.queue.paths import Paths
from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


V4, V6 = 4, 16  # bytes of an address: which table
_FILES = {V4: (b"tcpto", TCPTO_SIZE), V6: (b"tcpto6", TCPTO6_SIZE)}


def look(home: Home, address: int = V4) -> bytes:
    """The table; empty if there is none, which turns the feature off.

    Not under the lock: a thousand conversations share a process that must never wait, and the worst that a record
    half written can do is one attempt more or less.
    """
    name, size = _FILES[address]
    return descriptors.beginning(Paths(home).lock(name), size)


def amend(home: Home, decide: "Callable[[bytes], tuple[int, bytes] | None]", address: int = V4) -> None:
    """Read, decide and write one record, all under the lock; nothing happens if somebody else holds it.

    decide(table): where to write what, or None.
    """
    name, size = _FILES[address]
    try:
        descriptor = posix.open(Paths(home).lock(name), posix.O_RDWR | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        change = decide(posix.pread(descriptor, size, 0))
        if change is not None:
            posix.pwrite(descriptor, change[1], change[0])
    except OSError:  # the lock is taken, or the disk is ill: one time-out less is remembered
        return
    finally:
        posix.close(descriptor)


def zero(home: Home) -> None:
    """Forget everything: all bytes of both NUL (qmail-rspawn at its start)."""
    for name, size in _FILES.values():
        try:
            descriptor = posix.open(Paths(home).lock(name), posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
        except OSError:
            continue
        try:
            posix.pwrite(descriptor, bytes(size), 0)
        except OSError:
            continue
        finally:
            posix.close(descriptor)


# for qmail-tcpto and qmail-tcpok, which must say what is wrong


def read(home: Home, address: int = V4) -> bytes:
    """The table, under its lock; of IPv6: empty where there is none.  Errors: Die TEMP."""
    name, size = _FILES[address]
    table = _locked(home, name, posix.O_RDONLY, lambda descriptor: posix.pread(descriptor, size, 0))
    return table or b""


def forget(home: Home) -> None:
    """Forget everything, under the locks.  Errors: Die TEMP."""
    for name, size in _FILES.values():
        _locked(home, name, posix.O_WRONLY, partial(_clear, bytes(size)))


def _clear(nothing: bytes, descriptor: int) -> int:
    return posix.pwrite(descriptor, nothing, 0)


def _locked(home: Home, name: bytes, flags: int, work: "Callable[[int], T]") -> "T | None":
    path = Paths(home).lock(name)
    try:
        descriptor = posix.open(path, flags | posix.O_NONBLOCK | posix.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return work(descriptor)
        finally:
            posix.close(descriptor)
    except OSError as error:
        if name == _FILES[V6][0] and isinstance(error, FileNotFoundError):  # a queue that C qmail made
            return None
        hint = b" (be root, or qmailr)" if isinstance(error, PermissionError) else b""
        raise Die(TEMP, b"unable to use " + path + b": " + words(error) + hint) from None
