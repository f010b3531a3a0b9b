"""One message on its way into the queue: Received line, content, envelope, trigger.

Used by the door, from its pool of threads, and by root's own qmail-queue while the door is closed.
"""

from qmailpy.disk.home import Home
from qmailpy.disk.queue.entering import Entering, Names, pull_trigger
from qmailpy.disk.queue.paths import Paths
from qmailpy.rules.received import invoked_by, received_line
from qmailpy.system import clock
from qmailpy.wire import envelope


class Entry:
    """Makes nothing until the first store() or accept().  Errors: Die with qmail-queue's exit code."""

    __slots__ = ("_entering", "_home", "_paths", "_qp", "_uid")

    def __init__(self, home: Home, names: Names, uid: int, qp: int) -> None:
        """uid: who brings it; qp: as in the log; home.roles must be known already (threads look them up here)."""
        self._home, self._uid, self._qp = home, uid, qp
        self._paths = Paths(home)
        self._entering = Entering(self._paths, names, home.roles.uid["qmailq"])

    def store(self, content: bytes) -> None:
        """More of the message."""
        if self._entering.begun:
            self._entering.append(content)
        else:
            self._entering.begin(self._received() + content)

    def accept(self, content: bytes, records: bytes) -> None:
        """The last of the message, and its envelope: when this returns, the message is in the queue.

        records: F sender NUL {T recipient NUL}*.
        """
        if content or not self._entering.begun:
            self.store(content)
        self._entering.commit(envelope.encode_todo(self._uid, self._qp, records))
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
        return received_line(self._qp, who, clock.now())
