"""The door's client: one message handed over, whatever state the door is in (DESIGN 2, "The door").

A message of up to HOLD bytes is kept until it is whole and goes to the door at one stroke, so that it can be sent
again when the door is busy or closes in the middle; a larger one is streamed. A door that is closed is tried again for
PATIENCE seconds, then the message is left in drop/; root has a way of his own instead. A busy door is never bypassed.

Used by qmail-queue and by skeletons/submit. Runs in what users' mail executes: it imports next to nothing.
"""

from qmailpy.disk.home import Home
from qmailpy.system import clock, door, identity
from qmailpy.verdict import TEMP, Die, words
from qmailpy.wire import door as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HOLD = 1 << 20  # bytes; several times what a socket holds: when so much has been sent, the door is reading us
PATIENCE = 10.0  # seconds that a closed door is tried again
BUSY_PATIENCE = 60.0  # seconds that a busy one is
STUCK = 3600.0  # seconds without any movement of a door that has let us in: its disk hangs
_WRITE, _CLOSED, _TIMEOUT, _BROKEN = 53, 56, 72, 74  # exit codes


class Client:
    """One message: write() any number of times, then close() or abandon()."""

    def __init__(
        self,
        home: Home,
        speaker: bytes,
        own_way: "Callable[[], Way] | None" = None,
        patience: float = PATIENCE,
        *,
        drops: bool = True,
    ) -> None:
        """speaker: of wire/door; own_way: makes what root uses instead of a closed door, at once; drops: drop/ is."""
        self._home, self._speaker, self._own_way, self._drops = home, speaker, own_way, drops
        self._patience = 0.0 if own_way else patience
        self._held: list[bytes] = []
        self._size = 0
        self._way: Way | None = None
        self.answer: wire.Answer | None = None  # as soon as there is one; writing more is no use then

    def write(self, piece: bytes) -> None:
        """More of the message."""
        if self.answer is not None:
            return
        if self._way is not None:
            self._try(self._way.message, piece)
            return
        self._held.append(piece)
        self._size += len(piece)
        if self._size > HOLD:
            self._open(None)
            self._held = []

    def await_input(self, descriptor: int) -> bool:
        """Wait until this descriptor can be read, keeping the door's attention; False: there is an answer already."""
        while self.answer is None and isinstance(self._way, AtDoor):
            ready = self._way.await_input(descriptor)
            if ready:
                return True
            self._try(self._way.keep_alive if ready is False else self._way.listen, b"")
        return self.answer is None

    def close(self, envelope: bytes) -> wire.Answer:
        """The end of the message, and its envelope (a whole one, checked): what became of it."""
        if self.answer is None and self._way is None:
            self._open(envelope)
        elif self.answer is None and self._way is not None:
            self._try(self._way.finish, envelope)
        self.abandon()
        return self.answer or wire.Answer(_BROKEN)

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._way is not None:
            self._way.abandon()
            self._way = None
        self._held = []

    def _try(self, step: "Callable[[bytes], wire.Answer | None]", content: bytes) -> None:
        try:
            answer = step(content)
        except Die as death:
            answer = wire.Answer(death.code, 0, death.text)
        if answer is not None:
            self.answer = answer

    def _open(self, envelope: bytes | None) -> None:
        """Find a way in and send what is held, with the envelope if this is all: leaves a way or an answer."""
        closed_at = busy_at = 0.0
        pause = 0.02
        while self.answer is None and self._way is None:
            answer = self._call(envelope)
            if answer is None:
                return
            now = clock.monotonic()
            if answer.code == wire.BUSY:
                busy_at = busy_at or now
                if now - busy_at >= BUSY_PATIENCE:
                    self.answer = answer
            elif answer.code == _CLOSED:
                closed_at = closed_at or now
                if now - closed_at >= self._patience or self._home.direct:
                    self._bypass(envelope)
                    return
            else:
                self.answer = answer
            if self.answer is None:
                clock.sleep(pause)
                pause = min(2 * pause, 1.0)

    def _call(self, envelope: bytes | None) -> wire.Answer | None:
        """One attempt at the door.  Result: None when it is our way in; the code _CLOSED when there is no door."""
        try:
            way = AtDoor(self._home.socket)
        except BlockingIOError:
            return wire.Answer(wire.BUSY, 0, b"too many are waiting before the door")
        except (FileNotFoundError, ConnectionRefusedError):
            return wire.Answer(_CLOSED)
        except OSError as error:
            return wire.Answer(_CLOSED, 0, words(error))
        try:
            answer = way.open(self._speaker, b"".join(self._held), envelope)
        except BaseException:
            way.abandon()
            raise
        if answer is None:
            self._way = way
            return None
        way.abandon()
        # hung up without a word: nothing was accepted, or at worst it is delivered twice; never lost
        return wire.Answer(_CLOSED) if answer.code == _BROKEN and not answer.text else answer

    def _bypass(self, envelope: bytes | None) -> None:
        if self._home.direct:
            self.answer = wire.Answer(_CLOSED, 0, b"the door is closed, and there is no queue here (control/direct)")
            return
        if not self._drops:
            self.answer = wire.Answer(_CLOSED, 0, b"the door is closed (is qmail-queued running?)")
            return
        try:
            self._way = self._own_way() if self._own_way else _Dropped(self._home, self._speaker)
        except Die as death:
            self.answer = wire.Answer(death.code, 0, death.text)
            return
        held = b"".join(self._held)
        if held:
            self._try(self._way.message, held)
        if envelope is not None and self.answer is None:
            self._try(self._way.finish, envelope)


class Way:
    """What a way into the queue can do.  Results: an answer, or None to go on.  Errors: Die."""

    def message(self, piece: bytes) -> wire.Answer | None:
        """More of the message."""
        raise NotImplementedError

    def finish(self, envelope: bytes) -> wire.Answer | None:
        """All of the envelope."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Leave nothing behind; after finish(): only close."""
        raise NotImplementedError


class AtDoor(Way):
    """The door, open."""

    def __init__(self, socket: bytes) -> None:
        """Errors: OSError."""
        self._line = door.Line(socket)
        self._heard = b""

    def open(self, speaker: bytes, content: bytes, envelope: bytes | None) -> wire.Answer | None:
        """The greeting, what there is of the message, and the envelope if that is all."""
        first = wire.greeting(speaker) + wire.frames(b"m", content)
        if envelope is None:
            return self._send(first)
        return self._send(first + _ending(envelope)) or self.listen(b"")

    def message(self, piece: bytes) -> wire.Answer | None:
        """More of the message."""
        return self._send(wire.frames(b"m", piece))

    def keep_alive(self, _: bytes) -> wire.Answer | None:
        """An empty frame: we are still here."""
        return self._send(wire.frame(b"m"))

    def finish(self, envelope: bytes) -> wire.Answer:
        """All of the envelope; then the answer."""
        return self._send(_ending(envelope)) or self.listen(b"")

    def await_input(self, descriptor: int) -> bool | None:
        """As system/door.Line.await_input."""
        return self._line.await_input(descriptor, wire.KEEP_ALIVE)

    def listen(self, _: bytes) -> wire.Answer:
        """The answer."""
        while True:
            try:
                piece = self._line.receive(STUCK)
            except TimeoutError:
                return wire.Answer(_TIMEOUT, 0, b"the door does not answer")
            if not piece:
                return wire.Answer(_BROKEN)
            self._heard += piece
            decoded = wire.decode_answer(self._heard)
            if decoded is not None:
                return decoded[0]

    def _send(self, content: bytes) -> wire.Answer | None:
        try:
            return None if self._line.send(content, STUCK) else self.listen(b"")
        except TimeoutError:
            return wire.Answer(_TIMEOUT, 0, b"the door does not read")

    def abandon(self) -> None:
        """Hang up."""
        self._line.close()


class _Dropped(Way):
    """drop/, while the door is closed."""

    def __init__(self, home: Home, speaker: bytes) -> None:
        """Errors: Die where there is no drop/, or no room in it."""
        from qmailpy.disk import control, drop

        self._limit = control.integer(home, "queuebytes", wire.DEFAULT_BYTES)
        self._size = 0
        self._dropping: drop.Dropping | None = None
        try:
            self._dropping = drop.Dropping(home.at(b"drop"))
        except OSError as error:
            reason = home.at(b"drop") + b" cannot be used: " + words(error)
            raise Die(TEMP, b"the door is closed (is qmail-queued running?) and " + reason, _CLOSED) from None
        self._write(wire.greeting(speaker))

    def message(self, piece: bytes) -> wire.Answer | None:
        self._size += len(piece)
        if 0 < self._limit < self._size:  # the door would set it aside later, and nobody would be told
            refusal = wire.too_large()
            return wire.Answer(refusal.code, 0, refusal.text)
        self._write(wire.frames(b"m", piece))
        return None

    def finish(self, envelope: bytes) -> wire.Answer | None:
        self._write(_ending(envelope))
        assert self._dropping is not None
        try:
            self._dropping.finish()
        except OSError as error:
            raise _drop_failed(error) from None
        self._dropping = None
        return wire.Answer(0, identity.my_pid())

    def abandon(self) -> None:
        if self._dropping is not None:
            self._dropping.abandon()

    def _write(self, content: bytes) -> None:
        assert self._dropping is not None
        try:
            self._dropping.write(content)
        except OSError as error:
            raise _drop_failed(error) from None


def _drop_failed(error: OSError) -> Die:
    return Die(TEMP, b"the door is closed and the message cannot be left in drop: " + words(error), _WRITE)


def _ending(envelope: bytes) -> bytes:
    return wire.frame(b"M") + wire.frames(b"e", envelope) + wire.frame(b"E")
