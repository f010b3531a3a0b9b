"""Whose connection a client's own host says it is (wire/ident), asked without holding anybody else up."""

import _socket
import errno

from qmailpy.system import epoll
from qmailpy.wire import ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.listener.waiting import Events, Waiter


class _Call:
    """One connection to that host.  deadline, slot: the wheel's."""

    __slots__ = ("_connected", "_query", "_reply", "_socket", "_who", "deadline", "slot")

    def __init__(self, who: "Waiter", socket: _socket.socket, query: bytes) -> None:
        self._who, self._socket, self._query = who, socket, query
        self._connected, self._reply = False, b""
        self.deadline, self.slot = 0.0, 0

    def happened(self, events: int) -> None:
        try:
            if not self._connected and events & epoll.WRITABLE:
                self._connected = True
                self._socket.send(self._query, _socket.MSG_NOSIGNAL)
            while self._connected:
                piece = self._socket.recv(ident.REPLY_LIMIT)
                self._reply += piece
                if not piece or b"\n" in self._reply or len(self._reply) > ident.REPLY_LIMIT:
                    self._finish()
                    return
        except BlockingIOError:
            return
        except OSError:
            self._finish()

    def expire(self) -> None:
        self._finish()

    def _finish(self) -> None:
        self._who.resume(self._reply)


async def owner(events: "Events", who: "Waiter", patience: float) -> bytes | None:
    """What it says; None where it says nothing in so many seconds."""
    field = who.environment
    here, there = field[b"TCPLOCALIP"].decode(), field[b"TCPREMOTEIP"].decode()
    family = _socket.AF_INET6 if ":" in there else _socket.AF_INET
    query = ident.query(int(field[b"TCPREMOTEPORT"]), int(field[b"TCPLOCALPORT"]))
    try:
        socket = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    except OSError:
        return None
    call = _Call(who, socket, query)
    try:
        socket.bind((here, 0))
        if socket.connect_ex((there, ident.PORT)) not in (0, errno.EINPROGRESS):
            return None
        events.epoll.follow(socket.fileno())
        events.epoll.follow_writing(socket.fileno())
        events.loop.dispatch(socket.fileno(), call.happened)
        now = events.loop.now
        call.deadline = now + patience
        events.wheel.put(call, now)
        reply = await who.pause()
    except OSError:
        return None
    finally:
        events.loop.dispatch(socket.fileno(), None)
        events.wheel.take_out(call)
        socket.close()
    return ident.user(reply) if isinstance(reply, bytes) else None
