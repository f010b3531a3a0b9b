"""Who stands between the client and us, and says who the client is: PROXY before the greeting, XCLIENT after it.

Both are believed from listed addresses only (control/smtpproxies, control/smtpxclients). What the environment says of
the one in between (its name, its right to relay) never passes to the client behind it. Also here: clients that speak
before the greeting (control/smtpdelay), as no mail server does.
"""

from qmailpy.receive.refusal import Refusal
from qmailpy.receive.smtp.ending import LOST, End
from qmailpy.rules.literal import literal
from qmailpy.rules.networks import has
from qmailpy.wire import proxy_protocol, xtext
from qmailpy.wire.smtp_server import reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.smtp.session import Session

_NAMES = (b"NAME", b"ADDR", b"PORT", b"PROTO", b"HELO", b"LOGIN", b"DESTADDR", b"DESTPORT")
XCLIENT = b"XCLIENT " + b" ".join(_NAMES)
_NOTHING = (b"[UNAVAILABLE]", b"[TEMPUNAVAIL]")
_LONGEST = 1024  # bytes of a value
_OF_THE_CLIENT = (b"TCPREMOTEHOST", b"TCPREMOTEINFO", b"TCPREMOTEPORT", b"RELAYCLIENT", b"RBLSMTPD")
_VARIABLES = {
    b"NAME": b"TCPREMOTEHOST",
    b"ADDR": b"TCPREMOTEIP",
    b"PORT": b"TCPREMOTEPORT",
    b"DESTADDR": b"TCPLOCALIP",
    b"DESTPORT": b"TCPLOCALPORT",
}


async def unwrap(session: "Session") -> None:
    """Take the PROXY protocol's header, from an address that must send one.  Errors: End where it does not."""
    dialog = session.dialog
    environment = dialog.environment
    if not has(session.controls.proxies, environment.get(b"TCPREMOTEIP", b"")):
        return
    dialog.until = dialog.now() + dialog.patience
    came = b""
    found = None
    while found is None:
        piece = await dialog.receive()
        if not piece:
            raise End(LOST)
        came += piece
        try:
            found = proxy_protocol.decode(came)
        except proxy_protocol.ProxyError:
            session.refuse(Refusal(b"554 the PROXY protocol is needed here (#5.5.0)", b"proxy", closes=True))
    ends, size = found
    dialog.unread(came[size:])
    if ends is None:
        return
    for name in _OF_THE_CLIENT:
        environment.pop(name, None)
    environment[b"TCPREMOTEIP"] = ends.remote_ip
    environment[b"TCPREMOTEPORT"] = b"%d" % ends.remote_port
    environment[b"TCPLOCALIP"] = ends.local_ip
    environment[b"TCPLOCALPORT"] = b"%d" % ends.local_port


async def listen_first(session: "Session") -> None:
    """Wait a while before the greeting: who speaks in that time does not wait for answers.  Errors: End."""
    if await session.dialog.early(session.controls.delay):
        words = b"554 you speak before you are greeted: no mail server does (#5.5.1)"
        session.refuse(Refusal(words, b"early", closes=True))


def may_name_client(session: "Session") -> bool:
    """Whether XCLIENT is taken from this client: the one that has connected, whomever it names."""
    if session.names_client is None:
        session.names_client = has(session.controls.relays, session.dialog.environment.get(b"TCPREMOTEIP", b""))
    return session.names_client


async def xclient(session: "Session", argument: bytes) -> None:
    """XCLIENT: everything begins anew, with another client.

    What HELO= says stays its name: what the one in between says of itself afterwards, with EHLO, does not count.
    """
    values = _values(argument)
    if not may_name_client(session):
        session.complain(b"550 XCLIENT is not for you (#5.7.0)")
    elif session.transaction.sender is not None:
        session.complain(b"503 not during a transaction (#5.5.1)")
    elif session.login is not None:
        session.complain(b"503 you have logged in already (#5.5.1)")
    elif values is None:
        session.complain(b"501 bad XCLIENT parameter (#5.5.4)")
    else:
        _rename(session.dialog.environment, values)
        await session.reset()
        session.forget()
        if login := values.get(b"LOGIN"):
            session.login = login
            session.policy.authenticated(login, b"XCLIENT")
        if (refusal := await session.policy.connected()) is not None:
            session.refuse(refusal)
            raise End(LOST)
        session.client_helo = values.get(b"HELO")
        if session.client_helo is not None and not await session.introduce(session.client_helo, extended=False):
            raise End(LOST)
        session.dialog.say(reply(b"220 " + session.greeting + b" ESMTP"))


def _rename(environment: dict[bytes, bytes], values: dict[bytes, bytes | None]) -> None:
    if b"ADDR" in values:
        for name in _OF_THE_CLIENT:
            environment.pop(name, None)
    for name, value in values.items():
        variable = _VARIABLES.get(name)
        if variable is not None and value is not None:
            environment[variable] = value
        elif variable is not None:
            environment.pop(variable, None)


def _values(argument: bytes) -> dict[bytes, bytes | None] | None:
    """Attribute -> value, None where it is not known.  Result: None where something cannot be read."""
    values: dict[bytes, bytes | None] = {}
    for word in argument.split():
        name, equals, coded = word.partition(b"=")
        name = name.upper()
        value = xtext.decode(coded)
        if not equals or name not in _NAMES or value is None or len(value) > _LONGEST or b"\0" in value:
            return None
        if value.upper() in _NOTHING:
            values[name] = None
            continue
        if name in (b"ADDR", b"DESTADDR"):
            value = literal(b"[" + value + b"]")
            if value is None:
                return None
        elif name in (b"PORT", b"DESTPORT") and (len(value) > 5 or not value.isdigit()):
            return None
        values[name] = value
    return values or None
