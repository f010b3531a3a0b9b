"""One delivery to another host, from its name to the report: the order of spec/06 1.

Routes, addresses, loop guard, the first address that lets us in; from then on no other is tried. The result is what
qmail-remote prints. Any number of these run in one event loop; they share an Equipment.
"""

from qmailpy.disk.home import Home
from qmailpy.remote import lookup
from qmailpy.remote.controls import Settings
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.session import Message, Unreadable, converse
from qmailpy.rules import exchangers, literal, report, routes
from qmailpy.rules.exchangers import Address
from qmailpy.rules.smtp_address import is_clean_name, smtp_address
from qmailpy.system.net import ConnectionLost, Stream
from qmailpy.verdict import Die
from qmailpy.wire import smtp


class _Ended(Exception):
    """The delivery has ended before there was a dialogue.  report: what to print."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.report = text


async def deliver(
    home: Home,
    host: bytes,
    sender: bytes,
    recipients: list[bytes],
    message_fd: int,
    equipment: Equipment | None = None,
) -> bytes:
    """Deliver one message to recipients at one host.

    host: a name or an address in digits; sender, recipients: envelope addresses; message_fd: is left open, and where
    it stands if it can seek; equipment: what deliveries of a process share.
    Result: items, each ended by NUL (spec/03 7).  Errors: none but bugs and being cancelled.
    """
    equipment = equipment or Equipment(home)
    try:
        settings = _settings(equipment)
        route = _route(host, settings)
        path, sayable = _envelope(sender, recipients)
        addresses = await _addresses(equipment, host, route)
        ip, stream = await _connect(equipment, addresses, route.port, settings.timeoutconnect)
    except _Ended as ended:
        return ended.report
    except MemoryError:
        return report.NO_MEMORY
    client = smtp.Client(settings.helohost, path, [address for address in sayable if address is not None])
    last = await _dialogue(stream, client, ip, message_fd, settings.timeoutremote)
    return _items(ip, client, sayable) + last


def _settings(equipment: Equipment) -> Settings:
    try:
        settings = equipment.controls.settings()
    except Die:
        raise _Ended(report.NO_CONTROLS) from None
    if settings is None:
        raise _Ended(report.NO_CONTROLS)
    if not is_clean_name(settings.helohost):
        raise _Ended(report.BAD_HELOHOST)
    return settings


def _route(host: bytes, settings: Settings) -> routes.Route:
    try:
        route = routes.find_route(host, settings.routes)
        routes.must_be_able_to(route)
    except routes.BadRoute as bad:
        raise _Ended(report.bad_route(host, bad.reason)) from None
    if route.kind == routes.ERROR:
        raise _Ended(report.refused_by_route(route.text))
    return route


def _envelope(sender: bytes, recipients: list[bytes]) -> tuple[bytes, list[bytes | None]]:
    """The addresses as SMTP says them; None for a recipient that it cannot."""
    path = smtp_address(sender)
    if path is None:
        raise _Ended(report.BAD_SENDER)
    sayable = [smtp_address(recipient) for recipient in recipients]
    if all(address is None for address in sayable):
        raise _Ended(report.BAD_RECIPIENT * len(sayable) + report.NOBODY_LEFT)
    return path, sayable


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
            raise _Ended(report.no_such_relay(name)) from None
        raise _Ended(report.no_such_host(name)) from None
    except lookup.NullMX:
        raise _Ended(report.no_mail_there(name)) from None
    except lookup.Unknown:
        raise _Ended(report.NO_ANSWER_YET) from None
    except OSError:  # out of descriptors, say
        raise _Ended(report.NO_RESOURCES) from None
    if not found.addresses:
        raise _Ended(report.NO_ANSWER_YET if found.doubtful else report.NO_EXCHANGER)
    usable = exchangers.usable(found.addresses, _own(equipment, route))
    if not usable:  # a better exchanger may be among those that could not be looked up
        raise _Ended(report.NO_ANSWER_YET if found.doubtful else report.LOOP)
    return usable


def _own(equipment: Equipment, route: routes.Route) -> "exchangers.IsOwn":
    """Whether an address is ourselves: where that would be a loop. A named relay or another port is not."""
    if route.kind == routes.RELAY or route.port != routes.SMTP_PORT:
        return lambda _ip: False
    try:
        on_interface = equipment.own_test()
    except OSError:
        raise _Ended(report.NO_RESOURCES) from None
    return lambda ip: literal.is_always_own(ip) or on_interface(ip)


async def _connect(equipment: Equipment, addresses: list[Address], port: int, patience: float) -> tuple[bytes, Stream]:
    """The first address that lets us in."""
    for address in addresses:
        if equipment.is_dead(address.ip):
            continue
        try:
            stream = await equipment.connect(address.ip, port, patience)
        except TimeoutError:
            equipment.remember_timeout(address.ip)
        except OSError:
            equipment.remember_answer(address.ip)
        else:
            equipment.remember_answer(address.ip)
            return address.ip, stream
    raise _Ended(report.NO_CONNECTION)


async def _dialogue(stream: Stream, client: smtp.Client, ip: bytes, message_fd: int, patience: float) -> bytes:
    """Speak with the server.  Result: the message's item."""
    try:
        await converse(stream, client, Message(message_fd), patience)
    except ConnectionLost:
        return report.connection_died(ip, client)
    except Unreadable:
        return report.UNREADABLE
    finally:
        await stream.closed()
    return report.message_item(ip, client)


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
