"""One delivery to another host, from its name to the report: the order of spec/06 1.

What is asked for is looked at here; remote/attempts does it. The result is what qmail-remote prints. Any number of
these run in one event loop; they share an Equipment.
"""

from qmailpy.disk.home import Home
from qmailpy.remote.attempts import Ended, Letter, by_route
from qmailpy.remote.controls import Settings
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.session import Message, Unreadable
from qmailpy.rules import literal, report, routes
from qmailpy.rules.smtp_address import is_clean_name, smtp_address
from qmailpy.verdict import Die


async def deliver(
    home: Home,
    host: bytes,
    sender: bytes,
    recipients: list[bytes],
    message_fd: int,
    equipment: Equipment | None = None,
    *,
    whole: bool = False,
) -> bytes:
    """Deliver one message to recipients at one host.

    host: a name or an address in digits; sender, recipients: envelope addresses; message_fd: is left open, and where
    it stands if it can seek; equipment: what deliveries of a process share; whole: nobody gets the message unless the
    server takes every recipient.
    Result: items, each ended by NUL (spec/03 7).  Errors: none but bugs and being cancelled.
    """
    equipment = equipment or Equipment(home)
    try:
        settings = _settings(equipment)
        route = _route(host, sender, settings)
        path, sayable = _envelope(sender, recipients, whole=whole)
        message = Message(message_fd)
        return await by_route(equipment, settings, route, host, Letter(path, sayable, message, whole=whole))
    except Ended as ended:
        return ended.report
    except Unreadable:
        return report.UNREADABLE
    except MemoryError:
        return report.NO_MEMORY


def _settings(equipment: Equipment) -> Settings:
    try:
        settings = equipment.controls.settings()
    except Die:
        raise Ended(report.NO_CONTROLS) from None
    if settings is None:
        raise Ended(report.NO_CONTROLS)
    if not is_clean_name(settings.helohost):
        raise Ended(report.BAD_HELOHOST)
    for source in settings.sources:
        if literal.ipv4(source) is None and literal.ipv6(source) is None:
            raise Ended(report.bad_source(report.printable(source)))
    return settings


def _route(host: bytes, sender: bytes, settings: Settings) -> routes.Route:
    try:
        route = routes.find_route(host, settings.routes, sender, settings.by_sender)
    except routes.BadRoute as bad:
        raise Ended(report.bad_route(host, bad.reason)) from None
    if route.kind == routes.ERROR:
        raise Ended(report.refused_by_route(route.text))
    return route


def _envelope(sender: bytes, recipients: list[bytes], *, whole: bool) -> tuple[bytes, list[bytes | None]]:
    """The addresses as SMTP says them; None for a recipient that it cannot."""
    path = smtp_address(sender)
    if path is None:
        raise Ended(report.BAD_SENDER)
    sayable = [smtp_address(recipient) for recipient in recipients]
    unsayable = [address is None for address in sayable]
    if any(unsayable) if whole else all(unsayable):
        raise Ended(report.BAD_RECIPIENT * sum(unsayable) + report.NOBODY_LEFT)
    return path, sayable
