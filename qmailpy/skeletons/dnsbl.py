"""The question whether an address is listed, by zones of control/dnsbl (questions.PLACES).

All zones are asked at once, and the first line that fits decides. One that does not answer in time says nothing:
an address is listed only where somebody says so. The one question that loads asyncio and the DNS besides callouts.
"""

from qmailpy.disk.home import Home
from qmailpy.rules import literal
from qmailpy.rules.dnsbl import BadZone, Zone, question
from qmailpy.system import clock, process
from qmailpy.wire import netstring

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

    from qmailpy.system.dns import Resolver

LONGEST = 10.0  # seconds for all zones together
FOR_TEXT = 2.0  # seconds for the words of one that has the address


def listed(_: Home, request: bytes) -> bytes:
    """request: a list, the client's address and the lines of control/dnsbl.

    Result: a list, the zone and the reply (code and text); empty where nobody has the address.
    """
    remote, *lines = netstring.unpack(request)
    address = literal.ipv4(remote) or literal.ipv6(remote)
    zones = _zones(lines)
    if address is None or not zones:
        return b""
    import asyncio

    return asyncio.run(_find(address, zones))


def _zones(lines: list[bytes]) -> list[Zone]:
    """Those that make sense; qmail-showctl tells of the others."""
    zones = []
    for line in lines:
        try:
            zones.append(Zone(line))
        except BadZone:
            continue
    return zones


async def _find(address: bytes, zones: list[Zone]) -> bytes:
    import asyncio

    from qmailpy.system.dns import Resolver

    resolver = Resolver(process.environment())
    end = clock.monotonic() + LONGEST
    asked = [asyncio.ensure_future(_has(resolver, address, zone)) for zone in zones]
    try:
        for zone, answer in zip(zones, asked, strict=True):
            if not await _by(answer, end):
                continue
            if zone.spares:
                return b""
            own = b"" if zone.text else await _text(resolver, question(address, zone.name))
            return netstring.pack([zone.name, zone.reply(address, own)])
    finally:
        for answer in asked:
            answer.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return b""


async def _by(answer: "asyncio.Future[bool]", end: float) -> bool:
    """What it says by then; no if it says nothing."""
    import asyncio

    await asyncio.wait([answer], timeout=max(end - clock.monotonic(), 0.0))
    return answer.done() and answer.result()


async def _has(resolver: "Resolver", address: bytes, zone: Zone) -> bool:
    from qmailpy.system import dns

    try:
        answers = await resolver.a(question(address, zone.name))
    except (dns.Hard, dns.Soft):
        return False
    return any(zone.counts(answer) for answer in answers)


async def _text(resolver: "Resolver", name: bytes) -> bytes:
    import asyncio

    from qmailpy.system import dns

    try:
        async with asyncio.timeout(FOR_TEXT):
            return next(iter(await resolver.txt(name)), b"")
    except (dns.Hard, dns.Soft, TimeoutError):
        return b""
