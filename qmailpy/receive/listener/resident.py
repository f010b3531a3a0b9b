"""A session among thousands: its Dialog over a socket that never blocks, and its coroutine between two events.

What can be done at once is done at once; only what cannot be waits. A socket is registered with the epoll one time: the
kernel tells of each change, and what has been told and not yet read stands in `_readable`.
Deadlines are coarse (system/wheel), and prolonging one costs nothing.
"""

import _socket

from qmailpy.receive.listener.connection import network_of
from qmailpy.skeletons.dialog import Dialog, Gone, Silent
from qmailpy.system import epoll
from qmailpy.system.wheel import TICK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from typing import Protocol

    from qmailpy.receive.listener.asking import Asking
    from qmailpy.receive.listener.counting import Cells
    from qmailpy.receive.listener.handing import Handing
    from qmailpy.receive.listener.waiting import Events

    class Host(Events, Protocol):
        """What a session needs of its worker (serving).  view, buffer: of buffer_size bytes, for what is just heard."""

        asking: Asking
        buffer: bytearray
        buffer_size: int
        view: memoryview

        def handing(self, session: "Resident", /) -> Handing:
            """A message is coming."""

        def note(self, line: bytes, /) -> None:
            """A line for the log."""

        def soon(self, session: "Resident", /) -> None:
            """To be resumed after the others have had their turn."""

        def complain(self, session: "Resident", error: Exception, /) -> None:
            """It has failed: a bug, or no memory."""

        def over(self, session: "Resident", connection: "_socket.socket", code: int | None, /) -> None:
            """Its conversation has ended."""


_NOTHING, _READING, _WRITING, _OTHER = range(4)  # what is waited for
_SEND = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL
_READABLE, _WRITABLE, _ENDED = epoll.READABLE, epoll.WRITABLE, epoll.ENDED


class Pause:
    """`await PAUSE`: the driver goes on with others; the result is what resume() is given."""

    __slots__ = ()

    def __await__(self) -> "Generator[None, object, object]":
        """One stop."""
        return (yield)


PAUSE = Pause()


class Resident(Dialog):
    """One conversation.

    deadline, slot: the wheel's; ip: the client's; serial: its number in this worker; has_process: it goes on in a
    process of its own; is_counted: for its address; cells: where.
    """

    __slots__ = (
        "_connection",
        "_coroutine",
        "_host",
        "_hung_up",
        "_readable",
        "_waits",
        "_watches_writing",
        "cells",
        "deadline",
        "handing",
        "has_process",
        "ip",
        "is_counted",
        "serial",
        "slot",
    )

    def __init__(
        self, host: "Host", connection: "_socket.socket", environment: dict[bytes, bytes], patience: float
    ) -> None:
        """The connection is not registered yet."""
        super().__init__(environment, patience)
        self._host, self._connection = host, connection
        self._coroutine: Coroutine[None, object, int] | None = None
        self._readable = self._hung_up = self._watches_writing = False
        self._waits = _NOTHING
        self.deadline, self.slot = 0.0, 0
        self.handing: Handing | None = None  # the message that is coming
        self.ip, self.serial = b"", 0
        self.cells: Cells = ()
        self.has_process = self.is_counted = False

    # the driver's side

    def start(self, conversation: "Coroutine[None, object, int]") -> None:
        """Begin; what can be done at once is done when this returns."""
        self._coroutine = conversation
        self.resume(None)

    def resume(self, value: object) -> None:
        """Go on: what was waited for has come.  value: the result of the pause."""
        coroutine = self._coroutine
        if coroutine is None:
            return
        self._waits = _NOTHING
        try:
            coroutine.send(value)
        except StopIteration as end:
            self._finished(end.value)
        except Exception as error:  # noqa: BLE001 - no session ends another one
            self._host.complain(self, error)
            self._finished(None)

    def fail(self, error: Exception) -> None:
        """Go on with an exception in the place of what was waited for."""
        coroutine = self._coroutine
        if coroutine is None:
            return
        self._waits = _NOTHING
        try:
            coroutine.throw(error)
        except StopIteration as end:
            self._finished(end.value)
        except Exception as other:  # noqa: BLE001 - as above
            self._host.complain(self, other)
            self._finished(None)

    def happened(self, events: int) -> None:
        """The epoll has news of the socket."""
        if events & _READABLE:
            self._readable = True
            if events & _ENDED:
                self._hung_up = True
            if self._waits == _READING:
                self.resume(None)
                return
        if events & _WRITABLE and self._waits == _WRITING:
            self.resume(None)

    def expire(self) -> None:
        """The deadline has passed; where something else than the client is waited for, whoever waits sees to it."""
        if self._waits in (_READING, _WRITING):
            self.fail(Silent())

    @property
    def network(self) -> bytes:
        """The client's, also of one behind a proxy."""
        return network_of(self.environment.get(b"TCPREMOTEIP", self.ip))

    @property
    def has_unread(self) -> bool:
        """Whether the client has sent more than was taken."""
        return self._readable and not self._hung_up

    def _finished(self, code: int | None) -> None:
        self._coroutine = None
        self._host.over(self, self._connection, code)

    # the conversation's side

    async def _wait(self, what: int) -> None:
        now = self._host.loop.now
        deadline = now + self.patience
        if self.until is not None and self.until < deadline:
            deadline = self.until
        if deadline <= now:
            raise Silent
        self.deadline = deadline
        if not self.slot or deadline < self.slot * TICK:  # else the wheel looks at it in time
            self._host.wheel.put(self, now)
        self._waits = what
        await PAUSE

    async def _take(self) -> bytes:
        host = self._host
        while True:
            if not self._readable:
                await self._wait(_READING)
            try:
                length = self._connection.recv_into(host.buffer, 0, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._readable = False
                continue
            except OSError:
                raise Gone from None
            if length == host.buffer_size:  # there is more, and others want to go on too
                content = bytes(host.view)
                host.soon(self)
                self._waits = _OTHER
                await PAUSE
                return content
            if not self._hung_up:  # what comes later is told of; but an end that was told of is not told again
                self._readable = False
            return bytes(host.view[:length])

    async def _give(self, content: bytes) -> None:
        left: bytes | memoryview = content
        while True:
            try:
                sent = self._connection.send(left, _SEND)
            except BlockingIOError:
                sent = 0
            except OSError:
                raise Gone from None
            if sent == len(left):
                return
            left = memoryview(left)[sent:]
            if not self._watches_writing:
                self._watches_writing = True
                self._host.epoll.follow_writing(self._connection.fileno())
            await self._wait(_WRITING)

    async def hear(self) -> bytes:
        """More bytes as they come, TLS or not; empty at the end.  Errors: Silent, Gone."""
        return await self._take()

    async def pause(self) -> object:
        """Stop until somebody calls resume() or fail(): that one sees to it that it ends."""
        self._waits = _OTHER
        return await PAUSE

    async def ask(self, question: bytes, request: bytes) -> bytes:
        """Asked in a child of this worker."""
        return await self._host.asking.ask(self, question, request)

    def begin(self) -> "Handing":
        """To the door, by a line that this worker keeps."""
        return self._host.handing(self)

    def note(self, line: bytes) -> None:
        """With all lines of this turn."""
        self._host.note(line)

    def now(self) -> float:
        """The monotonic clock, seconds, as it was when this turn began."""
        return self._host.loop.now
