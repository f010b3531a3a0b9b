"""POP3 before the login, spoken by root: a name and a password, taken as they come and given to another program.

Nothing else is looked at here: no file, no account, no TLS (receive/pop3/front speaks that, and is not root). One
attempt, then the connection ends, as ever. Source: spec/06-remote-dns-smtp.md 7; RFC 2449, 2595, 5034. Used by
qmail-popup.
"""

from qmailpy.skeletons.dialog import Gone, Silent
from qmailpy.wire import pop3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.skeletons.dialog import Dialog

ENDED = 1  # exit code, however it ends
_MOST = 100  # commands: who has not logged in by then is trying something else
_FIRST = b"authorization first"
_SYNTAX = b"syntax error"
_PASS, _APOP, _PLAIN = b"PASS", b"APOP", b"PLAIN"


class Surroundings:
    """What the server can do for a client.

    stamp: the timestamp of the greeting, with its brackets; verify: given method (PASS, APOP), name and password or
    digest, lets the user's session run, and gives what is to be said after it, if anything is; secure: starts TLS and
    says whether it is ready, None where there is none; is_clear: whether others may listen in; takes_clear: whether
    passwords are taken then.
    """

    __slots__ = ("is_clear", "secure", "stamp", "takes_clear", "verify")

    def __init__(
        self,
        stamp: bytes,
        verify: "Callable[[bytes, bytes, bytes], bytes]",
        secure: "Callable[[], bool] | None",
        *,
        is_clear: bool,
        takes_clear: bool,
    ) -> None:
        """As above."""
        self.stamp, self.verify, self.secure = stamp, verify, secure
        self.is_clear, self.takes_clear = is_clear, takes_clear

    @property
    def takes_passwords(self) -> bool:
        """Whether a password may be sent now."""
        return self.takes_clear or not self.is_clear

    @property
    def offers_tls(self) -> bool:
        """Whether STLS is of use now."""
        return self.is_clear and self.secure is not None


class _Ended(Exception):
    pass


async def converse(dialog: "Dialog", around: Surroundings) -> int:
    """Hold the conversation; the user's session is part of it.  Result: the exit code."""
    dialog.until = dialog.now() + dialog.patience
    try:
        dialog.say(pop3.ok(around.stamp))
        await _Session(dialog, around).run()
    except (_Ended, Gone, Silent):
        pass
    await dialog.finish()
    return ENDED


class _Session:
    __slots__ = ("_around", "_dialog", "_user")

    def __init__(self, dialog: "Dialog", around: Surroundings) -> None:
        self._dialog, self._around = dialog, around
        self._user = b""

    async def run(self) -> None:
        """Errors: _Ended, and those of the dialog."""
        for _ in range(_MOST):
            line = await self._line()
            if len(line) > pop3.LINE:
                self._fail(_SYNTAX)
                continue
            verb, argument = pop3.split(line)
            if verb == b"USER":
                self._name(argument)
            elif verb == _PASS:
                await self._password(argument)
            elif verb == _APOP:
                await self._digest(argument)
            elif verb == b"NOOP":
                self._dialog.say(pop3.ok())
            elif verb == b"QUIT":
                self._dialog.say(pop3.ok())
                return
            elif verb == b"CAPA":
                self._dialog.say(pop3.lines(self._capabilities()))
            elif verb == b"STLS" and self._around.offers_tls:
                await self._secure()
            elif verb == b"AUTH":
                await self._auth(argument)
            else:
                self._fail(_FIRST)

    async def _line(self) -> bytes:
        line = await self._dialog.line(pop3.LINE)
        if line is None:
            raise _Ended
        return line

    def _fail(self, text: bytes) -> None:
        self._dialog.say(pop3.error(text))

    def _may_tell(self) -> bool:
        """Whether a password may come now; if not, the client is told."""
        if not self._around.takes_passwords:
            self._fail(b"STLS first: passwords are not taken in clear")
        return self._around.takes_passwords

    def _name(self, argument: bytes) -> None:
        if not argument:
            self._fail(_SYNTAX)
        elif self._may_tell():
            self._user = argument
            self._dialog.say(pop3.ok())

    async def _password(self, argument: bytes) -> None:
        if not self._user:
            self._fail(b"USER first")
        elif not argument:
            self._fail(_SYNTAX)
        else:
            await self._verify(_PASS, self._user, argument)

    async def _digest(self, argument: bytes) -> None:
        user, blank, digest = argument.partition(b" ")
        if blank:
            await self._verify(_APOP, user, digest)
        else:
            self._fail(_SYNTAX)

    async def _auth(self, argument: bytes) -> None:
        """PLAIN, which says the same as USER and PASS."""
        mechanism, _, response = argument.partition(b" ")
        if not mechanism:
            self._dialog.say(pop3.lines([_PLAIN] if self._around.takes_passwords else []))
        elif mechanism.upper() != _PLAIN:
            self._fail(b"unrecognized authentication type")
        elif self._may_tell():
            if not response:
                self._dialog.say(pop3.challenge(b""))
                response = await self._line()
            found = pop3.plain(response) if len(response) <= pop3.LINE else None
            if found is None:
                self._fail(b"authentication cancelled" if response == b"*" else _SYNTAX)
            else:
                await self._verify(_PASS, *found)

    async def _verify(self, method: bytes, user: bytes, secret: bytes) -> None:
        """The user's session; then all is over."""
        await self._dialog.flush()
        text = self._around.verify(method, user, secret)
        if text:
            self._fail(text)
        raise _Ended

    async def _secure(self) -> None:
        """STLS: what was said before TLS is forgotten, and nothing may have been said behind it."""
        around = self._around
        if self._dialog.pending:
            self._fail(b"STLS must be the last command before an answer")
            raise _Ended
        await self._dialog.flush()
        assert around.secure is not None
        if not around.secure():
            self._fail(b"TLS is not available now")
            return
        around.is_clear = False
        self._user = b""

    def _capabilities(self) -> list[bytes]:
        """The same after the login, but for what concerns it."""
        around = self._around
        found = [b"TOP", b"UIDL", b"EXPIRE NEVER", b"IMPLEMENTATION qmailpy"]
        if around.takes_passwords:
            found += [b"USER", b"SASL " + _PLAIN]
        if around.offers_tls:
            found.append(b"STLS")
        return found
