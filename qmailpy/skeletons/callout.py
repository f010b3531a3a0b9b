"""Whether a recipient exists at the next host, by asking that one as a delivery would (control/callout).

Only for mail of domains that control/rcpthosts takes from anybody and control/smtproutes sends to a host of its own,
without a login: hosts in front of another. MAIL FROM:<>, RCPT TO, and no more. A no is 550, 551 or 553 to RCPT, unless
its status says that it is about us (5.7.x: policy); whatever else goes wrong is no answer, and the mail is taken: to
keep it is what we are in front for. It is asked in clear; by TLS where the route wants that, and where the host says
530 without it.
Answers are remembered a while by the process that asked, and that there was none, too. Used by skeletons/recipients, in
a process that may wait.
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.system.tls import Tls, TlsStream
    from qmailpy.wire.smtp_reply import Reply

LONGEST = 15.0  # seconds for all of it
FOR_CONNECTION = 5.0  # seconds for each address
MOST_ADDRESSES = 3
_NO = (550, 551, 553)  # to RCPT: other codes are about the host, the message or us
_POLICY = b"5.7."  # status of a no that is not about the address
_INSISTS = 530  # TLS first, or a login
_WAYS = {routes.NONE: smtp.NEVER, routes.MAY: smtp.NEVER, routes.ENCRYPT: smtp.MUST, routes.IMPLICIT: smtp.AT_ONCE}
_SECONDS = {KNOWN: 300.0, UNKNOWN: 60.0, UNCLEAR: 30.0}  # that an answer is remembered


class Memory:
    """A few answers for a short while."""

    MOST = 5000  # answers

    def __init__(self) -> None:
        """Nothing is known."""
        self._answers: dict[bytes, tuple[float, bytes]] = {}
        self._tls: Tls | None = None

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

    @property
    def tls(self) -> "Tls":
        """One for all conversations."""
        if self._tls is None:
            from qmailpy.system.tls import Tls  # most hosts are asked in clear

            self._tls = Tls()
        return self._tls


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
    return route if route.kind == routes.RELAY and not route.login else None


def _is_ours(home: Home, recipient: bytes, hosts: frozenset[bytes]) -> bool:
    return relay.is_allowed(recipient, hosts) or bool(morercpthosts(home, relay.domain_of(recipient) or b""))


async def _converse(route: routes.Route, name: bytes, recipient: bytes) -> bytes:
    insisting = b"tls %s:%d" % (route.host, route.port)  # of the memory: it has said so
    way = smtp.MUST if route.tls == routes.MAY and _MEMORY.recall(insisting) else _WAYS[route.tls]
    try:
        async with asyncio.timeout(LONGEST):
            for address in (await _addresses(route.host))[:MOST_ADDRESSES]:
                if route.port == routes.SMTP_PORT and net.own_test()(address):
                    return UNCLEAR  # we would ask ourselves, and that one would ask us
                client = smtp.Client(name, b"", [recipient], tls=way, whole=True)
                if not await _call(route, address, client):
                    continue
                if route.tls == routes.MAY and way == smtp.NEVER and _is_insisting(client):
                    _MEMORY.keep(insisting, KNOWN)
                    client = smtp.Client(name, b"", [recipient], tls=smtp.MUST, whole=True)
                    await _call(route, address, client)
                return _meaning(client)
    except (TimeoutError, OSError, net.ConnectionLost, net.TlsError):
        return UNCLEAR
    return UNCLEAR


async def _call(route: routes.Route, address: bytes, client: smtp.Client) -> bool:
    """As far as the answer to RCPT; DATA is not said.  Result: whether somebody is there."""
    try:
        stream: net.Stream | TlsStream = await net.connect(address, route.port, FOR_CONNECTION)
    except OSError:
        return False
    try:
        words = client.begin()
        while not client.answers and client.step != smtp.DONE:
            if client.step == smtp.TLS:
                stream = secret = await _secured(stream, route)
                words = client.secured(secret.facts, proven=secret.proven)
                continue
            if words:
                await stream.send(words)
            words = client.hear(b"")  # it may have said more at once than was read
            if not (words or client.answers or client.step in (smtp.TLS, smtp.DONE)):
                words = client.hear(await stream.receive())
    finally:
        stream.close(b"" if client.step == smtp.TLS else smtp.QUIT)  # in the midst of a handshake nothing is said
    return True


async def _secured(stream: "net.Stream | TlsStream", route: routes.Route) -> "TlsStream":
    assert isinstance(stream, net.Stream)
    return await _MEMORY.tls.secure(stream, route.host.strip(b"[]"), route.fingerprint, named=route.named)


def _is_insisting(client: smtp.Client) -> bool:
    said = _decisive(client)
    return said is not None and said.code == _INSISTS


def _decisive(client: smtp.Client) -> "Reply | None":
    return client.answers[0] if client.answers else client.final


def _meaning(client: smtp.Client) -> bytes:
    if not client.answers:
        return UNCLEAR
    said = client.answers[0]
    if 200 <= said.code < 300:
        return KNOWN
    is_about_us = said.text[4:].lstrip().startswith(_POLICY)
    return UNKNOWN if said.code in _NO and not is_about_us else UNCLEAR


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
