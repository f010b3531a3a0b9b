"""The AUTH command of SMTP: which mechanism, and its words (RFC 4954). Used by wire/smtp.

It also sees to it that no reply in a report repeats what was said in secret.
"""

from qmailpy.wire import sasl
from qmailpy.wire.smtp_reply import Reply

LONGEST_COMMAND = 500  # bytes; a longer first word waits for the server's question (RFC 4954 4)
NO_LOGIN = b"it offers no way to log in that I know"
NOT_SAFE = b"a login is sent only by TLS, to a server that has proven its name"
TOO_EARLY = b"it said yes before the login was complete"


class Login:
    """Who we are to this server.

    anyhow: also if nobody knows who it is, or others can listen; mechanism: of sasl.BY_NAME, or empty: the strongest.
    """

    __slots__ = ("anyhow", "credentials", "mechanism", "nonce")

    def __init__(
        self, credentials: sasl.Credentials, nonce: bytes, *, anyhow: bool = False, mechanism: bytes = b""
    ) -> None:
        """nonce: printable, without comma, never used before."""
        self.credentials, self.nonce, self.anyhow, self.mechanism = credentials, nonce, anyhow, mechanism


class LoginDialogue:
    """One login under way.  Errors of its methods: sasl.SaslError with a clause."""

    __slots__ = ("_login", "_mask", "_mechanism")

    def __init__(self, login: Login) -> None:
        """Nothing is said yet."""
        self._login = login
        self._mask = sasl.Mask(login.credentials)
        self._mechanism: sasl.Mechanism | None = None

    def begin(self, offered: list[bytes], *, safe: bool) -> bytes:
        """The command.  offered: mechanisms, in capitals; safe: by TLS, to a server that has proven its name."""
        login = self._login
        if not (safe or login.anyhow):
            raise sasl.SaslError(NOT_SAFE)
        self._mechanism = mechanism = sasl.choose(offered, login.credentials, login.nonce, login.mechanism)
        if mechanism is None:
            raise sasl.SaslError(NO_LOGIN)
        command = b"AUTH " + mechanism.name
        first = mechanism.first()
        if first and len(command) + 1 + len(sasl.encoded(first)) < LONGEST_COMMAND:
            return b"%s %s\r\n" % (command, self._secretly(mechanism.say_first()))
        return command + b"\r\n"

    def respond(self, question: Reply) -> bytes:
        """The answer to a 334."""
        assert self._mechanism is not None
        challenge = sasl.decoded(question.text.partition(b"\n")[0][4:])
        return self._secretly(self._mechanism.respond(challenge)) + b"\r\n"

    def require_done(self) -> None:
        """At a yes: whether there was anything to say yes to."""
        if self._mechanism is None or not self._mechanism.done():
            raise sasl.SaslError(TOO_EARLY)

    def _secretly(self, word: bytes) -> bytes:
        word = sasl.encoded(word)
        if word:
            self._mask.add(word)
        return word

    def masked(self, text: bytes) -> bytes:
        """What the server says, as it may be told."""
        return self._mask.masked(text)
