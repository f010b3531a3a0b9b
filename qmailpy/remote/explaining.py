"""Where mail for another host would go, and why, with nothing sent: what follows `remote:` in an explanation.

A delivery's own functions decide (remote/preparing, rules/routes, rules/exchangers), in its own order; here they are
only listened to. The DNS is asked as a delivery would ask it, PATIENCE for all questions of one explanation; no mail
server is called. Used by programs/qmail_explain.
"""

import asyncio

from qmailpy.disk import tcpto as table
from qmailpy.disk.home import Home
from qmailpy.remote import explained_way as ways
from qmailpy.remote import preparing
from qmailpy.remote.controls import Settings, spelled
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.explained_way import Steps, span
from qmailpy.remote.lookup import Found
from qmailpy.remote.preparing import Ended
from qmailpy.rules import exchangers, report, routes, tcpto
from qmailpy.rules.exchangers import Address
from qmailpy.rules.literal import is_always_own, literal, pack
from qmailpy.skeletons.explained_home import NOTE, UNKNOWN
from qmailpy.skeletons.explanation import Step
from qmailpy.system import clock, process
from qmailpy.verdict import Die

PATIENCE = 60.0  # seconds for the DNS, all domains of a run together
MX, HOST, ADDRESS, ALIAS = b"mx", b"host", b"address", b"cname"
_DNSCACHEIP = b"DNSCACHEIP"


class Leaving:
    """Says how mail for a domain leaves."""

    def __init__(self, home: Home, *, asks_dns: bool) -> None:
        """Its time begins to run.  asks_dns: whether the network may be asked."""
        self._home, self._asks_dns = home, asks_dns
        self._until = clock.monotonic() + PATIENCE

    def __call__(self, domain: bytes, sender: bytes) -> list[Step]:
        """All steps.  sender: of the message, as routes of senders see it."""
        steps = Steps()
        try:
            if not self._home.direct:
                ways.of_queue(self._home, domain, steps)
            equipment = self._equipment()
            settings = preparing.settings(equipment)
            ways.of_line(self._home, domain, sender, settings, steps)
            route = preparing.route(domain, sender, settings)
            ways.of_route(self._home, route, settings, steps)
            ways.of_login(self._home, equipment, route, steps)
            if self._needs_dns(route.host if route.kind == routes.RELAY else domain):
                steps.say(0, NOTE, b"the DNS is not asked")
            else:
                self._ask(_Hosts(self._home, equipment, settings, route, steps), domain, steps)
        except Ended as ended:
            steps.end(ended.report)
        except Die as death:
            steps.say(0, UNKNOWN, death.text)
        return steps

    def _equipment(self) -> Equipment:
        equipment = Equipment(self._home)
        if self._home.direct:
            from qmailpy.system.hosts import HostsResolver

            equipment.use_resolver(HostsResolver(process.environment()))
        return equipment

    def _needs_dns(self, name: bytes) -> bool:
        return not self._asks_dns and literal(name) is None

    def _ask(self, hosts: "_Hosts", domain: bytes, steps: Steps) -> None:
        """Errors: Ended."""

        async def run() -> None:
            async with asyncio.timeout(max(self._until - clock.monotonic(), 0)):
                await hosts.of(domain)

        try:
            asyncio.run(run())
        except TimeoutError:
            steps.say(0, UNKNOWN, b"the DNS has had %d seconds, and there is more to ask" % PATIENCE)


class _Hosts:
    """The hosts of one domain, by one route."""

    def __init__(self, home: Home, equipment: Equipment, settings: Settings, route: routes.Route, steps: Steps) -> None:
        self._home, self._equipment, self._route, self._steps = home, equipment, route, steps
        self._way, self._family = preparing.way(route, settings), settings.family
        self._tries = 0  # addresses so far that would be tried
        self._tables: dict[int, bytes] = {}  # of time-outs, by the size of an address

    async def of(self, domain: bytes) -> None:
        """Everything about them.  Errors: Ended."""
        name = self._route.host if self._route.kind == routes.RELAY else domain
        if literal(name) is None:
            self._note_names(name)
        found = await preparing.look_up(self._equipment, domain, self._route)
        if literal(name) is None:
            await self._alias(0, name, of_mx=found.by_mx)
        own = preparing.own_test(self._equipment, self._route)
        usable: list[Address] = []
        ended = None
        try:
            usable = preparing.usable(self._equipment, found, self._route, self._family)
        except Ended as error:
            ended = error
        nearest = exchangers.nearest_own(found.addresses, own)
        for group in exchangers.together(found.addresses):
            self._left_out(found, group[0].preference)
            self._head(group[0], found, name)
            if found.by_mx and group[0].name != group[0].ip:
                await self._alias(1, group[0].name, of_mx=False)
            for address in group:
                self._address(address, usable, nearest, own)
        self._left_out(found, 1 << 16)
        if found.more:
            self._steps.say(0, NOTE, b"there are %d more MX records, which are not looked at" % found.more)
        if ended is not None:
            raise ended
        self._troubles(usable)

    def _note_names(self, name: bytes) -> None:
        """What is not to be seen in the name, and who is asked."""
        other = spelled(name)
        if other:
            self._steps.say(0, NOTE, b"its name in the DNS is " + other, name=other)
        server = process.environment().get(_DNSCACHEIP, b"")
        if server:
            text = b"$DNSCACHEIP says here that %s is asked; qmail-start may have been told of another one" % server
            self._steps.say(0, NOTE, text, server=server)

    async def _alias(self, depth: int, name: bytes, *, of_mx: bool) -> None:
        end = await self._equipment.resolver().alias(name, of_mx=of_mx)
        if end:
            self._steps.say(depth, ALIAS, b"%s is an alias (CNAME) of %s" % (name.rstrip(b"."), end), name=end)

    def _head(self, address: Address, found: Found, name: bytes) -> None:
        """An exchanger, or the host itself."""
        if found.by_mx:
            self._steps.say(
                0,
                MX,
                b"%d %s%s" % (address.preference, address.name, self._among(address.preference, found)),
                preference=address.preference,
                name=address.name,
            )
            return
        text = address.name
        if self._route.kind == routes.BY_MX and literal(name) is None:
            text += b" itself, which has no MX"
        self._steps.say(0, HOST, text, name=address.name)

    def _among(self, preference: int, found: Found) -> bytes:
        names = {address.name for address in found.addresses if address.preference == preference}
        names |= {exchanger.name for exchanger, _ in found.missing if exchanger.preference == preference}
        return (
            b", one of %d with this preference, in an order that chance decides" % len(names) if len(names) > 1 else b""
        )

    def _address(self, address: Address, usable: list[Address], nearest: int, own: "exchangers.IsOwn") -> None:
        ip = address.ip
        facts: dict[str, bytes | int] = {"ip": ip, "family": exchangers.family_of(ip), "port": self._route.port}
        if own(ip):
            text = b"%s is this machine: mail would come back, from here and from all that are no better" % ip
        elif address.preference >= nearest:
            text = ip + b" is not tried: it is no better than this machine"
        elif self._family not in (0, exchangers.family_of(ip)):
            text = b"%s is not tried: control/outgoingfamily is %d" % (ip, self._family)
        elif not any(one is address for one in usable):
            is_twice = any(one.ip == ip for one in usable)
            text = ip + (b", as above" if is_twice else b" is not tried: there are enough before it")
        else:
            text = self._tried(address, facts)
        self._steps.say(1, ADDRESS, text, **facts)

    def _tried(self, address: Address, facts: dict[str, bytes | int]) -> bytes:
        """The words for an address that a delivery may come to; adds to its facts."""
        words = [b"%s port %d" % (address.ip, self._route.port)]
        wanted = self._way.source(address.ip)
        source = wanted or self._equipment.source_for(address.ip) or b""
        words.append(b"from " + source if source else b"to which there is no way from here")
        if wanted:
            words[-1] += b" (source= in the route)" if wanted == self._route.source else b" (control/outgoingip)"
        if self._route.tls != routes.NONE:
            name = b"" if address.name == address.ip else address.name
            words.append(b"TLS to the name " + name if name else b"TLS without a name")
            if self._route.named:
                words[-1] += (
                    b", which its certificate must have" if name else b", its address must stand in its certificate"
                )
            facts["sni"] = name
        facts["source"] = source
        alone = self._alone(address.ip, facts)
        if alone:
            words.append(alone)
        if not facts.get("alone"):
            self._tries += 1
            facts["try"] = self._tries
        return b", ".join(words)

    def _alone(self, ip: bytes, facts: dict[str, bytes | int]) -> bytes:
        """What is remembered of it."""
        if self._home.direct:
            return b""
        packed = pack(ip)
        known = self._tables.get(len(packed))
        if known is None:
            known = self._tables[len(packed)] = table.look(self._home, len(packed))
        said = tcpto.silent(known, packed, clock.now(), self._way.longest)
        if said is None:
            return b""
        count, past, least, most = said
        facts["timeouts"], facts["last"] = count, past
        text = b"timed out %s, %s ago" % (b"once" if count == 1 else b"%d times" % count, span(past))
        if least:
            facts["alone"] = least
            until = span(least) if least == most else b"%s to %s" % (span(least), span(most))
            text += b": left alone for %s more" % until
        elif most:
            text += b": perhaps left alone, for at most %s more" % span(most)
        return text

    def _left_out(self, found: Found, until: int) -> None:
        """Exchangers without an address, of a better preference than this one, that have not been said yet."""
        for exchanger, may_come in [one for one in found.missing if one[0].preference < until]:
            text = b"the DNS does not say its address now" if may_come else b"it has no address, and is left out"
            text = b"%d %s: %s" % (exchanger.preference, exchanger.name, text)
            self._steps.say(0, MX, text, preference=exchanger.preference, name=exchanger.name)
        found.missing = [one for one in found.missing if one[0].preference >= until]

    def _troubles(self, usable: list[Address]) -> None:
        """What would keep a delivery from all of them."""
        if not self._home.direct and not all(self._tables.values()):
            self._steps.say(0, NOTE, b"which hosts timed out lately cannot be read: lock/tcpto, by root and qmailr")
        if not self._tries:
            self._steps.end(report.NO_CONNECTION)
            return
        on_interface = self._equipment.own_test()
        for source in {self._way.source(address.ip) for address in usable} - {b""}:
            if not (is_always_own(source) or on_interface(source)):
                self._steps.end(report.bad_source(source))
