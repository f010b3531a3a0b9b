"""Each of our protocol programs as a service: its control files read once, its conversation made for each client.

What a program learns from its arguments and its environment when it is executed it learns here from the same, once;
what rules set for one connection is in that connection's own environment.
"""

from qmailpy.disk.home import Home
from qmailpy.receive.listener import lines
from qmailpy.receive.listener.service import Service
from qmailpy.system import descriptors
from qmailpy.system.loop import is_writable
from qmailpy.verdict import Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine

    from qmailpy.receive.smtp.services import Contexts
    from qmailpy.skeletons.dialog import Dialog

_LOG = 2  # descriptor
_SMTP_CROWDED = b"421 too many connections from your address or network, try again later (#4.7.0)"
_CROWDED = b"Ztoo many connections from your address or network, try again later (#4.7.0)"


def _note(line: bytes) -> None:
    """While sessions run, too: where nobody reads the log it is lost."""
    if is_writable(_LOG):
        descriptors.say(lines.line(b"warning: " + line))


def _certificates(home: Home, *, renewing: bool) -> "Contexts | None":
    """None where there are none.

    Those that cannot be used keep nobody from speaking without TLS, as long as there is no service that they were good
    for.  Errors: Die if there is.
    """
    from qmailpy.receive import certificates

    if not certificates.are_there(home):
        return None
    try:
        contexts = certificates.read(home, _note)
        contexts.load_all()
    except Die as death:
        if renewing:
            raise
        _note(death.text)
        return certificates.Later(home, _note)
    return contexts


def smtp(home: Home, program: list[bytes], environment: dict[bytes, bytes], *, renewing: bool) -> Service:
    """qmail-smtpd.  Errors: Die for control files or certificates that cannot be used."""
    from qmailpy.receive.policy.policy import Policy
    from qmailpy.receive.smtp.controls import Controls
    from qmailpy.receive.smtp.conversation import converse
    from qmailpy.receive.smtp.services import IMPLICIT, offered
    from qmailpy.wire.smtp_server import reply

    controls = Controls(home, program[2:])
    tls = _certificates(home, renewing=renewing)

    def begin(dialog: "Dialog") -> "Coroutine[None, object, int]":
        policy = Policy(dialog, controls.policy)
        return converse(dialog, controls, policy, offered(controls, dialog.environment, tls))

    farewell = b"" if IMPLICIT in environment else reply(_SMTP_CROWDED)
    return Service(b"qmail-smtpd", begin, farewell=farewell, patience=controls.timeout)


def qmtp(home: Home, _program: list[bytes], _environment: dict[bytes, bytes], *, renewing: bool) -> Service:
    """qmail-qmtpd.  Errors: Die for control files that cannot be used."""
    from qmailpy.receive.netstrings import PATIENCE
    from qmailpy.receive.qmtp import Controls, converse
    from qmailpy.wire import netstring

    del renewing
    controls = Controls(home)

    def begin(dialog: "Dialog") -> "Coroutine[None, object, int]":
        return converse(dialog, controls)

    return Service(b"qmail-qmtpd", begin, farewell=netstring.encode(_CROWDED), patience=PATIENCE)


def qmqp(_home: Home, _program: list[bytes], _environment: dict[bytes, bytes], *, renewing: bool) -> Service:
    """qmail-qmqpd."""
    from qmailpy.receive.netstrings import PATIENCE
    from qmailpy.receive.qmqp import converse
    from qmailpy.wire import netstring

    del renewing
    return Service(b"qmail-qmqpd", converse, farewell=netstring.encode(_CROWDED), patience=PATIENCE)
