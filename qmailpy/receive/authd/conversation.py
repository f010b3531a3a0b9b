"""One session's question and its answer."""

import _socket

from qmailpy.system import descriptors
from qmailpy.system.loop import Loop
from qmailpy.wire import authd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ASKING, _ANSWERING = 5.0, 5.0  # seconds until the question is whole, and until the answer is taken


class Conversation:
    """From accept to close.  ask: told the question, once; ended: told when it is over."""

    __slots__ = ("_ask", "_asked", "_bound", "_connection", "_ended", "_loop", "_out", "_received")

    def __init__(
        self,
        loop: Loop,
        connection: _socket.socket,
        ask: "Callable[[Conversation, authd.Question], None]",
        ended: "Callable[[Conversation], None]",
    ) -> None:
        """connection: does not block."""
        self._loop, self._ask, self._ended = loop, ask, ended
        self._connection: _socket.socket | None = connection
        self._received = self._out = b""
        self._asked = False
        self._bound = loop.after(_ASKING, self.close)
        loop.on_read(connection.fileno(), self._hear)

    def close(self) -> None:
        """Hang up, if that has not happened yet."""
        if self._connection is None:
            return
        self._bound.cancel()
        self._loop.forget(self._connection.fileno())
        self._connection.close()
        self._connection = None
        self._ended(self)

    def _hear(self) -> None:
        assert self._connection is not None
        try:
            piece = self._connection.recv(descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece or self._asked:  # it has gone, or says more than it should
            self.close()
            return
        self._received += piece
        try:
            question = authd.decode_question(self._received)
        except authd.AuthdError:
            self.close()
            return
        if question is None:
            if len(self._received) > authd.LIMIT:
                self.close()
            return
        self._asked, self._received = True, b""
        self._bound.cancel()  # a check has its own bound
        self._ask(self, question)

    def answer(self, answer: authd.Answer) -> None:
        """Say it, and hang up."""
        if self._connection is None:
            return
        self._out = answer.encode()
        self._bound = self._loop.after(_ANSWERING, self.close)
        self._send()

    def _send(self) -> None:
        assert self._connection is not None
        try:
            self._out = self._out[self._connection.send(self._out, _socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            pass
        except OSError:
            self._out = b""
        if self._out:
            self._loop.on_write(self._connection.fileno(), self._send)
        else:
            self.close()
