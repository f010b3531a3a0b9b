"""STARTTLS and AUTH: who listens in, and who the client is (RFC 3207, 4954).

What came in clear before TLS can never be taken for something said inside it: nothing may have come behind the
command, and everything said before is forgotten.
"""

import binascii

from qmailpy.receive.auth import Authentication, Cancelled
from qmailpy.receive.refusal import Refusal
from qmailpy.receive.smtp.ending import LOST, End
from qmailpy.rules.logline import safe
from qmailpy.skeletons.dialog import TlsFailed
from qmailpy.wire.smtp_server import LINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.smtp.services import Contexts
    from qmailpy.receive.smtp.session import Session
    from qmailpy.skeletons.dialog import Secret

MOST_FAILURES = 3  # logins that fail, in one session
_NONE = b"="  # an initial response of no bytes


async def secure(session: "Session", contexts: "Contexts") -> None:
    """Speak TLS from here on, or end.  Errors: TlsFailed, and those of the dialog."""
    await _shake_hands(session, contexts.secret())


async def _shake_hands(session: "Session", secret: "Secret") -> None:
    dialog = session.dialog
    dialog.until = dialog.now() + dialog.patience
    await dialog.shake_hands(secret)
    remote = dialog.environment.get(b"TCPREMOTEIP", b"unknown")
    dialog.note(b"qmail-smtpd: tls %b %b" % (safe(remote), secret.facts))


async def starttls(session: "Session", argument: bytes) -> None:
    """STARTTLS; it is offered."""
    contexts, dialog = session.services.tls, session.dialog
    assert contexts is not None
    if dialog.secret is not None:
        session.complain(b"503 TLS is spoken already (#5.5.1)")
    elif session.login is not None:
        session.complain(b"503 you have logged in already (#5.5.1)")
    elif argument:
        session.complain(b"501 STARTTLS has no parameters (#5.5.4)")
    elif dialog.pending:
        words = b"503 STARTTLS must be the last command before an answer (#5.5.1)"
        session.refuse(Refusal(words, b"starttls", closes=True))
    else:
        try:
            secret = contexts.secret()
        except TlsFailed as failure:
            dialog.note(b"qmail-smtpd: warning: " + failure.text)
            session.refuse(Refusal(b"454 TLS is not available now (#4.3.0)", b"tls"))
            return
        session.say(b"220 ready for tls")
        await _shake_hands(session, secret)
        await session.reset()
        session.forget()


async def auth(session: "Session", argument: bytes) -> None:
    """AUTH; logins are taken."""
    if session.login is not None:
        session.complain(b"503 you have logged in already (#5.5.1)")
        return
    if session.transaction.sender is not None:
        session.complain(b"503 not during a transaction (#5.5.1)")
        return
    mechanism, *initial = argument.split()[:3] or [b""]
    if not mechanism or len(initial) > 1:
        session.complain(b"501 AUTH needs a mechanism, and perhaps one more word (#5.5.4)")
        return
    try:
        outcome = await _authenticate(session, mechanism.upper(), initial[0] if initial else None)
    except _NotBase64:
        session.complain(b"501 that is not base64 (#5.5.2)")
        return
    except Cancelled:
        session.complain(b"501 authentication cancelled (#5.0.0)")
        return
    if isinstance(outcome, Refusal):
        session.failures += 1
        outcome.closes = outcome.closes or session.failures >= MOST_FAILURES
        session.refuse(outcome)
        return
    session.login = outcome
    session.policy.authenticated(outcome, mechanism.upper())
    session.say(b"235 ok, go ahead (#2.0.0)")


async def _authenticate(session: "Session", mechanism: bytes, initial: bytes | None) -> bytes | Refusal:
    """initial: in base64, or "=" for no bytes.  Result: the login."""
    response = None if initial is None else b"" if initial == _NONE else _decoded(initial)
    authentication = Authentication(session.dialog, session.controls)
    outcome = await authentication.run(mechanism, response, lambda challenge: _ask(session, challenge))
    if isinstance(outcome, Refusal):
        return outcome
    return await session.policy.auth(outcome, mechanism) or outcome


class _NotBase64(Exception):
    pass


def _decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except binascii.Error:
        raise _NotBase64 from None


async def _ask(session: "Session", challenge: bytes) -> bytes:
    """The client's answer to this.  Errors: Cancelled; _NotBase64; End where it has gone."""
    session.say(b"334 " + binascii.b2a_base64(challenge, newline=False))
    session.dialog.until = session.dialog.now() + session.dialog.patience
    line = await session.dialog.line(LINE)
    if line is None:
        raise End(LOST)
    if line == b"*":
        raise Cancelled
    return _decoded(line)
