"""Artificial routes: control/smtproutes (DESIGN 7, spec/06 1).

    domain:relay:port key=value ...     domain, .domain (what ends so) or nothing (everything)
    domain:relay                        port 25
    domain:                             no route after all: by MX
    domain::port key=value ...          by MX, but with this port and these options
    domain:error:text                   refused, with this text

relay: a name (its addresses, not its MX), 192.0.2.1 or [2001:db8::1]. Options stand only after an explicit port,
where C qmail ignores them. A route that cannot be followed as it was meant defers: mail that should be verified must
never go out unverified because of a typing error, or because this version knows less.
"""

SMTP_PORT = 25
RELAY, BY_MX, ERROR = "relay", "MX", "error"

TLS_LEVELS = (b"none", b"may", b"encrypt", b"verify", b"fingerprint", b"implicit")
KNOWN = (b"tls", b"auth")
_BLANKS = b" \t"
_NEED_PORT = b"options need a port before them, as in relay:25 tls=may"


class BadRoute(Exception):
    """The line says what cannot be done.  reason: a clause."""

    def __init__(self, reason: bytes) -> None:
        """reason: printable."""
        super().__init__(reason)
        self.reason = reason


class Route:
    """Where mail goes.  kind: RELAY, BY_MX, ERROR; host: the relay; text: of ERROR; options: as written, in order."""

    __slots__ = ("host", "kind", "options", "port", "text")

    def __init__(
        self,
        kind: str,
        host: bytes = b"",
        port: int = SMTP_PORT,
        options: "dict[bytes, bytes] | None" = None,
        text: bytes = b"",
    ) -> None:
        """port: 1..65535."""
        self.kind, self.host, self.port, self.text = kind, host, port, text
        self.options = options or {}


NO_ROUTE = Route(BY_MX)


def find_route(host: bytes, routes: dict[bytes, bytes]) -> Route:
    """The route for a host.

    routes: keys in lower case, as disk/control gives them.  The host itself, then each of its endings that begins with
    a dot, the longest first, then the empty key: the first that is present decides.  Errors: BadRoute.
    """
    host = host.lower()
    at = 0
    while True:
        value = routes.get(host[at:])
        if value is not None:
            return parse(value)
        if at >= len(host):
            return NO_ROUTE
        dot = host.find(b".", at + 1)
        at = len(host) if dot < 0 else dot


def parse(value: bytes) -> Route:
    """What stands behind the first colon of a line.  Errors: BadRoute."""
    if not value:
        return NO_ROUTE
    if value.startswith(b"error:"):
        return Route(ERROR, text=value.partition(b":")[2].strip(_BLANKS))
    relay, colon, behind = _split_relay(value)
    relay = relay.strip(_BLANKS)
    if b" " in relay or b"\t" in relay:
        raise BadRoute(_NEED_PORT)
    if any(byte < 33 or byte == 127 for byte in relay):  # an editor's CR, for one
        raise BadRoute(b"the relay has bytes that no name has")
    port, options = _port_and_options(behind) if colon else (SMTP_PORT, {})
    return Route(RELAY if relay else BY_MX, relay, port, options)


def _split_relay(value: bytes) -> tuple[bytes, bytes, bytes]:
    if not value.startswith(b"["):
        return value.partition(b":")
    inside, bracket, behind = value.partition(b"]")
    if not bracket or (behind and not behind.startswith(b":")):
        raise BadRoute(b"an address in brackets is [address] or [address]:port")
    return inside + bracket, behind[:1], behind[1:]


def _port_and_options(behind: bytes) -> tuple[int, dict[bytes, bytes]]:
    words = behind.split()
    if behind[:1] in (b" ", b"\t"):
        words.insert(0, b"")
    port = words[0] if words else b""
    if port.strip(b"0123456789") or len(port) > 5 or not 0 < int(port or b"25") < 65536:
        raise BadRoute(b"a port is a number from 1 to 65535")
    if len(words) > 1 and not port:
        raise BadRoute(_NEED_PORT)
    return int(port or b"%d" % SMTP_PORT), _options(words[1:])


def _options(words: list[bytes]) -> dict[bytes, bytes]:
    options: dict[bytes, bytes] = {}
    for word in words:
        key, equals, value = word.partition(b"=")
        if not equals or not value:
            raise BadRoute(b"an option is key=value")
        if key not in KNOWN:
            raise BadRoute(b"an option there is unknown to this version")
        if key in options:
            raise BadRoute(b"an option stands there twice")
        if key == b"tls" and value not in TLS_LEVELS:
            raise BadRoute(b"tls is one of " + b", ".join(TLS_LEVELS))
        options[key] = value
    return options


def must_be_able_to(route: Route) -> None:
    """Whether this version can do what the route asks: plain SMTP only.  Errors: BadRoute."""
    if route.options.get(b"tls", b"may") not in (b"none", b"may"):
        raise BadRoute(b"it asks for TLS, which this version does not have")
    if b"auth" in route.options:
        raise BadRoute(b"it asks for a login, which this version does not have")
