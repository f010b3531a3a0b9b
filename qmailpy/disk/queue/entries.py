"""Every message that was accepted, in S4 or S5, with all that its files tell: for lists, choices and orders.

Nothing is locked: a message that goes while it is looked at is left out; one that is taken up meanwhile is told once.
"""

import errno
import posix

from qmailpy.disk.queue import listing, orders
from qmailpy.disk.queue.paths import Paths
from qmailpy.system import descriptors
from qmailpy.wire.delivery import CHANNELS
from qmailpy.wire.envelope import decode_todo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT = 128 << 20  # bytes of an envelope
_READ = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC


class Entry:
    """A message.

    key: see disk/queue/orders; birth: seconds since the epoch; size: bytes of its text; is_new: qmail-send has not
    taken it up; recipients: (done, channel's name, address), the channel empty where is_new; error: what kept us from
    reading all of it.
    """

    __slots__ = ("birth", "bouncing", "error", "is_new", "key", "number", "recipients", "sender", "size")

    def __init__(self, number: int, key: int, birth: int, size: int, sender: bytes) -> None:
        """Neither new nor bouncing, without recipients."""
        self.number, self.key, self.birth, self.size, self.sender = number, key, birth, size, sender
        self.recipients: list[tuple[bool, bytes, bytes]] = []
        self.bouncing = self.is_new = False
        self.error: OSError | None = None


def entries(paths: Paths) -> "Iterator[Entry]":
    """All of them, in no order.  Errors: Trouble "opendir"."""
    told = set()
    for number in listing.todo(paths):
        found = new(paths, number)
        if found is not None:
            told.add(number)
            yield found
    for number in listing.numbers(paths, b"info"):
        found = None if number in told else taken(paths, number)
        if found is not None:
            yield found


def entry(paths: Paths, number: int) -> Entry | None:
    """This one; None where it is not there."""
    return new(paths, number) or taken(paths, number)


def of_message(paths: Paths, message: listing.Message) -> Entry:
    """A message in S5 as an entry."""
    key = orders.key_of(paths, message.number) or 0
    found = Entry(message.number, key, message.birth, message.size, message.sender)
    found.bouncing, found.error = message.bouncing, message.error
    found.recipients = [(done, CHANNELS[channel], address) for done, channel, address in message.recipients]
    return found


def taken(paths: Paths, number: int) -> Entry | None:
    """One in S5."""
    message = listing.message(paths, number)
    return None if message is None else of_message(paths, message)


def new(paths: Paths, number: int) -> Entry | None:
    """One in S4."""
    try:
        status = posix.stat(paths.mess(number))
        descriptor = posix.open(paths.todo(number), _READ)
    except OSError:
        return None
    found = Entry(number, status.st_mtime_ns, int(status.st_mtime), status.st_size, b"")
    found.is_new = True
    try:
        todo = decode_todo(descriptors.read_whole(descriptor, _LIMIT))
        if todo is None:
            found.error = OSError(errno.EINVAL, "a record makes no sense")
        else:
            found.sender = todo.sender
            found.recipients = [(False, b"", address) for address in todo.recipients]
    except OSError as error:
        found.error = error
    finally:
        posix.close(descriptor)
    return found
