"""A client that says who it is: the mechanisms of SASL, and POP3's own two ways, for SMTP and POP3 alike.

What stands between the client's words and the passwords is a question (skeletons/authenticating), so nothing here
waits for anything but the dialog. A wrong password is answered with a pause; a client that does not wait for the answer
is seen off. Passwords are asked for in clear only if control/authplain says so.
"""

import posix

from qmailpy.receive.logins import CONCEALING, MECHANISMS, Logins
from qmailpy.receive.refusal import Refusal
from qmailpy.rules import authline
from qmailpy.skeletons import authenticating
from qmailpy.wire import authd, sasl_server
from qmailpy.wire.sasl_server import Say, Verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol

    from qmailpy.skeletons.dialog import Dialog

    class Controls(Protocol):
        """The control files of a protocol."""

        logins: Logins


_NONCE = 18  # random bytes
_RULE, _TROUBLE = b"auth", b"auth-trouble"

# replies (RFC 4954 6), as spec/06 writes them
_WRONG = b"535 authentication failed (#5.7.8)"
_MALFORMED = b"501 malformed authentication (#5.5.2)"
_UNKNOWN = b"504 unrecognized authentication type (#5.5.4)"
_IN_CLEAR = b"538 encryption required for that authentication type (#5.7.11)"
_LATER = b"454 temporary authentication failure (#4.7.0)"


class Cancelled(Exception):
    """The client gave up in the midst."""


class Authentication:
    """Of one client."""

    __slots__ = ("_dialog", "_logins")

    def __init__(self, dialog: "Dialog", controls: "Controls") -> None:
        """dialog.environment says where the client is."""
        self._dialog, self._logins = dialog, controls.logins

    @property
    def has_apop(self) -> bool:
        """Whether POP3's APOP can be offered."""
        return b"APOP" in self._logins.offered

    @property
    def takes_passwords(self) -> bool:
        """Whether a password may be sent now: nobody listens in, or that is wanted."""
        return self._dialog.secret is not None or self._logins.plain

    def mechanisms(self) -> tuple[bytes, ...]:
        """What can be used now, the strongest first."""
        clear = self.takes_passwords
        return tuple(name for name in MECHANISMS if name in self._logins.offered and (clear or name in CONCEALING))

    async def run(
        self, mechanism: bytes, initial: bytes | None, ask_client: "Callable[[bytes], Awaitable[bytes]]"
    ) -> "bytes | Refusal":
        """The login of a client that has proven who it is, or what it is told.

        mechanism: in capitals; initial: what came with the command, out of its base64; ask_client: says a challenge and
        gives the answer, or raises Cancelled (which passes through here).
        """
        if mechanism not in self.mechanisms():
            return Refusal(_IN_CLEAR if mechanism in self._logins.offered else _UNKNOWN, _RULE)
        machine = sasl_server.MECHANISMS[mechanism](self._nonce())
        login = b""
        try:
            step: Say | Verify | None = machine.begin(initial)
            while step is not None:
                if isinstance(step, Say):
                    step = machine.hear(await ask_client(step.challenge))
                    continue
                outcome = await self._verify(step, mechanism)
                if isinstance(outcome, Refusal):
                    return outcome
                login, data = outcome
                step = machine.told(data)
        except sasl_server.Malformed:
            return Refusal(_MALFORMED, _RULE)
        return login

    async def password(self, login: bytes, password: bytes) -> "bytes | Refusal":
        """As run(), for POP3's USER and PASS."""
        if not self.takes_passwords:
            return Refusal(_IN_CLEAR, _RULE)
        return await self._one_step(sasl_server.PASSWORD, login, password, b"")

    async def apop(self, login: bytes, digest: bytes, challenge: bytes) -> "bytes | Refusal":
        """As run(), for POP3's APOP.  digest: as it came; challenge: of our greeting, with its brackets."""
        if not self.has_apop:
            return Refusal(_UNKNOWN, _RULE)
        return await self._one_step(sasl_server.APOP, login, digest.lower(), challenge)

    async def _one_step(self, method: bytes, login: bytes, secret: bytes, challenge: bytes) -> "bytes | Refusal":
        try:
            step = Verify(method, login, secret, challenge)
        except sasl_server.Malformed:
            return Refusal(_MALFORMED, _RULE)
        outcome = await self._verify(step, method)
        return outcome if isinstance(outcome, Refusal) else outcome[0]

    async def _verify(self, step: Verify, mechanism: bytes) -> "tuple[bytes, bytes] | Refusal":
        """Login, as who keeps it writes it, and what the mechanism wants to know; or what the client is told."""
        environment = self._dialog.environment
        remote, port = environment.get(b"TCPREMOTEIP", b"").partition(b"%")[0], environment.get(b"TCPLOCALPORT", b"")
        try:
            question = authd.Question(step.method, step.login, step.secret, step.challenge, remote, port)
        except authd.AuthdError:
            return Refusal(_MALFORMED, _RULE)
        try:
            request = authenticating.encode(question, self._logins.command)
            answer = authd.decode_answer(await self._dialog.ask(b"authenticate", request))
        except (OSError, authd.AuthdError) as error:
            return self._trouble(
                b"nobody answers for passwords (qmail-authd): " + str(error).encode("ascii", "replace")
            )
        if answer is None or answer.verdict == authd.LATER:
            return self._trouble(b"an answer was cut off" if answer is None else answer.said)
        self._note(answer, question, mechanism)
        if answer.verdict == authd.NO:
            return await self._refusal(answer.hold)
        login, data = authd.heard(answer.said)
        return login or step.login, data

    def _note(self, answer: authd.Answer, question: authd.Question, mechanism: bytes) -> None:
        """qmail-authd has a log of its own."""
        if self._logins.command and question.method != sasl_server.SCRAM_FIRST:
            rule = None if answer.verdict == authd.YES else authline.PASSWORD
            self._dialog.note(authline.line(b"auth", question, mechanism, rule))

    def _trouble(self, why: bytes) -> Refusal:
        self._dialog.note(b"auth: warning: " + authline.printable(why))
        return Refusal(_LATER, _TROUBLE)

    async def _refusal(self, hold: int) -> Refusal:
        """After a pause, in which an honest client is silent."""
        dialog = self._dialog
        await dialog.flush()
        return Refusal(_WRONG, _RULE, closes=await dialog.early(hold))

    def _nonce(self) -> bytes:
        """Fit for every mechanism: CRAM-MD5 wants it to look like a Message-ID."""
        host = self._dialog.environment.get(b"TCPLOCALIP", b"") or b"localhost"
        random = posix.urandom(_NONCE).hex().encode("ascii")
        return b"<%s@%s>" % (random, host.replace(b",", b"."))
