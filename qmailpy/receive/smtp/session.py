"""What is known of one SMTP session, and what its commands share: saying, refusing, beginning anew.

Nothing that a client says is kept but its transaction, and a no is said and logged here.
"""

from qmailpy.receive.refusal import Refusal
from qmailpy.receive.smtp.ending import LOST, End
from qmailpy.receive.smtp.services import SUBMISSION
from qmailpy.receive.smtp.transaction import Transaction
from qmailpy.wire import smtp_server as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.policy.policy import Policy
    from qmailpy.receive.smtp.controls import Controls
    from qmailpy.receive.smtp.services import Services
    from qmailpy.skeletons.dialog import Dialog

FAREWELL = 10.0  # seconds that a client has to take the last words
_LONGEST_NAME = 255  # bytes of what a client calls itself that are kept
_IDLE = 1000  # commands that are answered, and bring nothing on, between two messages
_PATIENCES = 10  # times the patience that a client has from one message to the next, whatever it says meanwhile


class Session:
    """One client.

    helo: what it calls itself, None before it has; client_helo: so says who stands in between (XCLIENT), or None;
    login: once it has one; idle_until: when it must have brought a message, on the dialog's clock.
    """

    __slots__ = (
        "_errors",
        "_idle",
        "client_helo",
        "controls",
        "databytes",
        "dialog",
        "extended",
        "failures",
        "greeting",
        "helo",
        "idle_until",
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
        self.client_helo: bytes | None = None
        self.login: bytes | None = None
        self.names_client: bool | None = None  # by XCLIENT; None: nobody has looked
        self.failures = 0  # of logins
        self._errors = self._idle = 0
        self.idle_until = dialog.now() + _PATIENCES * dialog.patience

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
        self.idle_until = self.dialog.now() + _PATIENCES * self.dialog.patience

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

    async def introduce(self, name: bytes, *, extended: bool) -> bool:
        """The client is called this.  Result: whether it may go on by that name; if not, it has been told."""
        name = name[:_LONGEST_NAME]
        if (refusal := await self.policy.helo(name, extended)) is not None:
            self.refuse(refusal)
            return False
        self.helo, self.extended = name, extended
        return True

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
