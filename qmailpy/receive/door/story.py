"""What the door tells of the messages it takes and refuses, if control/trace says so (PIC/decisions/trace).

Started by qmail-start it tells qmail-send, on descriptor 1, a line each without the word trace:, and qmail-send writes
it into its log. As a service of its own it writes whole lines on descriptor 2, its own log. Neither is ever waited for:
what cannot be written at once is lost, and the next line says how many were.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import messageid, trace
from qmailpy.skeletons.entry import Entry, reason
from qmailpy.system.loop import is_writable
from qmailpy.verdict import Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.door import Peer

    Bytes = bytes | bytearray
    Done = Callable[[BaseException | None], None]

TRACES = b"traces"  # qmail-start's word: somebody reads descriptor 1
_PIPE, _LOG = 1, 2  # descriptors


class Story:
    """on: whether anybody wants to know."""

    def __init__(self, home: Home) -> None:
        """Tells nothing before begin()."""
        self._home = home
        self._out = 0
        self._lost = 0
        self.on = False

    def begin(self, argv: list[bytes], *, service: bool) -> None:
        """argv: of the program, whose words say who hears."""
        if TRACES in argv and not service:
            self._out = _PIPE
            posix.set_blocking(_PIPE, False)
        elif service:
            self._out = _LOG

    @property
    def words(self) -> list[bytes]:
        """What the process that we may become must be told for this."""
        return [TRACES] if self._out == _PIPE else []

    def look(self) -> None:
        """Whether it is wanted now: cheap, and so no signal is needed."""
        try:
            self.on = self._out > 0 and control.integer(self._home, "trace", 0) > 0
        except Die:  # it stays as it was: the other control files' reader complains
            return

    def follow(self, peer: "Peer", entry: Entry, content: "Bytes", records: "Bytes", done: "Done") -> "Done":
        """done, which tells first if that is wanted.  content: what is there of the message; records: its envelope."""
        if not self.on:
            return done
        envelope = bytes(records)  # a copy: the entry takes its own apart
        beginning = b"" if entry.begun else bytes(content[: messageid.LIMIT])

        def told(error: BaseException | None) -> None:
            if error is None:
                self.accepted(peer.uid, peer.pid, entry, envelope, beginning or entry.beginning(messageid.LIMIT))
            else:
                self.refused(peer, *reason(error))
            done(error)

        return told

    def accepted(self, uid: int, pid: int, entry: Entry, envelope: bytes, beginning: bytes) -> None:
        """It is in the queue.  pid: 0 where the bringer has gone long ago (drop/); envelope: its records;

        beginning: of the message.
        """
        fields: dict[str, bytes | int] = {
            "msg": trace.key(entry.number, entry.written()),
            "event": b"accepted",
            "qp": entry.qp,
            "uid": uid,
            "pid": pid,
        }
        roles = [name for name, number in self._home.roles.uid.items() if number == uid]
        if len(roles) == 1:  # an embedded home has one uid for all
            fields["role"] = roles[0].encode()
        fields["sender"], fields["recipients"] = envelope[1 : envelope.find(b"\0")], envelope.count(b"\0T")
        name = messageid.message_id(beginning)
        if name:
            fields["id"] = name
        self._tell(fields)

    def refused(self, peer: "Peer", code: int, text: bytes) -> None:
        """It is not.  code: of qmail-queue."""
        if self.on:
            self._tell({"event": b"refused", "uid": peer.uid, "pid": peer.pid, "code": code, "reason": text})

    def _tell(self, fields: "dict[str, bytes | int]") -> None:
        if self._lost:
            fields["lost"] = self._lost
        msg = fields.pop("msg", b"-")
        by = {"by": b"qmail-queued"} if self._out == _LOG else {}
        line = trace.line({"msg": msg, **by, **fields})
        if self._out == _PIPE:
            line = line.removeprefix(trace.PREFIX)
        try:
            written = posix.write(self._out, line) if self._out == _PIPE or is_writable(self._out) else 0
        except OSError:
            written = 0
        self._lost = 0 if written else self._lost + 1
