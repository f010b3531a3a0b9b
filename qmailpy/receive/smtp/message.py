"""DATA and BDAT: from the first byte of a message to the queue's answer (spec/06 5; RFC 5321 4.5.2, 3030).

What comes by BDAT has no dots and no end but its length: CR LF and LF both end a line there.
"""

from qmailpy.receive.refusal import Refusal
from qmailpy.receive.smtp.body import Body, Pace
from qmailpy.receive.smtp.ending import LOST, End
from qmailpy.rules.arrival import arrived, smtp_name
from qmailpy.skeletons.dialog import Silent
from qmailpy.system import clock
from qmailpy.wire.dots import BareLineFeed, ChunkDecoder, Decoder
from qmailpy.wire.smtp_server import chunk, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.smtp.session import Session
    from qmailpy.skeletons.submit import Result

_BARE_LF = b"451 See https://cr.yp.to/docs/smtplf.html."
_FULL = b"452 out of disk space: try again later (#4.3.1)"
_LARGEST_CHUNK = 1 << 40  # bytes that would be read on to find the next command


async def data(session: "Session", _argument: bytes) -> None:
    """DATA."""
    if not await _may_begin(session):
        return
    body = session.transaction.body = Body(session.dialog.begin(), session.databytes)
    await _begin(session, body)
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
    await finish(session, body)


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
        body = session.transaction.body = Body(session.dialog.begin(), session.databytes)
        body.chunks = ChunkDecoder()
        body.pace = Pace(session.dialog, session.controls.rate)
        await _begin(session, body)
    if not size and not is_last:
        session.count()
    await _chunk(session, size, body)
    if body is None:  # refused: the message would not be whole any more
        await session.reset()
    elif is_last or body.failed:
        assert body.chunks is not None
        await body.take(body.chunks.finish())
        await finish(session, body)
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


async def _begin(session: "Session", body: Body) -> None:
    """What stands before the client's first line, and who adds what is missing."""
    login = session.login is not None
    secret = session.dialog.secret
    name = smtp_name(tls=secret is not None, login=login, utf8=session.transaction.uses_utf8)
    environment, tls = session.dialog.environment, b"" if secret is None else secret.facts
    lines = [arrived(environment, name, clock.now(), session.helo, tls)]
    lines += [line.rstrip(b"\n") + b"\n" for line in session.policy.header_additions]
    completer = None
    if session.submission:
        from qmailpy.receive.smtp import submission

        completer = submission.completer(session)
    await body.begin(lines, completer)


async def finish(session: "Session", body: Body) -> None:
    """All of it is here: the queue's answer, said to the client."""
    transaction = session.transaction
    transaction.body = None
    refusal = body.fault
    if refusal is not None:
        await body.drop()
    else:
        sender, recipients = transaction.sender or b"", transaction.recipients()
        result = await body.close(sender, recipients, transaction.parameters())
        if result.text:
            refusal = _of_queue(result)
        else:
            session.quiet()
            session.say(b"250 ok %d qp %d" % (clock.now(), result.qp))
            if session.controls.traces:
                _tell(session, result.qp)
    if refusal is not None:
        session.refuse(refusal)
    await session.policy.message_done()
    session.begin_anew()


def _tell(session: "Session", qp: int) -> None:
    """Who brought it: the rest is qmail-send's to tell, under the same qp."""
    from qmailpy.rules import trace

    client = session.dialog.environment.get(b"TCPREMOTEIP", b"")
    helo, login = session.helo or b"", session.login or b""
    session.dialog.note(trace.received(b"qmail-smtpd", qp, client=client, helo=helo, login=login))


def _of_queue(result: "Result") -> Refusal:
    code = b"554 " if result.text.startswith(b"D") else b"451 "
    return Refusal(code + one_line(result.text[1:]), b"queue")
