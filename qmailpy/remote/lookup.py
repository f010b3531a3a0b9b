"""From a host to the addresses that may be tried: by MX, or of a relay (spec/06 2).

IPv4 and IPv6 alike; the addresses of one exchanger stand in the order of rules/address_order.
"""

import asyncio

from qmailpy.rules import address_order, exchangers
from qmailpy.rules.exchangers import Address, Exchanger
from qmailpy.rules.literal import literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.remote.equipment import Equipment

AT_ONCE = 8  # exchangers of one host that are looked up at the same time


class NoSuchHost(Exception):
    """The DNS knows no such name, or none with an address."""


class NullMX(Exception):
    """The host says that it takes no mail (RFC 7505)."""


class Unknown(Exception):
    """The DNS did not say; later it may."""


class Found:
    """Addresses in the order in which they are tried.  doubtful: not every exchanger could be looked up."""

    __slots__ = ("addresses", "doubtful")

    def __init__(self, addresses: list[Address], doubtful: bool) -> None:
        """addresses: may be empty if no exchanger has one."""
        self.addresses, self.doubtful = addresses, doubtful


async def of_relay(equipment: "Equipment", name: bytes) -> Found:
    """The addresses of this very host.  Errors: NoSuchHost, Unknown."""
    return Found([Address(0, ip, _named(name)) for ip in await _addresses(equipment, name)], doubtful=False)


async def by_mx(equipment: "Equipment", name: bytes) -> Found:
    """The addresses of this host's mail exchangers; of itself if it has none.  Errors: NoSuchHost, NullMX, Unknown."""
    if literal(name) is not None:
        return await of_relay(equipment, name)
    from qmailpy.system import dns

    try:
        records = await equipment.resolver().mx(name)
    except dns.Hard:
        return await of_relay(equipment, name)
    except dns.Soft:
        raise Unknown from None
    found = [Exchanger(preference, exchanger) for preference, exchanger in records]
    if exchangers.is_null(found):
        raise NullMX
    return await _of_exchangers(equipment, exchangers.in_order(found, equipment.choose))


async def _of_exchangers(equipment: "Equipment", ordered: list[Exchanger]) -> Found:
    addresses: list[Address] = []
    doubtful = False
    for at in range(0, len(ordered), AT_ONCE):
        some = ordered[at : at + AT_ONCE]
        answers = await asyncio.gather(
            *(_addresses(equipment, exchanger.name) for exchanger in some), return_exceptions=True
        )
        for exchanger, answer in zip(some, answers, strict=True):
            if isinstance(answer, Unknown):
                doubtful = True
            elif isinstance(answer, list):
                addresses += [Address(exchanger.preference, ip, _named(exchanger.name)) for ip in answer]
            elif not isinstance(answer, NoSuchHost):
                raise answer
    return Found(addresses, doubtful)


def _named(name: bytes) -> bytes:
    """A name that a certificate may have; empty where it is an address."""
    return b"" if literal(name) is not None else name.rstrip(b".")


async def _addresses(equipment: "Equipment", name: bytes) -> list[bytes]:
    """In the order in which they are tried.  Errors: NoSuchHost, only if the DNS is sure of both; Unknown."""
    in_digits = literal(name)
    if in_digits is not None:
        return [in_digits]
    from qmailpy.system import dns

    resolver = equipment.resolver()
    answers = await asyncio.gather(resolver.a(name), resolver.aaaa(name), return_exceptions=True)
    found: list[bytes] = []
    doubtful = False
    for answer in answers:
        if isinstance(answer, list):
            found += [ip for text in answer if (ip := literal(text if b":" not in text else b"[%s]" % text))]
        elif isinstance(answer, dns.Soft):
            doubtful = True
        elif not isinstance(answer, dns.Hard):
            raise answer
    if found:
        return address_order.in_order(found, equipment.source_for)
    raise Unknown if doubtful else NoSuchHost
