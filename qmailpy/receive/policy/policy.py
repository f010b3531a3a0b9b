"""The decisions of one SMTP session, in the order in which its commands come (spec/06-remote-dns-smtp.md 5).

QMTP's sessions ask the same, without HELO and plugins.

What is about the sender, the HELO name or the client's address is decided early and said at RCPT: then the log names
the recipient, the client hears it for each of them, and who has logged in meanwhile is not asked at all. Order at RCPT:
badmailfrom, plugins, rcpthosts, badhelo, badrcptto, $RBLSMTPD and control/dnsbl, whether the recipient exists,
$RCPTCHECK. Who may relay skips the four about strangers: rcpthosts, badhelo, badrcptto, dnsbl.
"""

from qmailpy.receive.policy import plugins, recipients, relaying, strangers
from qmailpy.receive.policy.controls import Controls
from qmailpy.receive.policy.plugins import Plugins
from qmailpy.receive.refusal import Refusal
from qmailpy.rules import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.skeletons.dialog import Dialog

BAD_SENDER = b"553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)"
NOT_HERE = b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
NO_CONTROLS = b"421 unable to read controls (#4.3.0)"
RELAYCLIENT = b"RELAYCLIENT"
PROGRAM = b"qmail-smtpd"


class Policy:
    """One session's.  Every method that is awaited gives None, go on, or a Refusal.

    replaced: the address that takes the place of the one that sender() or recipient() was just asked about, or None;
    header_additions: lines for the message, without line ends; relays: whether this client may send anywhere.
    """

    __slots__ = (
        *("_accepted", "_asked", "_bad_helo", "_bad_sender", "_controls", "_dialog", "_helo", "_listed"),
        *("_login", "_plugins", "_sender", "replaced"),
    )

    def __init__(self, dialog: "Dialog", controls: Controls, *, plugged: bool = True) -> None:
        """controls: of receive/policy/controls; plugged: plugins are asked, whose interface is SMTP's.

        dialog.environment is looked at each time anew: plugins change it.
        """
        self._dialog, self._controls = dialog, controls
        self._helo = b""
        self._sender: bytes | None = None
        self._login = b""
        self._bad_helo = self._bad_sender = False
        self._listed: Refusal | bool | None = False  # False: nobody has been asked
        self._accepted = self._asked = 0  # recipients of this transaction
        self.replaced: bytes | None = None
        wanted = plugged and (controls.plugins or plugins.OTHER_FILE in dialog.environment)
        self._plugins = Plugins(dialog, controls.plugins) if wanted else None

    @property
    def header_additions(self) -> list[bytes]:
        """As above."""
        return self._plugins.headers if self._plugins is not None else []

    @property
    def relays(self) -> bool:
        """As above."""
        return bool(self._login) or RELAYCLIENT in self._dialog.environment

    # what a session says

    async def connected(self) -> Refusal | None:
        """Before the greeting; and again where somebody in front has named another client (XCLIENT)."""
        self._listed = False
        self._helo, self._bad_helo = b"", False
        if self._plugins is not None and (path := self._dialog.environment.get(plugins.OTHER_FILE)):
            try:
                self._plugins.use(await plugins.other_file(self._dialog, path))
            except OSError:
                return Refusal(NO_CONTROLS, b"controls", closes=True)
        return await self._ask_plugins(plugins.CONNECTION)

    async def helo(self, name: bytes, extended: bool) -> Refusal | None:  # noqa: ARG002 - both kinds are one
        """HELO or EHLO; the transaction before it is over."""
        self.reset()
        self._helo = name
        self._tell(b"SMTPHELOHOST", name)
        refusal = await self._ask_plugins(plugins.HELO)
        self._bad_helo = not self._is_accepted and self._controls.badhelo.has_name(name)
        return refusal

    async def auth(self, login: bytes, method: bytes) -> Refusal | None:
        """The client has proven who it is: plugins may still say no; then authenticated() is not called."""
        self._tell(b"SMTPAUTHUSER", login)
        self._tell(b"SMTPAUTHMETHOD", method)
        refusal = await self._ask_plugins(plugins.AUTH)
        if refusal is not None:  # later plugins must not take it for a login
            for name in (b"SMTPAUTHUSER", b"SMTPAUTHMETHOD"):
                self._dialog.environment.pop(name, None)
        return refusal

    def authenticated(self, login: bytes, method: bytes) -> None:
        """From here on the client is this login."""
        self._login = login or b"-"
        self._tell(b"SMTPAUTHUSER", login)
        self._tell(b"SMTPAUTHMETHOD", method)

    async def sender(self, address: bytes, parameters: object = None) -> Refusal | None:  # noqa: ARG002 - as agreed
        """MAIL: a new transaction."""
        later = self._remembered(plugins.MAIL)
        self._begin(address)
        if later is not None:
            return later
        refusal = await self._ask_plugins(plugins.MAIL)
        self._take_replacement()
        if refusal is None:
            self._sender = address if self.replaced is None else self.replaced
            self._bad_sender = not self._is_accepted and self._controls.badmailfrom.has_address(self._sender)
        return refusal

    async def recipient(self, address: bytes) -> Refusal | None:
        """RCPT.  $RELAYCLIENT's value is appended here, in replaced."""
        self.replaced = None
        self._asked += 1
        if self._bad_sender:
            return Refusal(BAD_SENDER, b"badmailfrom")
        try:
            allowed = self.relays or await relaying.is_allowed(self._dialog, self._controls, address)
        except OSError:
            return Refusal(NO_CONTROLS, b"controls", closes=True)
        self._tell_recipient(address, allowed=allowed)
        refusal = self._remembered(plugins.RCPT) or await self._ask_plugins(plugins.RCPT)
        if refusal is None:
            self._take_replacement()
            refusal = await self._own_checks(address, allowed=allowed)
        if refusal is None:
            self._accepted += 1
        return refusal

    async def data(self) -> Refusal | None:
        """DATA, or the first BDAT."""
        return self._remembered(plugins.DATA) or await self._ask_plugins(plugins.DATA)

    async def message_done(self) -> Refusal | None:
        """The message is whole, or was refused: the transaction is over."""
        self.reset()
        return None

    def reset(self) -> None:
        """RSET, HELO, STARTTLS: no transaction any more."""
        self._forget()
        if self._plugins is not None:
            self._plugins.reset()

    def log(self, refusal: Refusal, recipient: bytes | None = None, program: bytes = PROGRAM) -> None:
        """The one line of the log that every refusal has (rules/refused)."""
        remote = self._dialog.environment.get(b"TCPREMOTEIP")
        client = refused.Client(remote, self._helo, self._sender, recipient)
        self._dialog.note(refused.line(program, client, refusal.rule, refusal.reply))

    # inside

    async def _own_checks(self, address: bytes, *, allowed: bool) -> Refusal | None:
        """Those that plugins may skip, all of them."""
        relays = self.relays  # a plugin may just have said so
        meant = address if self.replaced is None else self.replaced
        if relays and (suffix := self._dialog.environment.get(RELAYCLIENT)):
            meant = self.replaced = meant + suffix
        if self._is_accepted:
            return None
        if not relays:
            if not allowed:
                return Refusal(NOT_HERE, b"rcpthosts")
            refusal = strangers.refuse(self._controls, meant, bad_helo=self._bad_helo) or await self._ask_lists()
            if refusal is not None:
                return refusal
        return await recipients.check(self._dialog, self._controls, meant) or await recipients.ask_program(
            self._dialog, self._helo, self._sender or b"", meant, relays=relays
        )

    async def _ask_lists(self) -> Refusal | None:
        """Once a session, when the first recipient comes."""
        if self._listed is False:
            self._listed = await strangers.ask_lists(self._dialog, self._controls)
        return self._listed if isinstance(self._listed, Refusal) else None

    def _begin(self, address: bytes) -> None:
        self._forget()
        self._sender = address
        self._tell(b"SMTPMAILFROM", address)
        if self._plugins is not None:
            self._plugins.reset(at_mail=True)

    def _forget(self) -> None:
        self._sender = self.replaced = None
        self._bad_sender = False
        self._accepted = self._asked = 0

    def _remembered(self, moment: bytes) -> Refusal | None:
        return None if self._plugins is None else self._plugins.remembered(moment)

    async def _ask_plugins(self, moment: bytes) -> Refusal | None:
        return None if self._plugins is None else await self._plugins.run(moment)

    @property
    def _is_accepted(self) -> bool:
        """Whether the plugins of this moment want no more checks."""
        return self._plugins is not None and self._plugins.accepts

    def _take_replacement(self) -> None:
        self.replaced = None if self._plugins is None else self._plugins.replaced

    def _tell(self, name: bytes, value: bytes) -> None:
        """To plugins; without any, sessions keep no variables."""
        if self._plugins is not None:
            self._dialog.environment[name] = value

    def _tell_recipient(self, address: bytes, *, allowed: bool) -> None:
        self._tell(b"SMTPRCPTTO", address)
        self._tell(b"SMTPRCPTCOUNT", b"%d" % self._accepted)
        self._tell(b"SMTPRCPTCOUNTALL", b"%d" % self._asked)
        self._tell(b"SMTPRCPTHOSTSOK", b"1" if allowed else b"0")
