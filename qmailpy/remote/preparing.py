"""What a delivery to another host decides before anybody is called: settings, route, addresses.

remote/delivery and remote/attempts go on from here, and remote/explaining says what they would go on with: the same
functions, so that the two cannot disagree. Who cannot go on gets Ended, with the report that a delivery would print.
"""

from qmailpy.remote import lookup
from qmailpy.remote.connecting import Way
from qmailpy.remote.controls import Settings
from qmailpy.remote.equipment import Equipment
from qmailpy.rules import exchangers, literal, report, routes, tcpto
from qmailpy.rules.exchangers import Address
from qmailpy.rules.smtp_address import is_clean_name
from qmailpy.verdict import Die


class Ended(Exception):
    """The delivery has ended before there was a dialogue.  report: what to print."""

    def __init__(self, text: bytes) -> None:
        """As above."""
        super().__init__(text)
        self.report = text


def settings(equipment: Equipment) -> Settings:
    """What the control files say, as far as a delivery can begin with it.  Errors: Ended."""
    try:
        found = equipment.controls.settings()
    except Die:
        raise Ended(report.NO_CONTROLS) from None
    if found is None:
        raise Ended(report.NO_CONTROLS)
    if not is_clean_name(found.helohost):
        raise Ended(report.BAD_HELOHOST)
    for source in found.sources:
        if literal.ipv4(source) is None and literal.ipv6(source) is None:
            raise Ended(report.bad_source(report.printable(source)))
    return found


def route(host: bytes, sender: bytes, found: Settings) -> routes.Route:
    """By which way mail for this host, of this sender, leaves.  Errors: Ended, also where a route refuses it."""
    try:
        chosen = found.route(host, sender)
    except routes.BadRoute as bad:
        raise Ended(report.bad_route(host, bad.reason)) from None
    if chosen.kind == routes.ERROR:
        raise Ended(report.refused_by_route(chosen.text))
    return chosen


def way(chosen: routes.Route, found: Settings) -> Way:
    """How the addresses of this route are called."""
    longest = tcpto.PATIENT if chosen.kind == routes.RELAY else 0
    sources = [chosen.source, *found.sources] if chosen.source else found.sources
    return Way(chosen.port, found.timeoutconnect, longest, sources)


async def look_up(equipment: Equipment, host: bytes, chosen: routes.Route) -> lookup.Found:
    """All addresses where mail for this host could go, in their order.  Errors: Ended."""
    name = chosen.host if chosen.kind == routes.RELAY else host
    look = lookup.of_relay if chosen.kind == routes.RELAY else lookup.by_mx
    try:
        return await look(equipment, name)
    except lookup.NoSuchHost:
        if chosen.kind == routes.RELAY:  # the administrator's slip, or the relay's: the sender's mail waits
            raise Ended(report.no_such_relay(name)) from None
        raise Ended(report.no_such_host(name)) from None
    except lookup.NullMX:
        raise Ended(report.no_mail_there(name)) from None
    except lookup.Unknown:
        raise Ended(report.NO_ANSWER_YET) from None
    except OSError:  # out of descriptors, say
        raise Ended(report.NO_RESOURCES) from None


def usable(equipment: Equipment, found: lookup.Found, chosen: routes.Route, family: int) -> list[Address]:
    """Where to try, in this order; at least one.  family: as in Settings.  Errors: Ended."""
    if not found.addresses:
        raise Ended(report.NO_ANSWER_YET if found.doubtful else report.NO_EXCHANGER)
    is_own = own_test(equipment, chosen)
    left = exchangers.usable(found.addresses, is_own, family)
    if not left:  # a better exchanger may be among those that could not be looked up
        if family and exchangers.usable(found.addresses, is_own):
            raise Ended(report.other_family(family))
        raise Ended(report.NO_ANSWER_YET if found.doubtful else report.LOOP)
    return left


def own_test(equipment: Equipment, chosen: routes.Route) -> "exchangers.IsOwn":
    """Whether an address is ourselves: where that would be a loop. A named relay or another port is not."""
    if chosen.kind == routes.RELAY or chosen.port != routes.SMTP_PORT:
        return lambda _ip: False
    try:
        on_interface = equipment.own_test()
    except OSError:
        raise Ended(report.NO_RESOURCES) from None
    return lambda ip: literal.is_always_own(ip) or on_interface(ip)
