"""What crashes leave in mess/: the walk of spec/02 7, one entry at a time, so that mail never waits for it."""

import posix

from qmailpy.disk.layout import OSSIFIED
from qmailpy.disk.queue import listing
from qmailpy.disk.queue.paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def walk(paths: Paths, now: int) -> "Iterator[int | None]":
    """For each entry of mess/: its number if it is litter, else None.

    now: seconds since the epoch.  Litter: last read more than 36 hours ago and neither in S4 nor in S5; one that
    cannot be looked at is not.  Errors: Trouble "opendir"; the walk is over then.
    """
    for number in listing.numbers(paths, b"mess"):
        yield number if _is_litter(paths, number, now) else None


def _is_litter(paths: Paths, number: int, now: int) -> bool:
    try:
        if now <= posix.stat(paths.mess(number)).st_atime + OSSIFIED:
            return False
        return not (_exists(paths.info(number)) or _exists(paths.todo(number)))
    except OSError:
        return False


def _exists(path: bytes) -> bool:
    try:
        posix.stat(path)
    except FileNotFoundError:
        return False
    return True
