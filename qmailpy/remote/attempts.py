"""From a route to a report: the addresses of a host in their order, until one of them takes the message or refuses it.

An exchanger that turns us away before it has heard anything of the message (its greeting, or its answer to EHLO, is a
no; it hangs up) is no better than one that does not answer: the next one is tried. If all of them say no for good, so
do we; control/classicgreeting brings back qmail's way, which waits then, and asks nobody else.
"""

from qmailpy.remote import connecting, overhearing, preparing, telling
from qmailpy.remote import pool as pools
from qmailpy.remote.controls import Settings
from qmailpy.remote.equipment import Equipment, nonce
from qmailpy.remote.letter import Letter
from qmailpy.remote.pool import Line, Pool
from qmailpy.remote.preparing import Ended
from qmailpy.remote.session import Message, Unreadable, converse
from qmailpy.remote.story import Story
from qmailpy.rules import report, routes
from qmailpy.rules.exchangers import Address
from qmailpy.system import clock
from qmailpy.system.net import ConnectionLost, NotOurs, Stream, TlsError
from qmailpy.verdict import Die
from qmailpy.wire import smtp
from qmailpy.wire.sasl import XOAuth2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.remote.pool import Key
    from qmailpy.remote.session import Speaker
    from qmailpy.system.tls import TlsStream

TWO_OF_THEM = 2  # exchangers that let us in and then are silent cost no more: a host may have fifty
_WHEN = {
    routes.NONE: smtp.NEVER,
    routes.MAY: smtp.MAY,
    routes.ENCRYPT: smtp.MUST,
    routes.IMPLICIT: smtp.AT_ONCE,
}


async def by_route(equipment: Equipment, settings: Settings, route: routes.Route, host: bytes, letter: Letter) -> bytes:
    """Find somebody who takes the message, or refuses it.  Result: all items.  Errors: Ended; Unreadable."""
    refusal = b""
    tired = clock.monotonic() + TWO_OF_THEM * settings.timeoutremote
    try:
        login = await _login(equipment, route)
        letter.content = await letter.message.content()
        found = await preparing.look_up(equipment, host, route)
        addresses = left = preparing.usable(equipment, found, route, settings.family)  # left: who may take it yet
        if letter.story.is_on:
            telling.addresses(letter.story, addresses)
        tls, pool, chunking = _WHEN[route.tls], equipment.pool, route.chunking
        while True:
            address, line = await _connect(equipment, addresses, route, settings, pool, letter.story)
            client = letter.client(
                route.helo or settings.helohost,
                tls=tls,
                login=login,
                chunking=chunking,
                standing=line.standing,
                lasts=equipment.pool is not None,
            )
            speaker = overhearing.speaker(client, letter.story, settings, host, address)
            patience = settings.timeoutremote
            last = await _dialogue(equipment, line, client, speaker, address, route, letter.message, patience)
            if letter.story.is_on:
                telling.spoken(letter.story, address, client, login)
            if client.is_stale:  # it was taken before those that stand before it were asked
                left = [address, *(other for other in left if other is not address)]
                addresses, pool = [address], None
            elif client.knows_no_chunks and letter.message.rewind():
                addresses, pool, chunking = [address], None, False
            elif not last:  # TLS was only welcome: once more in clear
                tls, addresses, pool = smtp.NEVER, [address], None
            elif settings.tries_others and not letter.whole and _turned_away(client) and clock.monotonic() < tired:
                refusal = _softer(refusal, report.turned_away(last, client, final=route.kind == routes.BY_MX))
                addresses = left = left[left.index(address) + 1 :]
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
    return _items(address.ip, client, letter.sayable) + _final(route, client, last)


def _final(route: routes.Route, client: smtp.Client, item: bytes) -> bytes:
    """The message's item, with what it means here."""
    if client.knows_no_chunks:  # and the message came by a pipe, so that DATA was not tried: it is not what is wrong
        return report.for_now(item)
    if item != report.UNREADABLE and (client.step != smtp.DONE or client.failed_at in report.BEFORE_MAIL):
        return _for_relay(route, item)
    return item


def _turned_away(client: smtp.Client) -> bool:
    """Whether the server would not speak with us at all: nothing of this message has been said."""
    return bool({smtp.GREETING, smtp.EHLO, smtp.HELO} & {client.step, client.failed_at}) and not client.security


def _lost_by_tls(client: smtp.Client) -> bool:
    """Whether the connection was lost while the handshake went on, for all that the server knows.

    By TLS 1.3 we are through before it has looked at what we showed: its no comes where EHLO's answer would.
    """
    return client.step == smtp.TLS or (client.step == smtp.EHLO and bool(client.security))


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


async def _connect(
    equipment: Equipment,
    addresses: list[Address],
    route: routes.Route,
    settings: Settings,
    pool: Pool | None,
    story: Story,
) -> tuple[Address, Line]:
    """A warm connection to one of the best addresses, else the first address that lets us in."""
    way = preparing.way(route, settings)
    way.story = story
    helo = route.helo or settings.helohost

    def key_of(address: Address) -> "Key":
        return pools.key_of(address.ip, address.name, route, way.source(address.ip), helo)

    for address in addresses:
        if pool is not None and address.preference == addresses[0].preference and (line := pool.take(key_of(address))):
            if story.is_on:
                telling.connected(story, address, warm=True)
            return address, line
    try:
        reached = await connecting.first_of(equipment, addresses, way)
    except NotOurs as error:
        raise Ended(report.bad_source(error.address)) from None
    if reached is not None:
        address, stream = reached
        if story.is_on:
            telling.connected(story, address, warm=False)
        return address, Line(key_of(address), stream)
    raise Ended(report.NO_CONNECTION)


async def _dialogue(
    equipment: Equipment,
    line: Line,
    client: smtp.Client,
    speaker: "Speaker",
    address: Address,
    route: routes.Route,
    message: Message,
    patience: float,
) -> bytes:
    """Speak with the server.  speaker: the client, or who stands before it.

    Result: the message's item; empty if TLS failed that was not asked for.
    """

    async def secure(plain: Stream) -> "TlsStream":
        return await equipment.tls().secure(plain, address.name, route.fingerprint, named=route.named)

    lasting = None
    if equipment.pool is not None:
        equipment.pool.begins(line)
    try:
        lasting = await converse(line.face, speaker, message, patience, secure)
    except ConnectionLost:
        if route.tls == routes.MAY and _lost_by_tls(client):
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
