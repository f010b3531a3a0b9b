"""Dot-locks: the file PATH.lock beside a mailbox, for neighbours that ask for no lock of the kernel's.

Ours is made where the directory lets us; somebody else's is respected everywhere. One that is older than STALE, or that
is signed by a process of this host that is not there any more, belongs to nobody: it is taken away where we may, and
ignored where we may not. Nothing here waits; disk/mbox does, and has the mailbox's flock meanwhile, so that two of ours
do not take away the same one.
Signed PID:HOST, as dovecot does; who wants a number only, as liblockfile, finds it at the beginning.
"""

import posix

from qmailpy.system import clock, descriptors, identity, process

STALE = 300  # seconds; what liblockfile, which mail readers of Debian use, takes for a dead one's
NONE_HERE = b""  # we may not make one: who can write to the mailbox need not be able to write beside it
_SIGNATURE = 256  # bytes, at most
_LONGEST_PID = 9  # digits; Linux has 7
_FLAGS = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC


def take(path: bytes) -> bytes | None:
    """Make the dot-lock of this mailbox.

    Result: what release() takes, NONE_HERE where there can be no lock of ours; None: somebody else has it.
    Errors: none.
    """
    lock = path + b".lock"
    for _ in range(2):
        try:
            descriptor = posix.open(lock, _FLAGS, 0o644)
        except FileExistsError:
            if not _is_stale(lock):
                return None
            _remove(lock)
            continue
        except OSError:
            return NONE_HERE
        _sign(descriptor)
        return lock
    return NONE_HERE


def release(lock: bytes) -> None:
    """Give it back.  lock: of take()."""
    if lock != NONE_HERE:
        _remove(lock)


def _is_stale(lock: bytes) -> bool:
    try:
        return posix.lstat(lock).st_mtime < clock.now() - STALE or _is_of_the_dead(lock)
    except OSError:
        return False  # it has just been given back, or is none of ours


def _is_of_the_dead(lock: bytes) -> bool:
    """Whether its signature says so; one without a host may be of another one that shares this directory."""
    descriptor = posix.open(lock, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    try:
        signature = posix.read(descriptor, _SIGNATURE)
    finally:
        posix.close(descriptor)
    pid, _, host = signature.rstrip(b"\n").partition(b":")
    if host != identity.host() or not pid.isdigit() or len(pid) > _LONGEST_PID:
        return False
    return not process.exists(int(pid))


def _sign(descriptor: int) -> None:
    """By this others can see whose it is; an empty one locks as well."""
    try:
        posix.write(descriptor, b"%d:%s" % (identity.my_pid(), identity.host()))
    except OSError:
        return
    finally:
        descriptors.close(descriptor)


def _remove(lock: bytes) -> None:
    try:
        posix.unlink(lock)
    except OSError:
        return
