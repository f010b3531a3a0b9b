"""One SMTP session, from the greeting to the last word (spec/06 5; RFC 5321).

What each command does is in commands. The session waits for nothing but the client and what it asks for: thousands of
them share a process (receive/listener), or one has its own (qmail-smtpd). Every line of the client is bounded, nothing
that it says is kept but its transaction, and a no is said and logged here.
"""

from qmailpy.receive.smtp.commands import COMMANDS, UNIMPLEMENTED
from qmailpy.receive.smtp.ending import LOST, End
from qmailpy.receive.smtp.refusal import Refusal
from qmailpy.receive.smtp.services import SUBMISSION
from qmailpy.receive.smtp.transaction import Transaction
from qmailpy.skeletons.dialog import Gone, Silent, TlsFailed
from qmailpy.verdict import EXIT, TEMP
from qmailpy.wire import smtp_server as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.policy.policy import Policy
    from qmailpy.receive.smtp.controls import Controls
    from qmailpy.receive.smtp.services import Services
    from qmailpy.skeletons.dialog import Dialog

FAREWELL = 10.0  # seconds that a client has to take the last words
_IDLE = 1000  # commands that are answered, and bring nothing on, between two messages
_PATIENCES = 10  # times the patience that a client has from one message to the next, whatever it says meanwhile
NO_CONTROLS = b"421 unable to read controls (#4.3.0)"
NO_MEMORY = b"421 out of memory (#4.3.0)"
_NO_MEMORY_HERE = b"qmail-smtpd: warning: out of memory: is the limit in the run file (softlimit) too small?"
_TROUBLE = b"421 something is wrong here: try again later (#4.3.0)"
_TIMEOUT = b"451 timeout (#4.4.2)"


class Session:
    """One client.  helo: what it calls itself, None before it has; login: once it has one."""

    __slots__ = (
        "_errors",
        "_idle",
        "_idle_until",
        "controls",
        "databytes",
        "dialog",
        "extended",
        "failures",
        "greeting",
        "helo",
        "login",
        "names_client",
        "policy",
        "services",
        "submission",
        "transaction",
    )

    def __init__(self, dialog: "Dialog", controls: "Controls", policy: "Policy", services: "Services") -> None:
        """Nothing has been said."""
        self.dialog, self.controls, self.policy, self.services = dialog, controls, policy, services
        self.greeting = controls.greeting or b""
        said = dialog.environment.get(b"DATABYTES")
        self.databytes = controls.databytes if said is None else wire.leading_number(said)
        self.submission = services.submission or SUBMISSION in dialog.environment
        self.transaction = Transaction()
        self.extended = False  # EHLO, not HELO
        self.helo: bytes | None = None
        self.login: bytes | None = None
        self.names_client: bool | None = None  # by XCLIENT; None: nobody has looked
        self.failures = 0  # of logins
        self._errors = self._idle = 0
        self._idle_until = dialog.now() + _PATIENCES * dialog.patience

    # saying

    def say(self, text: bytes) -> None:
        """One line.  text: code, blank, words."""
        if self.controls.status and self.extended:
            text = wire.with_status(text)
        self.dialog.say(wire.reply(text))

    def complain(self, text: bytes) -> None:
        """The client does not speak as it should.  Errors: End, if it never does."""
        self._errors += 1
        if 0 < self.controls.errors < self._errors:
            self.refuse(Refusal(b"421 too many errors (#4.7.0)", b"errors", closes=True))
        self.say(text)

    def refuse(self, refusal: Refusal, recipient: bytes | None = None) -> None:
        """A no, said and logged.  recipient: whom it is about.  Errors: End, where the connection closes."""
        if refusal.reply:  # a plugin may want the connection closed without a word
            self.say(refusal.reply)
        self.policy.log(refusal, recipient)
        if refusal.closes:
            raise End(LOST)

    def quiet(self) -> None:
        """A message has come: whatever the client did before is forgotten."""
        self._idle = 0
        self._idle_until = self.dialog.now() + _PATIENCES * self.dialog.patience

    def count(self) -> None:
        """One more command that brings nothing on.  Errors: End after too many."""
        self._idle += 1
        if self._idle > _IDLE:
            self.refuse(Refusal(b"421 too many commands without mail (#4.7.0)", b"idle", closes=True))

    # what the commands share

    async def reset(self) -> None:
        """No transaction is going on."""
        body = self.transaction.body
        self.begin_anew()
        if body is not None:
            await body.drop()
        self.policy.reset()

    def begin_anew(self) -> None:
        """The next transaction, or none."""
        self.controls.held -= self.transaction.weight
        self.transaction = Transaction()

    def forget(self) -> None:
        """As after the greeting: what was said before counts no more.  There is no transaction."""
        self.helo, self.login, self.extended = None, None, False

    def localized(self, address: bytes) -> bytes:
        """The address, localiphost in the place of an IP address of this machine."""
        literal = wire.literal_host(address)
        if literal is None or self.controls.localiphost is None:
            return address
        from qmailpy.rules.literal import ipv4

        ip = ipv4(literal)
        if ip is None or not self.controls.is_own(ip):
            return address
        return address.rpartition(b"@")[0] + b"@" + self.controls.localiphost

    def unauthenticated(self) -> Refusal | None:
        """What stands against mail of somebody who has not logged in, where one must."""
        if not self.submission or self.login is not None:
            return None
        words = b"530 authentication required (#5.7.0)"
        if self.services.tls is not None and self.dialog.secret is None:
            words = b"530 STARTTLS first, then authentication (#5.7.0)"
        return Refusal(words, b"submission")

    def abandon(self) -> None:
        """What has come of a message will not become one."""
        if self.transaction.body is not None:
            self.transaction.body.fail()

    async def leave(self) -> None:
        """The last words, for a client that takes them."""
        self.abandon()
        self.dialog.until = self.dialog.now() + FAREWELL
        await self.dialog.finish()

    # the course of a session

    async def run(self) -> int:
        """Exit code: 0 after QUIT.  Errors: End; those of the dialog."""
        dialog = self.dialog
        await self._arrive()
        if (refusal := await self.policy.connected()) is not None:
            self.refuse(refusal)
            raise End(LOST)
        dialog.say(wire.reply(b"220 " + self.greeting + b" ESMTP"))
        first = await self._receive()
        if wire.is_foreign_start(first):
            self._turn_away()
        dialog.unread(first)
        while True:
            dialog.until = min(dialog.now() + dialog.patience, self._idle_until)  # for the command as a whole
            line = await dialog.line(wire.LINE)
            if line is None:
                return LOST
            if len(line) > wire.LINE:
                self.complain(b"500 line too long (#5.5.2)")
            elif b"\0" in line:
                self.complain(b"500 a command must not hold NUL (#5.5.2)")
            else:
                verb, argument = wire.split(line)
                act = COMMANDS.get(verb)
                if act is None:
                    self._wonder(verb)
                else:
                    await act(self, argument)

    async def _receive(self) -> bytes:
        self.dialog.until = self.dialog.now() + self.dialog.patience
        came = await self.dialog.receive()
        if not came:
            raise End(LOST)
        return came

    async def _arrive(self) -> None:
        """Before the greeting."""
        controls, services = self.controls, self.services
        if controls.proxies:
            from qmailpy.receive.smtp.fronting import unwrap

            await unwrap(self)
        if services.implicit and services.tls is not None:
            from qmailpy.receive.smtp.securing import secure

            await secure(self, services.tls)
        elif controls.delay:
            from qmailpy.receive.smtp.fronting import listen_first

            await listen_first(self)
        if controls.greeting is None:
            self.dialog.say(wire.reply(NO_CONTROLS))
            raise End(LOST)

    def _wonder(self, verb: bytes) -> None:
        if wire.is_foreign(verb):
            self._turn_away()
        self.complain(UNIMPLEMENTED)

    def _turn_away(self) -> None:
        """A client of another protocol: what it says next may have been written by somebody else."""
        self.refuse(Refusal(b"502 this is SMTP: good bye (#5.5.1)", b"protocol", closes=True))


async def converse(dialog: "Dialog", controls: "Controls", policy: "Policy", services: "Services") -> int:
    """Hold a session from its first byte to its last.  Result: the exit code: 0 after QUIT, 1 for any other end.

    Errors: whatever a bug raises, after the client has been told to come again.
    """
    session = Session(dialog, controls, policy, services)
    try:
        return await _hold(session)
    finally:
        session.begin_anew()


async def _hold(session: Session) -> int:
    dialog = session.dialog
    code = LOST
    try:
        code = await session.run()
    except End as end:
        code = end.code
    except Silent:
        dialog.say(wire.reply(_TIMEOUT))
    except Gone:
        pass
    except TlsFailed as failure:
        session.policy.log(Refusal(failure.text, b"tls"))
    except MemoryError:
        code = EXIT[TEMP]
        dialog.say(wire.reply(NO_MEMORY))
        dialog.note(_NO_MEMORY_HERE)
    except Exception:
        dialog.say(wire.reply(_TROUBLE))
        await session.leave()
        raise
    except BaseException:  # whoever serves it goes on without it: nothing can be awaited any more
        session.abandon()
        raise
    await session.leave()
    return code
