"""From a host to the addresses that may be tried: by MX, or of a relay (spec/06 2).

IPv4 and IPv6 alike; the addresses of one exchanger stand in the order of rules/address_order.
"""

import asyncio

from qmailpy.rules import address_order, exchangers
from qmailpy.rules.exchangers import Address, Exchanger
from qmailpy.rules.literal import literal
from qmailpy.system import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.remote.equipment import Equipment
    from qmailpy.system.dns import Resolver

AT_ONCE = 8  # exchangers of one host that are looked up at the same time
ENOUGH = 60.0  # seconds after which no other exchangers are looked up: the rest counts as not known
LATE = 5.0  # seconds that one family's addresses are waited for when the other's are known
LOCALHOST, LOOPBACK = b"localhost", (b"127.0.0.1", b"::1")  # RFC 6761 6.3
MOST = 64  # addresses of one family that are taken of one name: an answer has room for thousands


class NoSuchHost(Exception):
    """The DNS knows no such name, or none with an address."""


class NullMX(Exception):
    """The host says that it takes no mail (RFC 7505)."""


class Unknown(Exception):
    """The DNS did not say; later it may."""


class Found:
    """Addresses in the order in which they are tried.

    doubtful: not every exchanger could be looked up; by_mx: whether there are MX records; missing: exchangers without
    an address, each with whether the DNS may have one later; more: MX records beyond those that are looked up.
    """

    __slots__ = ("addresses", "by_mx", "doubtful", "missing", "more")

    def __init__(self, addresses: list[Address], *, by_mx: bool = False, more: int = 0) -> None:
        """addresses: may be empty if no exchanger has one."""
        self.addresses, self.by_mx, self.more = addresses, by_mx, more
        self.doubtful = False
        self.missing: list[tuple[Exchanger, bool]] = []


async def of_relay(equipment: "Equipment", name: bytes) -> Found:
    """The addresses of this very host; localhost is this one, whatever the DNS says.  Errors: NoSuchHost, Unknown."""
    if name.lower().rstrip(b".") == LOCALHOST:
        return Found([Address(0, ip, LOCALHOST) for ip in address_order.in_order(list(LOOPBACK), equipment.source_for)])
    return Found([Address(0, ip, _named(name)) for ip in await _addresses(equipment, name)])


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
    ordered = exchangers.in_order(found, equipment.choose)
    return await _of_exchangers(equipment, ordered, len(found) - len(ordered))


async def _of_exchangers(equipment: "Equipment", ordered: list[Exchanger], more: int) -> Found:
    found = Found([], by_mx=True, more=more)
    until = clock.monotonic() + ENOUGH
    for at in range(0, len(ordered), AT_ONCE):
        some = ordered[at : at + AT_ONCE]
        if clock.monotonic() >= until:
            found.missing += [(exchanger, True) for exchanger in some]
            continue
        answers = await asyncio.gather(
            *(_addresses(equipment, exchanger.name) for exchanger in some), return_exceptions=True
        )
        for exchanger, answer in zip(some, answers, strict=True):
            if isinstance(answer, list):
                named = _named(exchanger.name)
                found.addresses += [Address(exchanger.preference, ip, named) for ip in answer]
            elif isinstance(answer, Unknown | NoSuchHost):
                found.missing.append((exchanger, isinstance(answer, Unknown)))
            else:
                raise answer
    found.doubtful = any(may_come for _, may_come in found.missing)
    return found


def _named(name: bytes) -> bytes:
    """A name that a certificate may have; empty where it is an address."""
    return b"" if literal(name) is not None else name.rstrip(b".")


async def _addresses(equipment: "Equipment", name: bytes) -> list[bytes]:
    """In the order in which they are tried.  Errors: NoSuchHost, only if the DNS is sure of both; Unknown."""
    in_digits = literal(name)
    if in_digits is not None:
        return [in_digits]
    from qmailpy.system import dns

    found: list[bytes] = []
    doubtful = False
    for answer in await _of_both_families(equipment.resolver(), name):
        if isinstance(answer, list):
            found += [ip for text in answer[:MOST] if (ip := literal(text if b":" not in text else b"[%s]" % text))]
        elif answer is None or isinstance(answer, dns.Soft):
            doubtful = True
        elif not isinstance(answer, dns.Hard):
            raise answer
    if found:
        return address_order.in_order(found, equipment.source_for)
    raise Unknown if doubtful else NoSuchHost


async def _of_both_families(resolver: "Resolver", name: bytes) -> "list[list[bytes] | BaseException | None]":
    """The answers for IPv4 and IPv6, or why there is none; None: it is late, and the other one is there."""
    tasks = [asyncio.create_task(resolver.a(name)), asyncio.create_task(resolver.aaaa(name))]
    try:
        done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if late:
            is_known = any(task.exception() is None for task in done)
            await asyncio.wait(late, timeout=LATE if is_known else None)
        return [(task.exception() or task.result()) if task.done() else None for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
