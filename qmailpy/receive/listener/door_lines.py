"""A worker's lines to the door (wire/door, as RESIDENT): used for one message after the other, and never waited for.

A line that the door has closed meanwhile is noticed and taken away; a few that are idle are kept.
"""

import _socket
import errno

from qmailpy.system import door as socket_of_the_door
from qmailpy.system import epoll
from qmailpy.wire import door as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from qmailpy.receive.listener.waiting import Events, Waiter

    class Stream(Protocol):
        """A message that comes by and by."""

        @property
        def network(self) -> bytes:
            """Of the client."""

        def keep_alive(self) -> None:
            """Nothing may have come for a while."""


STUCK = 600.0  # seconds without any movement of a door that has let us in: its disk hangs, and the client gives up too
_IDLE = 45.0  # seconds that a line without work is kept; the door would hang up at wire.IDLE
_MOST_IDLE = 32  # lines that are kept
_MOST_STREAMS = 64  # messages that come by and by: slow clients must leave room at the door to everybody else
_MOST_OF_ONE = _MOST_STREAMS // 2  # for the clients of one network
_ANSWER = 4096  # bytes read at once
_SEND = _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL


class Stuck(Exception):
    """The door has let us in and does not move."""


class Line:
    """One connection.  is_new: nothing has been said on it; deadline, slot: the wheel's."""

    __slots__ = (
        "_ended",
        "_heard",
        "_lines",
        "_readable",
        "_socket",
        "_waiter",
        "_watches_writing",
        "deadline",
        "is_new",
        "slot",
    )

    def __init__(self, lines: "Lines", socket: _socket.socket) -> None:
        """socket: connected."""
        self._lines, self._socket = lines, socket
        self._heard = b""
        self._readable = self._ended = self._watches_writing = False
        self._waiter: Waiter | None = None
        self.is_new = True
        self.deadline, self.slot = 0.0, 0

    @property
    def is_open(self) -> bool:
        """Whether we have not hung up."""
        return self._socket.fileno() >= 0

    def happened(self, events: int) -> None:
        """The epoll has news."""
        if events & epoll.READABLE:
            self._readable = True
        if events & epoll.ENDED:
            self._ended = True
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.resume(None)
        elif events & epoll.READABLE:
            self._lines.gone(self)

    def expire(self) -> None:
        """Nothing has moved."""
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.fail(Stuck())
        else:
            self._lines.idle_too_long(self)

    async def send(self, who: "Waiter", content: bytes) -> bool:
        """Whether all of it was sent: False as soon as the door has spoken or hung up.  Errors: Stuck."""
        left: bytes | memoryview = content
        while not self._readable:
            try:
                sent = self._socket.send(left, _SEND)
            except BlockingIOError:
                sent = 0
            except OSError:  # it has hung up; perhaps it said why
                return False
            if sent == len(left):
                return True
            left = memoryview(left)[sent:]
            if not self._watches_writing:
                self._watches_writing = True
                self._lines.epoll.follow_writing(self._socket.fileno())
            await self._wait(who)
        return False

    def keep_alive(self) -> None:
        """Say that we are still here, if the door has nothing else to read."""
        if self._waiter is None and self.is_open:
            try:
                self._socket.send(wire.frame(b"m"), _SEND)
            except OSError:
                return

    async def answer(self, who: "Waiter") -> wire.Answer | None:
        """What the door says of the message; None: it has hung up without a word.  Errors: Stuck."""
        while True:
            if not self._readable:
                await self._wait(who)
            try:
                piece = self._socket.recv(_ANSWER, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._readable = False
                continue
            except OSError:
                return None
            if not piece:
                return None
            if not self._ended:  # an end that was told of is not told again
                self._readable = False
            self._heard += piece
            decoded = wire.decode_answer(self._heard)
            if decoded is not None:
                self._heard = self._heard[decoded[1] :]
                return decoded[0]

    async def _wait(self, who: "Waiter") -> None:
        now = self._lines.now
        self.deadline = now + STUCK
        self._lines.wheel.put(self, now)
        self._waiter = who
        await who.pause()

    def close(self) -> None:
        """Hang up; what was not complete leaves nothing."""
        self._waiter = None
        if self.is_open:
            self._lines.forget(self, self._socket.fileno())
            self._socket.close()


class Lines:
    """All lines of one worker.  held: bytes of unfinished messages in its memory."""

    def __init__(self, events: "Events", path: bytes) -> None:
        """path: the door's socket."""
        self.wheel, self.epoll = events.wheel, events.epoll
        self._loop, self._path = events.loop, path
        self._idle: list[Line] = []
        self._streaming: set[Stream] = set()
        self._watching = False
        self.held = 0

    @property
    def now(self) -> float:
        """The monotonic clock, seconds, as it was when this turn began."""
        return self._loop.now

    def may_stream(self, who: "Waiter") -> bool:
        """Whether one more message, of this client, may have a line for as long as it takes to come."""
        if len(self._streaming) < _MOST_OF_ONE:
            return True
        network = who.network
        of_one = sum(stream.network == network for stream in self._streaming)
        return len(self._streaming) < _MOST_STREAMS and of_one < _MOST_OF_ONE

    def take(self, *, new: bool) -> Line:
        """A line to the door.  new: never one that was used before.

        Errors: OSError; ENOENT and ECONNREFUSED: the door is closed, EAGAIN: too many are waiting before it.
        """
        if self._idle and not new:
            return self._idle.pop()
        line = Line(self, socket_of_the_door.connect(self._path))
        number = line._socket.fileno()  # noqa: SLF001 - of this very file
        self.epoll.follow(number)
        self._loop.dispatch(number, line.happened)
        return line

    def give_back(self, line: Line) -> None:
        """It has answered with a yes, and may take the next message."""
        if len(self._idle) >= _MOST_IDLE or line._watches_writing:  # noqa: SLF001 - as above
            line.close()
            return
        now = self.now
        line.deadline = now + _IDLE
        self.wheel.put(line, now)
        self._idle.append(line)

    def gone(self, line: Line) -> None:
        """The door has hung up, or spoken unasked, on a line that nobody waits for."""
        if line in self._idle:
            self._idle.remove(line)
            line.close()

    def idle_too_long(self, line: Line) -> None:
        """Nobody has used it for a while."""
        self.gone(line)

    def forget(self, line: Line, number: int) -> None:
        """It is being closed."""
        self._loop.dispatch(number, None)
        self.wheel.take_out(line)

    async def rest(self, who: "Waiter", seconds: float) -> None:
        """Let time pass for this one."""
        self._loop.after(seconds, lambda: who.resume(None))
        await who.pause()

    def streams(self, stream: "Stream", *, now: bool) -> None:
        """This message is coming by and by, and the door must not think that we sleep; or it is over."""
        if not now:
            self._streaming.discard(stream)
            return
        self._streaming.add(stream)
        if not self._watching:
            self._watching = True
            self._loop.after(wire.KEEP_ALIVE, self._keep_alive)

    def _keep_alive(self) -> None:
        for stream in self._streaming:
            stream.keep_alive()
        self._watching = bool(self._streaming)
        if self._watching:
            self._loop.after(wire.KEEP_ALIVE, self._keep_alive)

    def close(self) -> None:
        """The worker leaves: idle lines are closed."""
        while self._idle:
            self._idle.pop().close()


def is_busy(error: OSError) -> bool:
    """Whether the door is only crowded."""
    return error.errno == errno.EAGAIN
