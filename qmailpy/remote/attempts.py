"""From a route to a report: the addresses of a host in their order, until one of them takes the message or refuses it.

An exchanger that turns us away before it has heard anything of the message (its greeting, or its answer to EHLO, is a
no; it hangs up) is no better than one that does not answer: the next one is tried. If all of them say no for good, so
do we; control/classicgreeting brings back qmail's way, which waits then, and asks nobody else.
"""

from qmailpy.remote import connecting, lookup
from qmailpy.remote import pool as pools
from qmailpy.remote.controls import Settings
from qmailpy.remote.equipment import Equipment, nonce
from qmailpy.remote.pool import Line, Pool
from qmailpy.remote.session import Message, Unreadable, converse
from qmailpy.rules import exchangers, literal, report, routes, tcpto
from qmailpy.rules.exchangers import Address
from qmailpy.system.net import ConnectionLost, NotOurs, Stream, TlsError
from qmailpy.verdict import Die
from qmailpy.wire import smtp
from qmailpy.wire.sasl import XOAuth2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.remote.pool import Key
    from qmailpy.system.tls import TlsStream

_WHEN = {
    routes.NONE: smtp.NEVER,
    routes.MAY: smtp.MAY,
    routes.ENCRYPT: smtp.MUST,
    routes.IMPLICIT: smtp.AT_ONCE,
}


class Ended(Exception):
    """The delivery has ended before there was a dialogue.  report: what to print."""

    def __init__(self, text: bytes) -> None:
        """As above."""
        super().__init__(text)
        self.report = text


class Letter:
    """What is to be handed over."""

    __slots__ = ("message", "path", "sayable", "whole")

    def __init__(self, path: bytes, sayable: list[bytes | None], message: Message, *, whole: bool) -> None:
        """Addresses as SMTP says them; None for a recipient that it cannot."""
        self.path, self.sayable, self.message, self.whole = path, sayable, message, whole


async def by_route(equipment: Equipment, settings: Settings, route: routes.Route, host: bytes, letter: Letter) -> bytes:
    """Find somebody who takes the message, or refuses it.  Result: all items.  Errors: Ended; Unreadable."""
    refusal = b""
    try:
        login = await _login(equipment, route)
        content = await letter.message.content()
        addresses = await _addresses(equipment, host, route)
        tls, pool = _WHEN[route.tls], equipment.pool
        while True:
            address, line = await _connect(equipment, addresses, route, settings, pool)
            client = smtp.Client(
                route.helo or settings.helohost,
                letter.path,
                [recipient for recipient in letter.sayable if recipient is not None],
                tls=tls,
                login=login,
                content=content,
                whole=letter.whole,
                standing=line.standing,
                lasts=equipment.pool is not None,
            )
            last = await _dialogue(equipment, line, client, address, route, letter.message, settings.timeoutremote)
            if client.is_stale:
                addresses, pool = [address], None
            elif not last:  # TLS was only welcome: once more in clear
                tls, addresses, pool = smtp.NEVER, [address], None
            elif settings.tries_others and not letter.whole and _turned_away(client):
                refusal = _softer(refusal, report.turned_away(last, client, final=route.kind == routes.BY_MX))
                addresses = addresses[addresses.index(address) + 1 :]
                tls, pool, last = _WHEN[route.tls], equipment.pool, refusal
                if not addresses:
                    break
            else:
                break
    except Ended as ended:
        last = refusal if refusal.startswith(b"Z") else ended.report  # who was reached has more to say
        raise Ended(_for_relay(route, last)) from None
    if client.failed_at == smtp.AUTH and route.sasl:
        equipment.tokens.forget()
    if client.step != smtp.DONE or client.failed_at in report.BEFORE_MAIL:
        last = _for_relay(route, last)
    return _items(address.ip, client, letter.sayable) + last


def _turned_away(client: smtp.Client) -> bool:
    """Whether the server would not speak with us at all: nothing of this message has been said."""
    return bool({smtp.GREETING, smtp.EHLO, smtp.HELO} & {client.step, client.failed_at}) and not client.security


def _softer(before: bytes, now: bytes) -> bytes:
    """Of two refusals the one that leaves more hope."""
    return before if before.startswith(b"Z") else now


def _for_relay(route: routes.Route, item: bytes) -> bytes:
    """A deferral that says that mail waits for the relay, and not for a host of its own."""
    if route.kind != routes.RELAY or not item.startswith(b"Z"):
        return item
    return report.waits_for_relay(item, route.host, route.port)


async def _login(equipment: Equipment, route: routes.Route) -> smtp.Login | None:
    if not route.login:
        return None
    try:
        credentials = equipment.login(route.login)
        if route.sasl == XOAuth2.name.lower():
            credentials = await equipment.tokens.of(credentials)
        return smtp.Login(credentials, nonce(), anyhow=route.anyhow, mechanism=route.sasl)
    except Die as death:
        raise Ended(report.bad_login(route.login, death.text)) from None


async def _addresses(equipment: Equipment, host: bytes, route: routes.Route) -> list[Address]:
    """Where to try, in this order; at least one."""
    name = route.host if route.kind == routes.RELAY else host
    look = lookup.of_relay if route.kind == routes.RELAY else lookup.by_mx
    try:
        found = await look(equipment, name)
    except lookup.NoSuchHost:
        if (
            route.kind == routes.RELAY
        ):  # the administrator's slip, or the relay's: the sender's mail waits for a better day
            raise Ended(report.no_such_relay(name)) from None
        raise Ended(report.no_such_host(name)) from None
    except lookup.NullMX:
        raise Ended(report.no_mail_there(name)) from None
    except lookup.Unknown:
        raise Ended(report.NO_ANSWER_YET) from None
    except OSError:  # out of descriptors, say
        raise Ended(report.NO_RESOURCES) from None
    if not found.addresses:
        raise Ended(report.NO_ANSWER_YET if found.doubtful else report.NO_EXCHANGER)
    usable = exchangers.usable(found.addresses, _own(equipment, route))
    if not usable:  # a better exchanger may be among those that could not be looked up
        raise Ended(report.NO_ANSWER_YET if found.doubtful else report.LOOP)
    return usable


def _own(equipment: Equipment, route: routes.Route) -> "exchangers.IsOwn":
    """Whether an address is ourselves: where that would be a loop. A named relay or another port is not."""
    if route.kind == routes.RELAY or route.port != routes.SMTP_PORT:
        return lambda _ip: False
    try:
        on_interface = equipment.own_test()
    except OSError:
        raise Ended(report.NO_RESOURCES) from None
    return lambda ip: literal.is_always_own(ip) or on_interface(ip)


async def _connect(
    equipment: Equipment, addresses: list[Address], route: routes.Route, settings: Settings, pool: Pool | None
) -> tuple[Address, Line]:
    """A warm connection to one of the best addresses, else the first address that lets us in."""
    longest = tcpto.PATIENT if route.kind == routes.RELAY else 0
    sources = [route.source, *settings.sources] if route.source else settings.sources
    way = connecting.Way(route.port, settings.timeoutconnect, longest, sources)
    helo = route.helo or settings.helohost

    def key_of(address: Address) -> "Key":
        return pools.key_of(address.ip, address.name, route, way.source(address.ip), helo)

    for address in addresses:
        if pool is not None and address.preference == addresses[0].preference and (line := pool.take(key_of(address))):
            return address, line
    try:
        reached = await connecting.first_of(equipment, addresses, way)
    except NotOurs as error:
        raise Ended(report.bad_source(error.address)) from None
    if reached is not None:
        address, stream = reached
        return address, Line(key_of(address), stream)
    raise Ended(report.NO_CONNECTION)


async def _dialogue(
    equipment: Equipment,
    line: Line,
    client: smtp.Client,
    address: Address,
    route: routes.Route,
    message: Message,
    patience: float,
) -> bytes:
    """Speak with the server.  Result: the message's item; empty if TLS failed that was not asked for."""

    async def secure(plain: Stream) -> "TlsStream":
        return await equipment.tls().secure(plain, address.name, route.fingerprint, named=route.named)

    lasting = None
    if equipment.pool is not None:
        equipment.pool.begins(line)
    try:
        lasting = await converse(line.face, client, message, patience, secure)
    except ConnectionLost:
        if client.step == smtp.TLS and route.tls == routes.MAY:
            return b""
        return report.connection_died(address.ip, client)
    except Unreadable:
        return report.UNREADABLE
    except TlsError as error:
        if route.tls == routes.MAY:
            return b""
        return report.no_tls(address.ip, address.name, error.text, untrusted=error.untrusted)
    finally:
        if equipment.pool is not None:
            equipment.pool.ends(line)
        if lasting is None:
            await line.face.closed()
    if lasting is not None and equipment.pool is not None:
        line.face, line.standing = lasting, client.standing
        equipment.pool.keep(line)
    return report.message_item(address.ip, client)


def _items(ip: bytes, client: smtp.Client, sayable: list[bytes | None]) -> bytes:
    """The recipients' items in the order of argv, as far as the server answered."""
    answers = iter(client.answers)
    items = []
    for address in sayable:
        if address is None:
            items.append(report.BAD_RECIPIENT)
            continue
        answer = next(answers, None)
        if answer is None:
            break
        items.append(report.recipient_item(ip, answer))
    return b"".join(items)
