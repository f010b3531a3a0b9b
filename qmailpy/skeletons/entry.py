"""One message on its way into the queue: Received line, content, envelope, trigger.

Used by the door, from its pool of threads, and by root's own qmail-queue while the door is closed.
"""

from qmailpy.disk.home import Home
from qmailpy.disk.queue import looking
from qmailpy.disk.queue.entering import Entering, Names, commit_together, pull_trigger
from qmailpy.disk.queue.paths import Paths
from qmailpy.rules.received import invoked_by, received_line
from qmailpy.system import clock
from qmailpy.verdict import Die
from qmailpy.wire import envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Bytes = bytes | bytearray
    Piece = Bytes | memoryview
    Whole = tuple["Entry", Bytes, Bytes]  # an entry, the last of its content, its envelope's records

_MEMORY, _BUG = 51, 81  # exit codes


class Entry:
    """Makes nothing until the first store() or accept().  Errors: Die with qmail-queue's exit code."""

    __slots__ = ("_entering", "_home", "_local_time", "_paths", "_qp", "_uid")

    def __init__(self, home: Home, names: Names, uid: int, qp: int, local_time: bool = False) -> None:
        """uid: who brings it; qp: as in the log; home.roles must be known already (threads look them up here).

        local_time: the Received line tells local time.
        """
        self._home, self._uid, self._qp, self._local_time = home, uid, qp, local_time
        self._paths = Paths(home)
        self._entering = Entering(self._paths, names, home.roles.uid["qmailq"])

    def store(self, content: "Bytes") -> None:
        """More of the message."""
        if self._entering.begun:
            self._entering.append(content)
        else:
            self._entering.begin(self._received(), content)

    def accept(self, content: "Bytes", records: "Bytes") -> None:
        """The last of the message, and its envelope: when this returns, the message is in the queue.

        records: F sender NUL {T recipient NUL}*, with the parameters, as wire/envelope's Reader gives them.
        """
        (error,) = accept_together([(self, content, records)])
        if error is not None:
            raise error

    def ready(self, content: "Bytes", records: "Bytes") -> "tuple[Entering, Sequence[Piece]]":
        """The same, up to the point where several messages may go on together: what commit_together() wants."""
        if content or not self.begun:
            self.store(content)
        return self._entering, envelope.todo_pieces(self._uid, self._qp, records)

    @property
    def number(self) -> int:
        """The message's, once begun."""
        return self._entering.number

    @property
    def qp(self) -> int:
        """As in the log."""
        return self._qp

    def written(self) -> int:
        """When mess/N was written, in nanoseconds since the epoch; 0 where it has been delivered and is gone."""
        return looking.written(self._paths, self.number)

    def beginning(self, size: int) -> bytes:
        """The first bytes of mess/N; empty where that is gone."""
        return looking.beginning(self._paths, self.number, size)

    def wake_sender(self) -> None:
        """There is something new in todo/."""
        pull_trigger(self._paths)

    def abandon(self) -> None:
        """Leave nothing behind, unless it is in the queue already."""
        self._entering.abandon()

    def surrender(self) -> None:
        """Only close: a fork of this process goes on with it."""
        self._entering.surrender()

    @property
    def begun(self) -> bool:
        """Whether there is something to abandon."""
        return self._entering.begun

    def _received(self) -> bytes:
        uid = self._home.roles.uid
        who = invoked_by(self._uid, uid["alias"], uid["qmaild"], uid["qmails"])
        now = clock.now()
        return received_line(self._qp, who, now, clock.east_of_utc(now) if self._local_time else None)


def accept_together(batch: "Sequence[Whole]") -> "list[BaseException | None]":
    """What accept() does, for several messages of one queue that share their way to the disk.

    Result: for each, what its accept() would raise, or None.
    """
    failed: dict[Entry, BaseException] = {}
    ready: list[tuple[Entering, Sequence[Piece]]] = []
    for entry, content, records in batch:
        try:
            ready.append(entry.ready(content, records))
        except BaseException as error:  # noqa: BLE001 - it is raised by whoever wants this message
            failed[entry] = error
    committed = iter(commit_together(ready))
    errors = [failed[entry] if entry in failed else next(committed) for entry, _, _ in batch]
    if None in errors:
        batch[0][0].wake_sender()
    return errors


def reason(error: BaseException) -> tuple[int, bytes]:
    """What a caller is told of an error: exit code of qmail-queue, and a sentence."""
    if isinstance(error, Die):
        return error.code, error.text
    if isinstance(error, MemoryError):
        return _MEMORY, b"out of memory"
    return _BUG, b"internal error: " + type(error).__name__.encode("ascii", "replace")
