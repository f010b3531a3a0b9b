"""One caller's conversation with the door: frames in, an answer for each message.

The socket never blocks us. What blocks, the disk, is done by the pool's threads, one job at a time for a conversation;
meanwhile it is not read, so that nobody can fill our memory. A caller who goes before his last frame leaves nothing.
"""

import _socket

from qmailpy.disk.layout import DEATH
from qmailpy.skeletons.entry import Entry, reason
from qmailpy.system import clock, descriptors
from qmailpy.verdict import Die
from qmailpy.wire import door as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.receive.door.inside import Inside
    from qmailpy.system.door import Peer

_AT_ONCE = 64  # frames heard before others are: a stranger's 65536 bytes can hold 13,000 of them
_SMALL = 256 << 10  # bytes of a message that are kept in memory; more go to mess/ as they come, and to the disk alone
_TOO_LONG, _IDLE = 52, 72  # exit codes


class Session:
    """A conversation, from accept to close."""

    __slots__ = (
        *("_busy", "_connection", "_content", "_entry", "_held", "_inside", "_is_inside", "_last", "_left", "_message"),
        *("_out", "_peer", "_qp", "_reader", "_since", "_touched", "_waiting"),
    )

    def __init__(
        self, inside: "Inside", connection: _socket.socket, peer: "Peer", left: "Callable[[Session], None]"
    ) -> None:
        """This peer has been admitted.  left: called when it has gone."""
        self._inside, self._peer, self._left = inside, peer, left
        self._is_inside = True
        self._connection: _socket.socket | None = connection
        self._reader = wire.FrameReader()
        self._out = b""  # of an answer
        self._busy = False  # a job of ours is with the pool
        self._waiting = False  # more has been heard than may be taken at once
        self._last = False  # hang up after the answer
        self._touched = self._since = clock.monotonic()  # heard something; the message began
        self._held = 0  # bytes that admission counts for us
        self._forget_message()

    def _forget_message(self) -> None:
        self._message: wire.Incoming | None = None
        self._entry: Entry | None = None
        self._content = bytearray()  # of the message, what is not in mess/ yet
        self._qp = 0
        self._hold(0)

    def start(self) -> None:
        """Read at once: most callers have sent everything already."""
        self.on_readable()
        self.watch()

    def on_readable(self) -> None:
        """The loop calls this."""
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - one conversation must not end the door
            self._fail(error)

    def on_writable(self) -> None:
        """The loop calls this while an answer could not be sent whole."""
        try:
            self._flush()
            self._advance()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def resume(self) -> None:
        """Go on with what has been heard; also after the loop has become another one."""
        try:
            self._waiting = False
            self._advance()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def watch(self) -> None:
        """Tell the loop what we wait for."""
        if self._connection is None:
            return
        number = self._connection.fileno()
        listening = not (self._busy or self._out or self._waiting)
        self._inside.loop.on_read(number, self.on_readable if listening else None)
        self._inside.loop.on_write(number, self.on_writable if self._out else None)

    @property
    def is_idle(self) -> bool:
        """Whether nothing has begun that is not complete."""
        return not (self._busy or self._out or self._message) and self._reader.is_between

    def look_at_clock(self, now: float) -> None:
        """Hang up on whoever is silent or endless.  now: on the monotonic clock."""
        if self._busy:
            return
        if now - self._touched > wire.IDLE:
            if self._out or self._message is None:
                self.close()
            else:
                self._refuse(_IDLE, b"nothing came for %d seconds" % wire.IDLE)
        elif self._message is not None and now - self._since > DEATH:
            self._refuse(_TOO_LONG, b"the message took more than a day")

    def finish(self) -> None:
        """The door closes: what is with the disk is still answered, everything else ends here."""
        self._last = True
        if not self._busy:
            self.close()

    def close(self) -> None:
        """Hang up; a message that is not complete leaves nothing."""
        if self._connection is not None:
            self._inside.loop.forget(self._connection.fileno())
            self._connection.close()
            self._connection = None
        if not self._busy:
            self._leave()

    def surrender(self) -> None:
        """Close descriptors, touch nothing else: a fork of this process goes on with all of it."""
        self._is_inside = False
        if self._connection is not None:
            self._inside.loop.forget(self._connection.fileno())
            self._connection.close()
            self._connection = None  # or what it still has to hear would be taken in here too
        if self._entry is not None:
            self._entry.surrender()

    def _read(self) -> None:
        if self._connection is None:
            return
        try:
            piece = self._connection.recv(descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.close()
            return
        self._touched = clock.monotonic()
        self._reader.feed(piece)
        self._advance()

    def _advance(self) -> None:
        left = _AT_ONCE
        try:
            while not (self._busy or self._out or self._waiting or self._connection is None):
                frame = self._reader.next()
                if frame is None:
                    break
                self._take(*frame)
                left -= 1
                if left == 0:
                    self._waiting = True
                    self._inside.loop.after(0.0, self.resume)
            self._reader.forget()
            self._count()
        except wire.Refusal as refusal:
            self._refuse(refusal.code, refusal.text)
        except wire.DoorError as error:
            self._refuse(wire.SPEECH, str(error).encode())
        self.watch()

    def _take(self, letter: bytes, content: bytes) -> None:
        if letter in (wire.LIST, wire.FLUSH):
            self._run(*self._inside.telling.job(letter, self._peer.uid, self._say))
            return
        if self._message is None:
            self._inside.room.require()
            self._message = wire.Incoming(self._inside.largest)
            self._since = self._touched
        self._content += self._message.take(letter, content)
        self._count()
        if self._message.done:
            self._commit(self._message.records())
        elif len(self._content) > _SMALL or (self._content and self._inside.admission.is_crowded):
            self._store()
        elif letter == b"e" and not self._inside.admission.may_hold(self._peer.uid):
            raise wire.Refusal(wire.BUSY, b"unfinished messages take too much memory")

    def _count(self) -> None:
        """Let admission know what we hold; what a job has of it is ours until the job is done."""
        if not self._busy:
            envelope_size = 0 if self._message is None else self._message.envelope_size
            self._hold(len(self._content) + envelope_size + self._reader.size)

    def _store(self) -> None:
        entry, content, self._content = self._in_queue(), self._content, bytearray()
        self._run(lambda: entry.store(content), self._stored)

    def _commit(self, records: bytearray) -> None:
        entry, content, self._content = self._in_queue(), self._content, bytearray()
        done = self._inside.story.follow(self._peer, entry, content, records, self._committed)
        if entry.begun or len(records) > _SMALL:
            self._run(lambda: entry.accept(content, records), done)
        else:
            self._busy = True
            self._inside.committing.add(entry, content, records, done)

    def _in_queue(self) -> Entry:
        if self._entry is None:
            single = self._reader.speaker == wire.ONE_MESSAGE and self._peer.pid > 0
            self._qp = self._peer.pid if single else self._inside.serial()
            self._entry = Entry(
                self._inside.home, self._inside.names, self._peer.uid, self._qp, self._inside.local_time
            )
        return self._entry

    def _run(self, job: "Callable[[], None]", done: "Callable[[BaseException | None], None]") -> None:
        self._busy = True
        self._inside.submit(job, done)

    def _stored(self, error: BaseException | None) -> None:
        self._busy = False
        self._touched = clock.monotonic()
        if self._last or self._connection is None:
            self.close()
        elif error is not None:
            self._refuse(*reason(error))
        else:
            self._advance()

    def _committed(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, Die):
            self._inside.log(b"warning: a message could not be taken: " + reason(error)[1])
        code, text = reason(error) if error is not None else (0, b"")
        self._say(wire.Answer(code, self._qp, text))

    def _say(self, answer: "wire.Answer | wire.List") -> None:
        """A job is done, and this is what it comes to."""
        self._busy = False
        self._touched = clock.monotonic()
        if self._connection is None:
            self.close()
            return
        self._answer(answer)
        self._advance()

    def _refuse(self, code: int, text: bytes) -> None:
        """Answer before the message is complete; then there is no way to find the next one's beginning."""
        self._last = True
        self._inside.story.refused(self._peer, code, text)
        self._answer(wire.Answer(code, self._qp, text))

    def _answer(self, answer: "wire.Answer | wire.List") -> None:
        self._give_up_message()
        self._out = answer.encode()
        self._last = self._last or self._reader.speaker != wire.RESIDENT
        self._flush()

    def _flush(self) -> None:
        if self._connection is None:
            return
        try:
            self._out = self._out[self._connection.send(self._out, _socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._last and not self._out:
            self.close()
        else:
            self.watch()

    def _hold(self, size: int) -> None:
        if size != self._held:
            self._inside.admission.hold(self._peer.uid, size - self._held)
            self._held = size

    def _give_up_message(self) -> None:
        if self._entry is not None and self._entry.begun:
            self._inside.submit(self._entry.abandon, lambda _: None)  # does nothing to a message that is accepted
        self._forget_message()

    def _leave(self) -> None:
        if self._is_inside:
            self._is_inside = False
            self._give_up_message()
            self._left(self)
            self._inside.admission.leave(self._peer.uid)

    def _fail(self, error: Exception) -> None:
        self._inside.log(b"warning: a conversation failed: " + reason(error)[1])
        self.close()
