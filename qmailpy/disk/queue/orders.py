"""orders/N: what was ordered about message N and is to outlive a restart: that it be held, removed, moved, or fail.

One record: a letter, h (hold), d (delete), b (fail) or m (move), KEY, a space, the reason of b or the place of m, NUL.
KEY is when mess/N was last written, in nanoseconds: it never is again, and another message that gets the number has
another one. The directory is ours alone: C's qmail-send does not look there, and delivers what we hold.
Errors of every call: Trouble.  Only the holder of the mutex may write.
"""

import posix

from qmailpy.disk import durable
from qmailpy.disk.layout import SPLIT
from qmailpy.disk.queue import listing
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.system import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HOLD, DELETE, FAIL, MOVE = LETTERS = b"h", b"d", b"b", b"m"
_FOLDER = b"orders"
_LIMIT = 4096  # bytes of a record
_READ = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC
_MODE = 0o600
_SECOND = 1_000_000_000  # nanoseconds


class Order:
    """letter: of LETTERS; key: the message's; text: the reason of FAIL, the place of MOVE."""

    __slots__ = ("key", "letter", "text")

    def __init__(self, letter: bytes, key: int, text: bytes = b"") -> None:
        """text: without NUL."""
        self.letter, self.key, self.text = letter, key, text

    def encode(self) -> bytes:
        """The record."""
        return b"%s%d %s\0" % (self.letter, self.key, self.text)


def decode(content: bytes) -> Order | None:
    """None where it is torn: then nobody was told that it is there."""
    letter, record = content[:1], content[1:]
    key, space, text = record.partition(b" ")
    number = listing.canonical(key)
    if letter not in LETTERS or not space or not text.endswith(b"\0") or number is None:
        return None
    return Order(letter, number, text[:-1])


def key_of(paths: Paths, number: int) -> int | None:
    """The key of the message that has this number now; None where there is none, or it cannot be looked at."""
    try:
        return posix.stat(paths.mess(number)).st_mtime_ns
    except OSError:
        return None


def fits(paths: Paths, number: int, order: Order) -> bool:
    """Whether it is about the message that has this number now.  A copied queue may have lost parts of seconds."""
    key = key_of(paths, number)
    return key is not None and (key == order.key or (key % _SECOND == 0 and key == order.key - order.key % _SECOND))


def letters(paths: Paths) -> dict[int, bytes]:
    """What is ordered, by the number of the message."""
    return {number: order.letter for number, order in listed(paths) if order is not None}


def listed(paths: Paths) -> "Iterator[tuple[int, Order | None]]":
    """What was ordered, None for what makes no sense; nothing where there is no such directory."""
    try:
        names = posix.listdir(paths.folder(_FOLDER))
    except FileNotFoundError:
        return
    except OSError as error:
        raise Trouble("opendir", _FOLDER, error) from None
    for number in filter(None, map(listing.canonical, names)):
        try:
            descriptor = posix.open(_path(paths, number), _READ)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _trouble("open", paths, number, error) from None
        try:
            yield number, decode(descriptors.read_all(descriptor, _LIMIT))
        except OSError as error:
            raise _trouble("read", paths, number, error) from None
        finally:
            posix.close(descriptor)


def write(paths: Paths, number: int, order: Order) -> None:
    """It is on disk, but for its name: that needs sync()."""
    path = _path(paths, number)
    draft = path + b".new"  # what was ordered before counts until this is whole
    try:
        descriptor = posix.open(draft, _NEW, _MODE)
        try:
            descriptors.write_all(descriptor, order.encode())
            durable.sync_file(descriptor)
        finally:
            posix.close(descriptor)
        posix.rename(draft, path)
    except OSError as error:
        raise _trouble("write", paths, number, error) from None


def remove(paths: Paths, number: int) -> None:
    """It is done, or taken back."""
    try:
        posix.unlink(_path(paths, number))
    except FileNotFoundError:
        return
    except OSError as error:
        raise _trouble("unlink", paths, number, error) from None


def sync(paths: Paths) -> None:
    """All names are on disk."""
    sync_folder(paths, _FOLDER)


def sync_info(paths: Paths, number: int) -> None:
    """It is on disk that this message has no info/N any more."""
    sync_folder(paths, b"info/%d" % (number % SPLIT))


def sync_folder(paths: Paths, name: bytes) -> None:
    """The names in this directory of the queue are on disk."""
    try:
        durable.sync_directory(paths.folder(name))
    except OSError as error:
        raise Trouble("fsync", name, error) from None


def _path(paths: Paths, number: int) -> bytes:
    return b"%s/%d" % (paths.folder(_FOLDER), number)


def _trouble(what: str, paths: Paths, number: int, error: OSError) -> Trouble:
    return Trouble(what, paths.relative(_path(paths, number)), error)
