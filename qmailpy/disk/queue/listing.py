"""What is in the queue: for qmail-send at its start, for qmail-qread and qmail-qstat.

Nothing is locked: a message may be finished while it is looked at; it is then left out. Names that are not numbers,
and numbers in the wrong sub-directory, are not messages.
"""

import errno
import posix

from qmailpy.disk.layout import SPLIT
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Recipients, Trouble
from qmailpy.disk.queue.wishes import Info
from qmailpy.wire.delivery import CHANNELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Message:
    """A message in S5.

    birth: seconds since the epoch; size: bytes of the mess file; recipients: (done, channel, address) in their
    order, local ones first, channel LOCAL or REMOTE; cut: there are more than were asked for; error: what kept us from
    reading it all, else None.
    """

    __slots__ = ("birth", "bouncing", "cut", "error", "number", "recipients", "sender", "size")

    def __init__(self, number: int) -> None:
        """Nothing read yet."""
        self.number = number
        self.birth = self.size = 0
        self.sender = b""
        self.bouncing = self.cut = False
        self.recipients: list[tuple[bool, int, bytes]] = []
        self.error: OSError | None = None


def canonical(name: bytes) -> int | None:
    """The number that is a file's name; None where the name is anything else."""
    if not name or len(name) > 20 or name.strip(b"0123456789"):
        return None
    number = int(name)
    return number if b"%d" % number == name else None


def numbers(paths: Paths, folder: bytes) -> "Iterator[int]":
    """Every number in info/*/ or mess/*/, in no order.  Errors: Trouble "opendir"."""
    for part in range(SPLIT):
        name = b"%s/%d" % (folder, part)
        try:
            found = posix.listdir(paths.folder(name))
        except OSError as error:
            raise Trouble("opendir", name, error) from None
        for each in found:
            number = canonical(each)
            if number is not None and number % SPLIT == part:
                yield number


def arrivals(paths: Paths) -> "Iterator[int]":
    """Every message that is at least being written, in no order.  Errors: Trouble "opendir"."""
    return numbers(paths, b"mess")


def todo_names(paths: Paths) -> set[bytes]:
    """What is in todo/, by name.  Errors: Trouble "opendir"."""
    try:
        return set(posix.listdir(paths.folder(b"todo")))
    except OSError as error:
        raise Trouble("opendir", b"todo", error) from None


def todo(paths: Paths) -> list[int]:
    """Numbers of the messages in S4: accepted, not yet preprocessed.  Errors: Trouble "opendir"."""
    return [number for number in map(canonical, todo_names(paths)) if number is not None]


def count(paths: Paths) -> tuple[int, int]:
    """How many messages there are, and how many entries todo/ has.  Errors: Trouble "opendir"."""
    return sum(1 for _ in numbers(paths, b"mess")), len(todo(paths))


def messages(paths: Paths) -> "Iterator[Message]":
    """Every message in S5.  Errors: Trouble "opendir"; those of one message are in its error."""
    for number in numbers(paths, b"info"):
        found = message(paths, number)
        if found is not None:
            yield found


def message(paths: Paths, number: int, most: int = 0) -> Message | None:
    """This one; None if it has just been finished.  most: recipients that are read, 0 for all."""
    found = Message(number)
    try:
        _fill(paths, found, most)
    except FileNotFoundError:
        return None
    except Trouble as trouble:
        found.error = trouble.error or OSError(errno.EINVAL, "a record makes no sense")
    except OSError as error:
        found.error = error
    return found


def _fill(paths: Paths, message: Message, most: int) -> None:
    number = message.number
    info = Info(paths, number)
    message.sender, message.birth = info.sender, info.birth
    message.size = posix.stat(paths.mess(number)).st_size
    message.bouncing = _exists(paths.bounce(number))
    for channel, name in enumerate(CHANNELS):
        try:
            reader = Recipients(paths, name, number)
        except Trouble as trouble:
            if isinstance(trouble.error, FileNotFoundError):
                continue
            raise
        try:
            while (record := reader.next()) is not None:
                if most and len(message.recipients) == most:
                    message.cut = True
                    return
                message.recipients.append((record[0], channel, record[2]))
        finally:
            reader.close()


def _exists(path: bytes) -> bool:
    try:
        posix.stat(path)
    except FileNotFoundError:
        return False
    return True
