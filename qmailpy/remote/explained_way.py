"""How mail for another host leaves, as far as control files say it: holds, limits, the route and its line, the login.

Of a login it says whether there is one, and nothing that stands in it. Nothing is asked of the network: that is
remote/explaining's, which uses this.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.remote.controls import Settings
from qmailpy.remote.equipment import Equipment
from qmailpy.rules import report, routes
from qmailpy.rules.shares import Shares
from qmailpy.skeletons.explained_home import BOUNCE, DEFER, NOTE
from qmailpy.skeletons.explanation import ROUTE, Step
from qmailpy.system import identity
from qmailpy.verdict import Die
from qmailpy.wire.sasl import STRONGEST_FIRST, XOAuth2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT, HELO, LOGIN = b"limit", b"helo", b"login"
CONCURRENCY, LIFETIME = 20, 604800  # as qmail-send's, where there are no such files
_HELD = b": mail for this domain is kept until the line is gone and qmail-send has had a HUP"
_LEVELS = {
    routes.NONE: b"in clear",
    routes.MAY: b"by TLS if it is offered, whoever the server is",
    routes.ENCRYPT: b"by TLS",
    routes.IMPLICIT: b"by TLS from the first byte",
}
_UNITS = ((86400, b"days"), (3600, b"hours"), (60, b"minutes"))


class Steps(list[Step]):
    """What is said, in its order."""

    def say(self, depth: int, kind: bytes, text: bytes, **facts: bytes | int) -> None:
        """One step.  facts: the same for a program; those that are empty are left out."""
        known = {key.encode("ascii"): b"%d" % one if isinstance(one, int) else one for key, one in facts.items()}
        self.append(Step(depth, kind, text, facts={key: one for key, one in known.items() if one}))

    def end(self, item: bytes) -> None:
        """What a delivery would report, if that is the end of it.  item: as rules/report's."""
        kind = BOUNCE if item.startswith(b"D") else DEFER
        self.say(0, kind, b" ".join(item[1:].rstrip(b"\0").split()))


def span(seconds: int) -> bytes:
    """A time for a reader: in the largest unit of which there are at least two."""
    for size, name in _UNITS:
        if seconds >= 2 * size:
            return b"%d %s" % (seconds // size, name)
    return b"%d second%s" % (seconds, b"" if seconds == 1 else b"s")


def of_queue(home: Home, domain: bytes, steps: Steps) -> None:
    """What qmail-send does before a delivery begins.  Errors: Die TEMP for a file that cannot be read."""
    domain = domain.lower().removesuffix(b".")
    held = control.listing(home, "holddomains") or []
    limit = Shares(control.listing(home, "concurrencydomain") or (), held).limit(domain)
    together = control.integer(home, "concurrencyremote", CONCURRENCY)
    lifetime = control.integer(home, "queuelifetime", LIFETIME)
    if Shares((), held).limit(domain) == 0:
        steps.say(0, DEFER, b"control/holddomains holds it" + _HELD)
    elif limit == 0:
        steps.say(0, DEFER, b"control/concurrencydomain gives it no deliveries" + _HELD)
    if not together:
        steps.say(0, DEFER, b"control/concurrencyremote is 0: nothing leaves this machine")
        return
    said = b"%d deliveries at a time to all hosts together (control/concurrencyremote)" % together
    if limit:
        said = b"%d at a time to this domain (control/concurrencydomain), %s" % (limit, said)
    steps.say(0, LIMIT, said, domain=limit or b"", remote=together)
    text = b"tried for %s (control/queuelifetime), then it bounces" % span(lifetime)
    steps.say(0, LIMIT, text, lifetime=lifetime)


def of_line(home: Home, host: bytes, sender: bytes, settings: Settings, steps: Steps) -> None:
    """Which line decides, if one does.  Errors: Die TEMP for a file that cannot be read."""
    found = settings.deciding(host, sender)
    if found is not None:
        is_senders, key = found
        steps.say(0, ROUTE, _cited(home, b"senderroutes" if is_senders else b"smtproutes", key))


def of_route(home: Home, route: routes.Route, settings: Settings, steps: Steps) -> None:
    """What the route means.  Errors: Die TEMP for a file that cannot be read."""
    where = b"by MX" if route.kind == routes.BY_MX else b"by the relay " + route.host
    steps.say(
        0,
        ROUTE,
        b"%s, port %d, %s" % (where, route.port, b", ".join(_manners(route))),
        by=route.kind.encode("ascii"),
        relay=route.host,
        port=route.port,
        tls=route.tls,
        verify=b"fingerprint" if route.fingerprint else b"name" if route.named else b"none",
        login=route.login,
    )
    if route.helo:
        whence = b"helo= in the route"
    else:
        whence = b"control/me" if control.line(home, "helohost") is None else b"control/helohost"
    name = route.helo or settings.helohost
    steps.say(0, HELO, b"we say that we are %s (%s)" % (name, whence), name=name)
    text = b"%s to be let in (control/timeoutconnect), %s for each answer (control/timeoutremote)" % (
        span(settings.timeoutconnect),
        span(settings.timeoutremote),
    )
    steps.say(0, LIMIT, text, connect=settings.timeoutconnect, answer=settings.timeoutremote)
    if not settings.tries_others:
        steps.say(0, NOTE, b"who lets us in and then turns us away is the last one asked (control/classicgreeting)")


def of_login(home: Home, equipment: Equipment, route: routes.Route, steps: Steps) -> None:
    """Whether there is the login that the route names, as far as who asks may know."""
    if not route.login:
        return
    ways = b"the strongest that is offered of " + b", ".join(one.name for one in STRONGEST_FIRST)
    if route.sasl:
        ways = route.sasl.upper()
    if route.sasl == XOAuth2.name.lower():
        ways += b", with a token that a program prints, which is not run now"
    if home.direct:
        steps.say(0, LOGIN, b"%s, of the caller's own file or control/smtpauth; by %s" % (route.login, ways))
        return
    try:
        equipment.login(route.login)
    except Die as death:
        if _is_the_reader(home):
            steps.end(report.bad_login(route.login, death.text))
        else:
            text = b"whether control/smtpauth has the login %s may not be known to you: ask as root" % route.login
            steps.say(0, NOTE, text)
        return
    steps.say(0, LOGIN, b"%s, which control/smtpauth has; by %s" % (route.login, ways), name=route.login)


def _is_the_reader(home: Home) -> bool:
    try:
        return identity.my_uid() == home.roles.uid["qmailr"]
    except Die:  # there are no accounts
        return False


def _manners(route: routes.Route) -> "Iterator[bytes]":
    yield _LEVELS[route.tls]
    if route.fingerprint:
        yield b"to the server with that certificate only"
    elif route.named:
        yield b"to a server that has proven its name"
    elif route.tls not in (routes.NONE, routes.MAY):
        yield b"whoever the server is"
    if route.login:
        yield b"with the login " + route.login


def _cited(home: Home, name: bytes, wanted: bytes) -> bytes:
    """The line: the last with this key is the one that counts."""
    cited = b"control/" + name
    for number, raw in enumerate((control.read(home.control(name)) or b"").split(b"\n"), 1):
        entry = raw.rstrip(b" \t")
        key, colon, _ = entry.partition(b":")
        if entry and not entry.startswith(b"#") and colon and key.lower() == wanted:
            cited = b"control/%s line %d: %s" % (name, number, entry)
    return cited
