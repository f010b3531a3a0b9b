"""Whether a recipient exists at the next host, by asking that one as a delivery would (control/callout).

Only for mail of domains that control/rcpthosts takes from anybody and control/smtproutes sends to a host of its own,
in clear: hosts in front of another. MAIL FROM:<>, RCPT TO, and no more. Only its 5xx to RCPT is a no; whatever else
goes wrong is no answer, and the mail is taken: to keep it is what we are in front for. Answers are remembered a while
by the process that asked, and that there was none, too. Used by skeletons/recipients, in a process that may wait.
"""

import asyncio

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import relay, routes, smtp_address
from qmailpy.rules.existing import KNOWN, UNCLEAR, UNKNOWN
from qmailpy.rules.literal import literal
from qmailpy.skeletons.relaying import morercpthosts
from qmailpy.system import clock, dns, net, process
from qmailpy.wire import smtp

LONGEST = 15.0  # seconds for all of it
FOR_CONNECTION = 5.0  # seconds for each address
MOST_ADDRESSES = 3
_SECONDS = {KNOWN: 300.0, UNKNOWN: 60.0, UNCLEAR: 30.0}  # that an answer is remembered


class Memory:
    """A few answers for a short while."""

    MOST = 5000  # answers

    def __init__(self) -> None:
        """Nothing is known."""
        self._answers: dict[bytes, tuple[float, bytes]] = {}

    def recall(self, key: bytes) -> bytes | None:
        """What was answered not long ago."""
        until, answer = self._answers.get(key, (0.0, b""))
        return answer if until > clock.monotonic() else None

    def keep(self, key: bytes, answer: bytes) -> bytes:
        """The answer, which is remembered from now on."""
        if len(self._answers) >= self.MOST:
            self._answers = {}
        self._answers[key] = (clock.monotonic() + _SECONDS[answer], answer)
        return answer


_MEMORY = Memory()  # of the process, as questions may have one: what is in it is nobody's in particular


def ask(home: Home, recipient: bytes) -> bytes:
    """KNOWN, UNKNOWN or UNCLEAR.  recipient: with a host.  Errors: Die TEMP for a control file; OSError."""
    route = _route(home, recipient)
    address = smtp_address.smtp_address(recipient)
    if route is None or address is None:
        return UNCLEAR
    host = b"%s:%d" % (route.host, route.port)  # an @ is in none
    remembered = _MEMORY.recall(host) or _MEMORY.recall(recipient)
    if remembered is not None:
        return remembered
    name = control.line_or_me(home, "helohost", b"localhost") or b"localhost"
    answer = asyncio.run(_converse(route, name, address))
    return _MEMORY.keep(host if answer == UNCLEAR else recipient, answer)


def _route(home: Home, recipient: bytes) -> routes.Route | None:
    """Where to ask; None where nobody is asked."""
    hosts = control.listing(home, "rcpthosts")
    if hosts is None or not _is_ours(home, recipient, frozenset(host.lower() for host in hosts)):
        return None
    known = control.colon_map(home, "smtproutes") or {}
    known.pop(b"", None)  # the smarthost for everything is behind us, not in front
    try:
        route = routes.find_route(relay.domain_of(recipient) or b"", known)
    except routes.BadRoute:
        return None
    in_clear = route.tls in (routes.NONE, routes.MAY) and not route.login
    return route if route.kind == routes.RELAY and in_clear else None


def _is_ours(home: Home, recipient: bytes, hosts: frozenset[bytes]) -> bool:
    return relay.is_allowed(recipient, hosts) or bool(morercpthosts(home, relay.domain_of(recipient) or b""))


async def _converse(route: routes.Route, name: bytes, recipient: bytes) -> bytes:
    try:
        async with asyncio.timeout(LONGEST):
            for address in (await _addresses(route.host))[:MOST_ADDRESSES]:
                if route.port == routes.SMTP_PORT and net.own_test()(address):
                    return UNCLEAR  # we would ask ourselves, and that one would ask us
                try:
                    stream = await net.connect(address, route.port, FOR_CONNECTION)
                except OSError:
                    continue
                try:
                    return await _ask(stream, smtp.Client(name, b"", [recipient], tls=smtp.NEVER, whole=True))
                finally:
                    stream.close(smtp.QUIT)
    except (TimeoutError, OSError, net.ConnectionLost):
        return UNCLEAR
    return UNCLEAR


async def _ask(stream: net.Stream, client: smtp.Client) -> bytes:
    """As far as the answer to RCPT; DATA is not said."""
    while not client.answers and client.step != smtp.DONE:
        words = client.hear(await stream.receive())
        if words and not client.answers and client.step != smtp.DONE:
            await stream.send(words)
    if not client.answers:
        return UNCLEAR
    code = client.answers[0].code
    if 200 <= code < 300:
        return KNOWN
    return UNKNOWN if 500 <= code < 600 else UNCLEAR


async def _addresses(host: bytes) -> list[bytes]:
    """Canonical.  None where the name has none, or the DNS does not say."""
    in_digits = literal(host)
    if in_digits is not None:
        return [in_digits]
    resolver = dns.Resolver(process.environment())
    found: list[bytes] = []
    for question in (resolver.a, resolver.aaaa):
        try:
            found += await question(host)
        except (dns.Hard, dns.Soft):
            continue
    return found
