"""The message itself: DATA and BDAT, from the first byte to the queue's answer (spec/06 5; RFC 5321 4.5.2, 3030).

It goes on piece by piece, and no piece is kept. Lines are stored with LF. What comes by BDAT has no dots and no end
but its length: CR LF and LF both end a line there.
"""

from qmailpy.receive.smtp.ending import LOST, End
from qmailpy.receive.smtp.refusal import Refusal
from qmailpy.rules.arrival import arrived, smtp_name
from qmailpy.rules.hops import MOST, HopCounter
from qmailpy.skeletons.dialog import Silent
from qmailpy.system import clock
from qmailpy.wire.dots import BareLineFeed, ChunkDecoder, Decoder
from qmailpy.wire.smtp_server import chunk, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.smtp.session import Session
    from qmailpy.rules.completion import Completer
    from qmailpy.skeletons.dialog import Dialog, Incoming
    from qmailpy.skeletons.submit import Result

_BARE_LF = b"451 See https://cr.yp.to/docs/smtplf.html."
_FULL = b"452 out of disk space: try again later (#4.3.1)"
_TOO_BIG = b"552 sorry, that message size exceeds my databytes limit (#5.3.4)"
_LOOPING = b"554 too many hops, this message is looping (#5.4.6)"
_LARGEST_CHUNK = 1 << 40  # bytes that would be read on to find the next command


class Pace:
    """When a message must be here: it has the patience for one silence, and the rest of the time by its size."""

    __slots__ = ("_begun", "_came", "_dialog", "_rate")

    def __init__(self, dialog: "Dialog", rate: int) -> None:
        """rate: bytes a second, at least; 0: any, and it may take for ever."""
        self._dialog, self._rate = dialog, rate
        self._begun, self._came = dialog.now() + dialog.patience, 0
        self.go_on(0)

    @property
    def is_over(self) -> bool:
        """Whether more should be here by now."""
        return self._rate > 0 and self._dialog.now() > self._begun + self._came / self._rate

    def go_on(self, size: int) -> None:
        """So many bytes more are here."""
        self._came += size
        self._dialog.until = self._begun + self._came / self._rate if self._rate else None


class Body:
    """One message on its way into the queue."""

    __slots__ = ("_completer", "_hops", "_incoming", "_limit", "_size", "chunks", "failed", "pace")

    def __init__(self, session: "Session") -> None:
        """Nothing of it has come."""
        self._incoming: Incoming = session.dialog.begin()
        self._hops = HopCounter()
        self._limit = session.databytes
        self._size = 0
        self._completer: Completer | None = None
        self.chunks: ChunkDecoder | None = None  # of BDAT
        self.pace: Pace | None = None  # of all its chunks together
        self.failed = False  # nothing more of it is written

    async def begin(self, session: "Session") -> None:
        """The lines before the first one of the client's."""
        login = session.login is not None
        secret = session.dialog.secret
        name = smtp_name(tls=secret is not None, login=login, utf8=session.transaction.uses_utf8)
        environment, tls = session.dialog.environment, b"" if secret is None else secret.facts
        await self._incoming.write(arrived(environment, name, clock.now(), session.helo, tls))
        for line in session.policy.header_additions:
            await self._incoming.write(line.rstrip(b"\n") + b"\n")
        if session.submission:
            from qmailpy.receive.smtp.submission import completer

            self._completer = completer(session)

    async def take(self, stored: bytes) -> None:
        """More of it, lines ending LF; what is too much is thrown away."""
        if not stored:
            return
        self._hops.feed(stored)
        self._size += len(stored)
        if self._limit and self._size > self._limit:
            self.fail()
        if not self.failed:
            await self._incoming.write(stored if self._completer is None else self._completer.feed(stored))

    def fail(self) -> None:
        """It will not be whole."""
        if not self.failed:
            self.failed = True
            self._incoming.fail()

    async def drop(self) -> None:
        """It is not wanted any more."""
        self.fail()
        await self._incoming.close(b"", [])

    async def finish(self, session: "Session") -> None:
        """All of it is here: the queue's answer, said to the client."""
        transaction = session.transaction
        transaction.body = None
        refusal = None
        if self._hops.count >= MOST:
            refusal = Refusal(_LOOPING, b"hops")
        elif self._limit and self._size > self._limit:
            refusal = Refusal(_TOO_BIG, b"databytes")
        if refusal is not None:
            await self.drop()
        else:
            if self._completer is not None:
                await self._incoming.write(self._completer.finish())
            envelope = transaction.sender or b"", transaction.recipients(), transaction.parameters()
            result = await self._incoming.close(*envelope)
            if result.text:
                refusal = _of_queue(result)
            else:
                session.quiet()
                session.say(b"250 ok %d qp %d" % (clock.now(), result.qp))
        if refusal is not None:
            session.refuse(refusal)
        await session.policy.message_done()
        session.begin_anew()


def _of_queue(result: "Result") -> Refusal:
    code = b"554 " if result.text.startswith(b"D") else b"451 "
    return Refusal(code + one_line(result.text[1:]), b"queue")


async def data(session: "Session", _argument: bytes) -> None:
    """DATA."""
    if not await _may_begin(session):
        return
    body = session.transaction.body = Body(session)
    await body.begin(session)
    session.say(b"354 go ahead")
    dialog = session.dialog
    pace = Pace(dialog, session.controls.rate)
    decoder = Decoder()
    while not decoder.done:
        came = await dialog.receive()
        if not came:
            raise End(LOST)
        try:
            stored = decoder.feed(came)
        except BareLineFeed:
            session.refuse(Refusal(_BARE_LF, b"barelf", closes=True))
            return
        await body.take(stored)
        pace.go_on(len(came))
    dialog.unread(decoder.rest)
    await body.finish(session)


async def _may_begin(session: "Session") -> bool:
    transaction = session.transaction
    if transaction.sender is None:
        session.complain(b"503 MAIL first (#5.5.1)")
    elif not transaction.count:
        session.complain(b"503 RCPT first (#5.5.1)")
    elif transaction.body is not None:
        session.complain(b"503 the message has begun with BDAT (#5.5.1)")
    elif not session.controls.has_room(transaction.size):
        session.refuse(Refusal(_FULL, b"disk"))
    elif (refusal := await session.policy.data()) is not None:
        session.refuse(refusal)
    else:
        return True
    return False


async def bdat(session: "Session", argument: bytes) -> None:
    """BDAT: so many bytes follow at once, whatever is answered; where that cannot be read, no command can follow."""
    said = chunk(argument)
    if said is None or said[0] > _LARGEST_CHUNK:
        session.complain(b"501 BDAT needs a number of bytes, and perhaps LAST (#5.5.4)")
        raise End(LOST)
    size, is_last = said
    body = session.transaction.body
    if body is None and await _may_begin(session):
        body = session.transaction.body = Body(session)
        body.chunks = ChunkDecoder()
        body.pace = Pace(session.dialog, session.controls.rate)
        await body.begin(session)
    if not size and not is_last:
        session.count()
    await _chunk(session, size, body)
    if body is None:  # refused: the message would not be whole any more
        await session.reset()
    elif is_last or body.failed:
        assert body.chunks is not None
        await body.take(body.chunks.finish())
        await body.finish(session)
    else:
        session.say(b"250 ok")


async def _chunk(session: "Session", size: int, body: Body | None) -> None:
    """Take so many bytes.  body: None: to throw them away."""
    dialog = session.dialog
    pace = Pace(dialog, session.controls.rate) if body is None or body.pace is None else body.pace
    if pace.is_over:  # of a chunk that came with its command nothing is waited for
        raise Silent
    pace.go_on(0)
    while size:
        came = await dialog.receive()
        if not came:
            raise End(LOST)
        if len(came) > size:
            dialog.unread(came[size:])
            came = came[:size]
        size -= len(came)
        pace.go_on(len(came))
        if body is not None and body.chunks is not None:
            await body.take(body.chunks.feed(came))
