"""The submission role: who may send as whom, and what a submitted message lacks (RFC 6409).

Only who has logged in sends (session.unauthenticated). From, Date and Message-ID are added where they are missing, at
the end of the header, while the message goes by. control/submissionsenders says what logins may use as sender.
"""

from qmailpy.receive.refusal import Refusal
from qmailpy.rules.completion import Completer
from qmailpy.rules.date import date822
from qmailpy.rules.quote import flat, quote2
from qmailpy.system import clock, identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.smtp.controls import Controls
    from qmailpy.receive.smtp.session import Session

_NOT_YOURS = b"553 sorry, your login may not send as that address (#5.7.1)"
_OTHERS = b"*"  # the login of all that have no line, and the address that is any


def refuse_name(controls: "Controls", login: bytes, address: bytes) -> Refusal | None:
    """What stands against this sender.  address: empty for a notice, as mail programs send them: always allowed.

    Without the control file every login may use any sender. With it: those of its line, or of the line "*"; a login
    that is an address may always use that.
    """
    if controls.senders is None or not address or _may_use(controls.senders, login.lower(), address.lower()):
        return None
    return Refusal(_NOT_YOURS, b"submissionsenders")


def _may_use(senders: dict[bytes, bytes], login: bytes, address: bytes) -> bool:
    if address == login:
        return True
    allowed = senders.get(login, senders.get(_OTHERS, b"")).lower().replace(b",", b" ").split()
    _, at, host = address.rpartition(b"@")
    return any(entry in (address, _OTHERS) or (at and entry == b"@" + host) for entry in allowed)


def completer(session: "Session") -> Completer:
    """For the session's message."""
    controls, now = session.controls, clock.now_ns()
    login = session.login or b""
    author = session.transaction.sender or (login if b"@" in login else login + b"@" + controls.idhost)
    unique = b"%d.%d.qmail@%s" % (now, identity.my_pid(), flat(controls.idhost))
    return Completer(
        {
            b"date": b"Date: " + date822(now // 1_000_000_000),
            b"message-id": b"Message-ID: <" + unique + b">\n",
            b"from": b"From: " + flat(quote2(author)) + b"\n",
        }
    )
