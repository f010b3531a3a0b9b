"""Answers to the door: what a user's messages still wait for, and the wish that they be tried now; and to orders.

info/, local/ and remote/ are qmail-send's own. The door knows who asks, qmail-send knows to whom a message still goes;
so the door asks here (wire/asking). The socket is in a directory that only group qmail can enter, and only qmailq,
qmails and root are heard: no stranger reaches us. The door gives no orders (send/ordering). Even they cannot keep us:
sockets do not block, few conversations are open at a time, each ends after some seconds, and a turn of the loop answers
for milliseconds only.
Whose a message is stands in its first line, which is read again here: the message that the door has looked at may be
gone, and its number another's.
"""

import _socket
import posix

from qmailpy.disk.home import Home
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.rules import logline
from qmailpy.send.channel import Channel
from qmailpy.send.log import Log
from qmailpy.send.ordering import Ordering
from qmailpy.skeletons import mail_list
from qmailpy.system import clock, descriptors, door
from qmailpy.system.loop import Loop
from qmailpy.verdict import Die
from qmailpy.wire import asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.loop import Timer

_MOST = 8  # conversations at a time: the door has one, root's programs some
_LONGEST = 10.0  # seconds of a conversation
_TURN = 0.003  # seconds of answers in one turn of the loop
_PAUSE = 1.0  # seconds without accepting when there are no more descriptors
_UNSENT = 256 << 10  # bytes of answers that wait for the client to read


class Answering:
    """The socket, while we are there to answer."""

    def __init__(self, loop: Loop, log: Log, home: Home, channels: list[Channel], ordering: Ordering) -> None:
        """Nobody can ask yet."""
        self._ordering = ordering
        self._loop, self._log, self._home, self._channels = loop, log, home, channels
        self._paths = Paths(home)
        self._listener: _socket.socket | None = None
        self._open: set[_Conversation] = set()
        self._heard: frozenset[int] = frozenset()  # uids
        self._obeyed: frozenset[int] = frozenset()
        self.load: Callable[[int], None] = _nothing  # told of a message before anything is said of it

    def open(self) -> None:
        """From now on; where there is no such directory, as in a home of an older version, nobody asks."""
        try:
            self._obeyed = frozenset((0, self._home.roles.uid["qmails"]))
            self._heard = self._obeyed | {self._home.roles.uid["qmailq"]}
            self._listener = door.listen(self._home.sender_socket)
        except FileNotFoundError:
            return
        except (OSError, Die):
            self._log.say(logline.warning("listen", b"door/send/socket"))
            return
        self._listen()

    def _listen(self) -> None:
        if self._listener is not None:
            self._loop.on_read(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Nobody is let in any more, and those inside are not answered."""
        if self._listener is None:
            return
        try:
            posix.unlink(self._home.sender_socket)
        except OSError:
            pass
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        self._listener = None
        for conversation in list(self._open):
            conversation.close()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection = door.accept(self._listener)
        except OSError:  # no descriptor is free
            self._loop.on_read(self._listener.fileno(), None)
            self._loop.after(_PAUSE, self._listen)
            return
        if connection is None:
            return
        try:
            uid = door.peer_of(connection).uid
        except OSError:
            uid = -1
        if uid not in self._heard or len(self._open) >= _MOST:
            connection.close()
            return
        answer = self._obey if uid in self._obeyed else self._tell
        self._open.add(_Conversation(self._loop, connection, answer, self._settle, self._open.discard))

    def _settle(self) -> bool:
        """Whether what was answered is on disk."""
        try:
            self._ordering.settle()
        except Trouble as trouble:
            self._log.tell(trouble)
            return False
        return True

    def _obey(self, question: asking.Question, at: int) -> bytes:
        """The text about one message, and what is ordered is done."""
        number = question.numbers[at]
        self.load(number)
        if question.verb == asking.STATE:
            return self._ordering.state(number)
        if question.verb in asking.ORDERS:
            return self._ordering.answer(question.verb, number, question.keys[at], question.text)
        return self._tell(question, at)

    def _tell(self, question: asking.Question, at: int) -> bytes:
        """The text about one message."""
        verb, uid, number = question.verb, question.uid, question.numbers[at]
        if verb not in (asking.TELL, asking.NOW):
            return b""
        if uid != asking.ANYBODY and not mail_list.is_of(self._home, self._paths, number, uid):
            return b""
        if verb == asking.TELL:
            return mail_list.describe_taken(self._paths, number)
        now = clock.now()
        waited = [channel.waiting.need_not_wait(number, now) for channel in self._channels]  # of both, or one is left
        return b"tried" if any(waited) else b""


def _nothing(_number: int) -> None:
    """It has been loaded."""


class _Conversation:
    """One question and its answer."""

    def __init__(
        self,
        loop: Loop,
        connection: _socket.socket,
        answer: "Callable[[asking.Question, int], bytes]",
        settle: "Callable[[], bool]",
        ended: "Callable[[_Conversation], None]",
    ) -> None:
        """connection: does not block; settle: before answers go out, whether they may; ended: told when it is over."""
        self._loop, self._connection, self._answer, self._ended = loop, connection, answer, ended
        self._settle = settle
        self._received, self._out = b"", b""
        self._question: asking.Question | None = None
        self._left = range(0)  # places in the question
        self._step: Timer | None = None
        self._bound = loop.after(_LONGEST, self.close)
        loop.on_read(connection.fileno(), self._hear)

    def close(self) -> None:
        """Hang up."""
        self._bound.cancel()
        if self._step is not None:
            self._step.cancel()
        self._loop.forget(self._connection.fileno())
        self._connection.close()
        self._ended(self)

    def _hear(self) -> None:
        try:
            piece = self._connection.recv(descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece or self._question is not None:  # it has gone, or says more than it should
            self.close()
            return
        self._received += piece
        try:
            self._question = asking.decode_question(self._received)
        except asking.AskingError:
            self.close()
            return
        if self._question is not None:
            self._left = range(len(self._question.numbers))
            self._answer_some()

    def _answer_some(self) -> None:
        self._step = None
        question = self._question
        assert question is not None
        end = clock.monotonic() + _TURN
        while self._left and len(self._out) < _UNSENT and clock.monotonic() < end:
            self._out += asking.encode_text(self._answer(question, self._left[0]))
            self._left = self._left[1:]
        if self._settle():
            self._send()
        else:
            self.close()

    def _send(self) -> None:
        try:
            self._out = self._out[self._connection.send(self._out, _socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if not (self._out or self._left):
            self.close()
            return
        self._loop.on_write(self._connection.fileno(), self._send if self._out else None)
        if self._left and len(self._out) < _UNSENT and self._step is None:
            self._step = self._loop.after(0.0, self._answer_some)
