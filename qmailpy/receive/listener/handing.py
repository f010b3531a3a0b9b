"""One message of a resident session on its way into the queue, as skeletons/dialog.Incoming.

A small one is kept until it is whole and goes to the door at one stroke, so that it can be sent again where the door is
busy or just being opened; a larger one is streamed, as fast as the door takes it. Nothing from the network is ever left
in drop/: while the door is closed the client keeps its mail, and is told so.
"""

from qmailpy.receive.listener.door_lines import Line, Lines, Stuck, is_busy
from qmailpy.skeletons.submit import Result
from qmailpy.system import identity
from qmailpy.verdict import words
from qmailpy.wire import door as wire
from qmailpy.wire import envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from qmailpy.receive.listener.waiting import Waiter
    from qmailpy.wire.parameters import Parameters

    class Bringer(Waiter, Protocol):
        """A session that brings messages.  handing: the one that is coming."""

        handing: "Handing | None"


HOLD = 256 << 10  # bytes of a message that are kept in memory
CROWDED = 32 << 20  # bytes of all of them, from where on only HOLD_CROWDED of each are
HOLD_CROWDED = 8 << 10
CLOSED_PATIENCE = 10.0  # seconds that a closed door is tried again: it may be changing its version
BUSY_PATIENCE = 30.0  # seconds that a busy one is
_READ, _CLOSED, _TIMEOUT, _BROKEN, _FORMAT = 54, 56, 72, 74, 91  # exit codes of qmail-queue
_PATIENCE = {_CLOSED: CLOSED_PATIENCE, wire.BUSY: BUSY_PATIENCE}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # seconds between two attempts
_NO_DOOR = b"the door is closed (is qmail-queued running?): "
_NO_WORD = b"the door has hung up"
_NO_PROGRAM = b"Za plugin names a queue program, and the client's rules do not (#4.3.5)"
_TOO_MANY = b"too many are waiting before the door"


class Handing:
    """One message: write() any number of times, then close() or fail()."""

    __slots__ = ("_answer", "_good", "_held", "_line", "_lines", "_size", "_who")

    def __init__(self, who: "Bringer", lines: Lines) -> None:
        """Nothing of it has come."""
        self._who, self._lines = who, lines
        self._held: list[bytes] = []
        self._size = 0  # of what is held
        self._line: Line | None = None  # once it is streamed
        self._answer: wire.Answer | None = None  # as soon as there is one
        if who.environment.get(b"QMAILQUEUE"):  # a plugin has set it just now: nothing goes past a scanner
            self._answer = wire.Answer(envelope.CUSTOM_TEXT_EXIT, 0, _NO_PROGRAM)
        self._good = True
        who.handing = self  # that nothing stays behind where the session ends

    async def write(self, piece: bytes) -> None:
        """More of it."""
        if self._answer is not None or not self._good:
            return
        if self._line is not None:
            await self._stream(wire.frames(b"m", piece))
            return
        self._held.append(piece)
        self._size += len(piece)
        self._lines.held += len(piece)
        if self._size > HOLD or (self._lines.held > CROWDED and self._size > HOLD_CROWDED):
            await self._begin_streaming()

    def fail(self) -> None:
        """It will not be whole: nothing of it stays anywhere."""
        self._good = False
        self._let_go()
        if self._who.handing is self:
            self._who.handing = None
        if self._line is not None:
            self._lines.streams(self, now=False)
            self._line.close()
            self._line = None

    @property
    def network(self) -> bytes:
        """Of the client."""
        return self._who.network

    def keep_alive(self) -> None:
        """Nothing may have come for a while."""
        if self._line is not None:
            self._line.keep_alive()

    async def close(self, sender: bytes, recipients: list[bytes], parameters: "Parameters | None" = None) -> Result:
        """The envelope; what became of it all.  sender, recipients: without NUL."""
        code = _READ
        if self._good and self._answer is None:
            code, content = _enveloped(sender, recipients, parameters)
            if not code:
                await self._finish(wire.frame(b"M") + wire.frames(b"e", content) + wire.frame(b"E"))
        answer = self._answer
        self.fail()
        if answer is None:
            return Result(identity.my_pid(), envelope.result_text(code))
        if answer.code in (_CLOSED, wire.BUSY) and answer.text:
            return Result(answer.qp, b"Z" + answer.text + b" (#4.3.0)")
        return Result(answer.qp, envelope.result_text(answer.code, answer.text))

    async def _begin_streaming(self) -> None:
        """Leaves a line, or an answer."""
        since = self._lines.now
        while not self._lines.may_stream(self._who):  # the client waits, and so does what it would say
            if self._lines.now - since >= BUSY_PATIENCE:
                self._answer = wire.Answer(wire.BUSY, 0, _TOO_MANY)
                self._let_go()
                return
            await self._lines.rest(self._who, _LONGEST_PAUSE)
        try:
            await self._enter(b"")
        except Stuck:
            self._answer = wire.Answer(_TIMEOUT)
        self._let_go()
        if self._line is not None:
            self._lines.streams(self, now=True)

    async def _stream(self, frames: bytes) -> None:
        assert self._line is not None
        try:
            if not await self._line.send(self._who, frames):
                self._answer = await self._line.answer(self._who) or wire.Answer(_BROKEN)
        except Stuck:
            self._answer = wire.Answer(_TIMEOUT)

    async def _finish(self, ending: bytes) -> None:
        """Leaves an answer."""
        line = self._line
        try:
            if line is None:
                await self._enter(ending)
                return
            await line.send(self._who, ending)
            self._answer = await line.answer(self._who) or wire.Answer(_BROKEN)
        except Stuck:
            self._answer = wire.Answer(_TIMEOUT)
            return
        if self._answer.code == 0:
            self._line = None
            self._lines.streams(self, now=False)
            self._lines.give_back(line)

    async def _enter(self, ending: bytes) -> None:
        """Send what is held, and what ends it, by a line that takes it: leaves an answer.

        ending: empty where more is to come; then it leaves a line, or an answer.  Errors: Stuck.
        """
        content = wire.frames(b"m", b"".join(self._held)) + ending
        since: dict[int, float] = {}  # code -> when it was met with first
        pause, new = _FIRST_PAUSE, False
        while True:
            try:
                line = self._lines.take(new=new)
            except OSError as error:
                busy = is_busy(error)
                answer = wire.Answer(wire.BUSY if busy else _CLOSED, 0, _TOO_MANY if busy else _NO_DOOR + words(error))
            else:
                used = not line.is_new
                heard = await self._say(line, content, more=not ending)
                if self._line is not None:
                    return
                if heard is None and used:  # the door has hung up while it slept
                    new = True
                    continue
                # without a word: nothing was accepted, or at worst it is delivered twice; never lost
                answer = wire.Answer(_CLOSED, 0, _NO_WORD) if heard is None else heard
            patience = _PATIENCE.get(answer.code)
            now = self._lines.now
            if patience is None or now - since.setdefault(answer.code, now) >= patience:
                self._answer = answer
                return
            await self._lines.rest(self._who, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _say(self, line: Line, content: bytes, *, more: bool) -> wire.Answer | None:
        """One attempt.  Result: the answer; None: the door has hung up, or it is to be streamed by this line now."""
        greeting = wire.greeting(wire.RESIDENT) if line.is_new else b""
        line.is_new = False
        keep = False
        try:
            if await line.send(self._who, greeting + content) and more:
                self._line = line
                keep = True
                return None
            answer = await line.answer(self._who)
            if answer is not None and answer.code == 0:
                keep = True
                self._lines.give_back(line)
            return answer
        finally:
            if not keep:
                line.close()

    def _let_go(self) -> None:
        self._lines.held -= self._size
        self._size = 0
        self._held.clear()


def _enveloped(sender: bytes, recipients: list[bytes], parameters: "Parameters | None") -> tuple[int, bytes]:
    """0 and the bytes of the envelope; or an exit code of qmail-queue and nothing."""
    if any(len(address) > envelope.LONGEST for address in (sender, *recipients)):
        return envelope.TOO_LONG_EXIT, b""
    if len(recipients) > envelope.MOST_RECIPIENTS:
        return envelope.REFUSED_EXIT, b""
    try:
        if parameters is None:
            return 0, envelope.Envelope(sender, recipients).encode()
        return 0, parameters.envelope(sender, recipients)
    except ValueError:
        return _FORMAT, b""
