"""The commands of SMTP, and what the short ones do (spec/06 5).

The others stand beside their kind: envelope (MAIL, RCPT), message (DATA, BDAT), securing (STARTTLS, AUTH), fronting
(XCLIENT); what few clients use is loaded when one does.
"""

from qmailpy.receive.logins import CONCEALING, MECHANISMS
from qmailpy.receive.smtp.ending import DONE, End
from qmailpy.receive.smtp.envelope import mail, rcpt
from qmailpy.receive.smtp.message import bdat, data
from qmailpy.wire.smtp_server import reply, reply_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qmailpy.receive.smtp.session import Session

    Act = Callable[[Session, bytes], Awaitable[None]]

UNIMPLEMENTED = b"502 unimplemented (#5.5.1)"


async def _helo(session: "Session", argument: bytes) -> None:
    if await _named(session, argument, extended=False):
        session.dialog.say(reply(b"250 " + session.greeting))


async def _ehlo(session: "Session", argument: bytes) -> None:
    if await _named(session, argument, extended=True):
        session.dialog.say(reply_lines(b"250", [session.greeting, *_offers(session)]))


async def _named(session: "Session", name: bytes, *, extended: bool) -> bool:
    session.count()
    await session.reset()
    known = session.client_helo  # by who stands in between
    return await session.introduce(name if known is None else known, extended=extended)


def _offers(session: "Session") -> list[bytes]:
    """What stands in the answer to EHLO: qmail's own two first."""
    controls, services = session.controls, session.services
    offers = [b"PIPELINING", b"8BITMIME", b"SIZE %d" % session.databytes if session.databytes else b"SIZE"]
    for word, is_on in (
        (b"SMTPUTF8", controls.utf8),
        (b"ENHANCEDSTATUSCODES", controls.status),
        (b"CHUNKING", controls.chunking),
        (b"DSN", controls.dsn),
        (b"STARTTLS", services.tls is not None and session.dialog.secret is None),
    ):
        if is_on:
            offers.append(word)
    if services.auth and session.login is None and (names := _mechanisms(session)):
        offers.append(b"AUTH " + b" ".join(names))
    if controls.relays:
        from qmailpy.receive.smtp.fronting import XCLIENT, may_name_client

        if may_name_client(session):
            offers.append(XCLIENT)
    return offers


def _mechanisms(session: "Session") -> list[bytes]:
    """Of AUTH, as receive/auth will take them: that is loaded when one is used."""
    logins = session.controls.logins
    clear = session.dialog.secret is not None or logins.plain
    return [name for name in MECHANISMS if name in logins.offered and (clear or name in CONCEALING)]


async def _rset(session: "Session", _argument: bytes) -> None:
    session.count()
    await session.reset()
    session.say(b"250 flushed")


async def _noop(session: "Session", _argument: bytes) -> None:
    session.count()
    session.say(b"250 ok")


async def _vrfy(session: "Session", _argument: bytes) -> None:
    session.count()
    session.say(b"252 send some mail, i'll try my best")


async def _help(session: "Session", _argument: bytes) -> None:
    session.count()
    session.say(b"214 notqmail home page: https://notqmail.org")


async def _quit(session: "Session", _argument: bytes) -> None:
    session.say(b"221 " + session.greeting)
    raise End(DONE)


async def _bdat(session: "Session", argument: bytes) -> None:
    if session.controls.chunking:
        await bdat(session, argument)
    else:
        session.complain(UNIMPLEMENTED)


async def _starttls(session: "Session", argument: bytes) -> None:
    if session.services.tls is None:
        session.complain(UNIMPLEMENTED)
        return
    from qmailpy.receive.smtp.securing import starttls

    await starttls(session, argument)


async def _auth(session: "Session", argument: bytes) -> None:
    if not session.services.auth:
        session.complain(UNIMPLEMENTED)
        return
    from qmailpy.receive.smtp.securing import auth

    await auth(session, argument)


async def _xclient(session: "Session", argument: bytes) -> None:
    if not session.controls.relays:
        session.complain(UNIMPLEMENTED)
        return
    from qmailpy.receive.smtp.fronting import xclient

    await xclient(session, argument)


COMMANDS: "dict[bytes, Act]" = {
    b"HELO": _helo,
    b"EHLO": _ehlo,
    b"MAIL": mail,
    b"RCPT": rcpt,
    b"DATA": data,
    b"BDAT": _bdat,
    b"RSET": _rset,
    b"NOOP": _noop,
    b"VRFY": _vrfy,
    b"HELP": _help,
    b"QUIT": _quit,
    b"STARTTLS": _starttls,
    b"AUTH": _auth,
    b"XCLIENT": _xclient,
}
