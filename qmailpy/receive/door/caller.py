"""One caller of a door that has no queue: his message comes in, waits for a child in its turn, and is answered.

The message is kept in memory, in a file without a name; who hangs up leaves nothing, and his child is ended.
"""

import _socket
import posix

from qmailpy.disk.layout import DEATH
from qmailpy.rules.received import received_line
from qmailpy.system import clock, descriptors
from qmailpy.wire import door as wire
from qmailpy.wire import envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from qmailpy.receive.door.admission import Admission
    from qmailpy.system.door import Peer
    from qmailpy.system.loop import Loop

    class Outer(Protocol):
        """The door, as a conversation needs it (receive/door/relaying).  largest: bytes of a message."""

        loop: Loop
        admission: Admission
        largest: int

        def serial(self) -> int:
            """A qp for a message that has no process of its own here."""

        def wait_for_child(self, caller: "Caller") -> None:
            """Its message is whole: it gets a child in its turn."""

        def forget(self, caller: "Caller") -> None:
            """It has gone; its child goes too."""


_IDLE = 72  # exit code


class Caller:
    """One conversation: a message comes in, waits for its child, and is answered."""

    def __init__(self, outer: "Outer", connection: _socket.socket, peer: "Peer") -> None:
        """The door has admitted this peer."""
        self._door, self._connection, self.uid, self._pid = outer, connection, peer.uid, peer.pid
        self._reader = wire.FrameReader(direct=True)
        self._incoming: wire.Incoming | None = None
        self.message = self._report = -1  # descriptors: the message's memory, what its child says
        self.records, self.qp = b"", 0
        self._said = self._out = b""  # by the child; to the caller
        self._waits = self._closed = False
        self._touched = self._since = clock.monotonic()
        self._held = 0
        outer.loop.on_read(connection.fileno(), self._hear)

    @property
    def is_running(self) -> bool:
        """Whether its child is at work, or its answer is under way."""
        return self._report >= 0 or bool(self._out)

    def look_at_clock(self, now: float) -> None:
        """Hang up on whoever is silent or endless.  now: on the monotonic clock."""
        if self._waits:
            return
        if now - self._touched > wire.IDLE or now - self._since > DEATH:
            if self._out:
                self.close()
            else:
                self.answer(wire.Answer(_IDLE, 0, b"nothing came for %d seconds" % wire.IDLE))

    def close(self) -> None:
        """Hang up; nothing of it stays."""
        if self._closed:
            return
        self._closed = True
        self._door.loop.forget(self._connection.fileno())
        self._connection.close()
        self._stop_hearing_child()
        if self.message >= 0:
            posix.close(self.message)
            self.message = -1
        self._hold(0)
        self._door.admission.leave(self.uid)
        self._door.forget(self)

    def _hear(self) -> None:
        try:
            piece = self._connection.recv(descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece or self._waits or self._out:  # it has gone; or it says more than one message
            self.close()
            return
        self._touched = clock.monotonic()
        try:
            self._reader.feed(piece)
            self._take_frames()
        except wire.Refusal as refusal:
            self.answer(wire.Answer(refusal.code, 0, refusal.text))
        except wire.DoorError as error:
            self.answer(wire.Answer(wire.SPEECH, 0, str(error).encode()))
        except (OSError, MemoryError):
            self.answer(wire.Answer(wire.BUSY, 0, b"out of memory"))

    def _take_frames(self) -> None:
        while not self._waits and (frame := self._reader.next()) is not None:
            if frame[0] in (wire.LIST, wire.FLUSH):
                self._say((wire.List(b"") if frame[0] == wire.LIST else wire.Answer(0)).encode())
                return
            if self._incoming is None:
                self._begin()
            assert self._incoming is not None
            content = self._incoming.take(*frame)
            if content:
                self._keep(content)
            if self._incoming.done:
                self._wait_for_child(self._incoming)
        self._reader.forget()
        self._count()

    def _begin(self) -> None:
        single = self._reader.speaker != wire.RESIDENT and self._pid > 0
        self.qp = self._pid if single else self._door.serial()
        self._incoming = wire.Incoming(self._door.largest)
        self.message = posix.memfd_create("message", posix.MFD_CLOEXEC)
        self._keep(received_line(self.qp, b"by uid %d" % self.uid, clock.now()))

    def _keep(self, content: bytes) -> None:
        descriptors.write_all(self.message, content)
        self._count()
        if not self._door.admission.may_hold(self.uid):
            raise wire.Refusal(wire.BUSY, b"messages under way take too much memory")

    def _count(self) -> None:
        if not self._closed and self._incoming is not None:
            self._hold(self._incoming.size + self._incoming.envelope_size + len(self.records) + self._reader.size)

    def _hold(self, size: int) -> None:
        self._door.admission.hold(self.uid, size - self._held)
        self._held = size

    def _wait_for_child(self, incoming: wire.Incoming) -> None:
        self.records = bytes(incoming.records())
        self._waits = True
        self._count()
        self._door.wait_for_child(self)

    def hear_child(self, report: int) -> None:
        """report: where it says what came of the message, and ends."""
        self._report = report
        self._door.loop.on_read(report, self._hear_report)

    def _hear_report(self) -> None:
        try:
            piece = posix.read(self._report, descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._said += piece
        if piece and len(self._said) <= descriptors.READ_SIZE:
            return
        self._stop_hearing_child()
        decoded = wire.decode_answer(self._said)
        if decoded is None:
            reason = b"Zwhat was to hand the message over has ended; perhaps it was taken all the same (#4.3.0)"
            self.answer(wire.Answer(envelope.CUSTOM_TEXT_EXIT, self.qp, reason))
        else:
            self.answer(decoded[0])

    def _stop_hearing_child(self) -> None:
        if self._report >= 0:
            self._door.loop.forget(self._report)
            posix.close(self._report)
            self._report = -1

    def answer(self, answer: wire.Answer) -> None:
        """The end of the conversation, as soon as it is sent."""
        answer.qp = answer.qp or self.qp
        self._say(answer.encode())

    def _say(self, said: bytes) -> None:
        if self._closed or self._out:
            return
        self._waits = False
        self._touched = clock.monotonic()
        self._out = said
        self._flush()

    def _flush(self) -> None:
        try:
            self._out = self._out[self._connection.send(self._out, _socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._out:
            self._door.loop.on_write(self._connection.fileno(), self._flush)
        else:
            self.close()
