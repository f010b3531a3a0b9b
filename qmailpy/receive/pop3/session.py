"""One POP3 session after the login: STAT, LIST, RETR, DELE ... QUIT (RFC 1939; spec/06 7).  Used by qmail-pop3d."""

import posix

from qmailpy.skeletons.dialog import Gone, Silent
from qmailpy.verdict import EXIT, OK
from qmailpy.wire import pop3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qmailpy.receive.pop3.maildrop import Maildrop
    from qmailpy.skeletons.dialog import Dialog

    Act = Callable[["Session", bytes], Awaitable[None]]

_PIECE = 65536  # bytes of a message
CAPABILITIES = [b"TOP", b"UIDL", b"USER", b"EXPIRE NEVER", b"IMPLEMENTATION qmailpy"]


class _Wrong(Exception):
    """The argument does not name a message.  args[0]: in words."""


class _Ended(Exception):
    """QUIT, or the client has gone."""


class Session:
    """One user's."""

    __slots__ = ("dialog", "drop")

    def __init__(self, dialog: "Dialog", drop: "Maildrop") -> None:
        """Nothing has been said."""
        self.dialog, self.drop = dialog, drop

    def ok(self, text: bytes = b"") -> None:
        """One line."""
        self.dialog.say(pop3.ok(text))

    def message(self, argument: bytes) -> tuple[int, bytes]:
        """The number that an argument begins with, and what stands behind it.  Errors: _Wrong."""
        number, rest = pop3.number(argument)
        if number is None:
            raise _Wrong(b"syntax error")
        if number == 0:
            raise _Wrong(b"messages are counted from 1")
        if number > len(self.drop.mails):
            raise _Wrong(b"not that many messages")
        if number in self.drop.deleted:
            raise _Wrong(b"already deleted")
        return number, rest

    async def run(self) -> None:
        """Until its end.  Errors: _Ended, and those of the dialog."""
        dialog = self.dialog
        self.ok()
        while True:
            dialog.until = dialog.now() + dialog.patience  # for the command as a whole
            line = await dialog.line(pop3.LINE)
            dialog.until = None
            if line is None:
                raise _Ended
            verb, argument = pop3.split(line) if len(line) <= pop3.LINE else (b"", b"")
            try:
                await _COMMANDS.get(verb, _unimplemented)(self, argument)
            except _Wrong as wrong:
                dialog.say(pop3.error(wrong.args[0]))


async def converse(dialog: "Dialog", drop: "Maildrop") -> int:
    """Hold a session from its first byte to its last.  Result: the exit code, which is always 0."""
    try:
        await Session(dialog, drop).run()
    except (_Ended, Gone, Silent):
        pass
    await dialog.finish()
    return EXIT[OK]


async def _stat(session: Session, _argument: bytes) -> None:
    listed = session.drop.listed()
    session.ok(b"%d %d" % (len(listed), sum(mail.size for _, mail in listed)))


async def _list(session: Session, argument: bytes) -> None:
    if argument:
        number, _ = session.message(argument)
        session.ok(b"%d %d" % (number, session.drop.mails[number - 1].size))
    else:
        await _say_lines(session, [b"%d %d" % (number, mail.size) for number, mail in session.drop.listed()])


async def _uidl(session: Session, argument: bytes) -> None:
    if argument:
        number, _ = session.message(argument)
        session.ok(b"%d %b" % (number, _id(session.drop.mails[number - 1].path)))
    else:
        await _say_lines(session, [b"%d %b" % (number, _id(mail.path)) for number, mail in session.drop.listed()])


def _id(path: bytes) -> bytes:
    return pop3.unique_id(path.partition(b"/")[2])


async def _say_lines(session: Session, texts: list[bytes]) -> None:
    session.dialog.say(pop3.lines(texts))


async def _retr(session: Session, argument: bytes) -> None:
    """RETR n, TOP n k; each takes the other's form."""
    number, rest = session.message(argument)
    body, _ = pop3.number(rest)
    try:
        descriptor = session.drop.open(number)
    except OSError:
        raise _Wrong(b"unable to open that message") from None
    try:
        session.ok()
        sending = pop3.Sending(body)
        while not sending.done and (piece := posix.read(descriptor, _PIECE)):
            session.dialog.say(sending.feed(piece))
            await session.dialog.flush()
        session.dialog.say(sending.finish())
    except OSError:  # half of a message has been said: only the end of all can tell the client
        raise _Ended from None
    finally:
        posix.close(descriptor)


async def _dele(session: Session, argument: bytes) -> None:
    number, _ = session.message(argument)
    session.drop.delete(number)
    session.ok()


async def _rset(session: Session, _argument: bytes) -> None:
    session.drop.undelete()
    session.ok()


async def _last(session: Session, _argument: bytes) -> None:
    session.ok(b"%d" % session.drop.last)


async def _noop(session: Session, _argument: bytes) -> None:
    session.ok()


async def _capa(session: Session, _argument: bytes) -> None:
    session.dialog.say(pop3.lines(CAPABILITIES))


async def _unimplemented(_session: Session, _argument: bytes) -> None:
    raise _Wrong(b"unimplemented")


async def _quit(session: Session, _argument: bytes) -> None:
    if not session.drop.finish():
        session.dialog.say(pop3.error(b"unable to unlink all deleted messages"))
    session.ok()
    raise _Ended


_COMMANDS: "dict[bytes, Act]" = {
    b"STAT": _stat,
    b"LIST": _list,
    b"UIDL": _uidl,
    b"RETR": _retr,
    b"TOP": _retr,
    b"DELE": _dele,
    b"RSET": _rset,
    b"LAST": _last,
    b"NOOP": _noop,
    b"CAPA": _capa,
    b"QUIT": _quit,
}
