"""Artificial routes: control/smtproutes and control/senderroutes (DESIGN 7, spec/06 1).

    domain:relay:port key=value ...     domain, .domain (what ends so) or nothing (everything)
    domain:relay                        port 25
    domain:                             no route after all: by MX
    domain::port key=value ...          by MX, but with this port and these options
    domain:error:text                   refused, with this text
    sender@domain:relay:port ...        in senderroutes: mail of this sender; @domain: of all senders there

relay: a name (its addresses, not its MX), 192.0.2.1 or [2001:db8::1]. Options stand only after an explicit port,
where C qmail ignores them. A sender's route comes after every line of smtproutes that names a domain, and before the
one for everything.
    tls=none            in clear
    tls=may             by TLS if the server offers it, whoever it is; the default
    tls=encrypt         by TLS or not at all, whoever the server is
    tls=verify          and its certificate is valid for its name; the default with a login
    tls=fingerprint     and its certificate is the one whose SHA-256 is fingerprint=; the default with fingerprint=
    tls=implicit        TLS from the first byte, otherwise as verify, or as fingerprint with fingerprint=
    auth=name           log in as control/smtpauth says. Only to a server that has proven who it is: encrypt then
                        means verify, and none and may are refused unless the relay is this machine
    verify=no           with encrypt or implicit: whoever the server is, even with a login
    sasl=way            how to log in: plain, login, cram-md5, scram-sha-256; else the strongest that is offered;
                        xoauth2: what stands for the password is a command that prints a token
    helo=name           who we say that we are there, instead of control/helohost
    chunking=no         the message goes after DATA also to a server that offers CHUNKING (BDAT)
    source=address      which of our own addresses it comes from, for connections of its family
A route that cannot be followed as it was meant defers: mail that should be verified must never go out unverified
because of a typing error, or because this version knows less.
"""

from qmailpy.rules import literal
from qmailpy.rules.smtp_address import is_clean_name
from qmailpy.wire.sasl import BY_NAME

SMTP_PORT = 25
RELAY, BY_MX, ERROR = "relay", "MX", "error"

TLS_LEVELS = (b"none", b"may", b"encrypt", b"verify", b"fingerprint", b"implicit")
NONE, MAY, ENCRYPT, VERIFY, FINGERPRINT, IMPLICIT = TLS_LEVELS
KNOWN = (b"tls", b"auth", b"fingerprint", b"verify", b"helo", b"source", b"sasl", b"chunking")
SHA256 = 32  # bytes
_BLANKS = b" \t"
_NEED_PORT = b"options need a port before them, as in relay:25 tls=may"


class BadRoute(Exception):
    """The line says what cannot be done.  reason: a clause."""

    def __init__(self, reason: bytes) -> None:
        """reason: printable."""
        super().__init__(reason)
        self.reason = reason


class Route:
    """Where mail goes, and how.

    kind: RELAY, BY_MX, ERROR; host: the relay; text: of ERROR; options: as written, in order.
    What they mean: tls: NONE, MAY, ENCRYPT or IMPLICIT; named: whether the server must prove its name; fingerprint: 32
    bytes that its certificate must have, or empty; login: the name of ours, or empty; anyhow: it is said to anybody;
    sasl: of wire/sasl.BY_NAME, or empty; chunking: BDAT may be used; helo: our name there, or empty; source: canonical
    text of an address of ours, or empty.
    """

    __slots__ = (
        *("anyhow", "chunking", "fingerprint", "helo", "host", "kind", "login", "named", "options", "port", "sasl"),
        *("source", "text", "tls"),
    )

    def __init__(
        self,
        kind: str,
        host: bytes = b"",
        port: int = SMTP_PORT,
        options: "dict[bytes, bytes] | None" = None,
        text: bytes = b"",
    ) -> None:
        """port: 1..65535.  Errors: BadRoute."""
        self.kind, self.host, self.port, self.text = kind, host, port, text
        self.options = options or {}
        self.login = self.options.get(b"auth", b"")
        self.sasl = _sasl(self.options)
        self.helo = _helo(self.options)
        self.chunking = b"chunking" not in self.options
        self.source = _source(self.options)
        self.fingerprint = _fingerprint(self.options)
        level = self.options.get(b"tls") or _usual_level(self.options)
        careless = b"verify" in self.options
        _refuse_contradictions(level, self.options)
        at_home = kind == RELAY and _is_here(host)
        if self.login:
            _refuse_login(level, kind, at_home=at_home)
        self.tls = level if level in (NONE, MAY, IMPLICIT) else ENCRYPT
        proven = level in (VERIFY, IMPLICIT) or (level == ENCRYPT and bool(self.login))
        self.named = proven and not self.fingerprint and not careless
        self.anyhow = careless or (at_home and level in (NONE, MAY))


def _usual_level(options: dict[bytes, bytes]) -> bytes:
    if b"fingerprint" in options:
        return FINGERPRINT
    return VERIFY if b"auth" in options else MAY


def _fingerprint(options: dict[bytes, bytes]) -> bytes:
    if b"fingerprint" not in options:
        return b""
    digits = options[b"fingerprint"].replace(b":", b"")
    if len(digits) != 2 * SHA256 or digits.strip(b"0123456789abcdefABCDEF"):
        raise BadRoute(b"a fingerprint is the SHA-256 of a certificate, 64 hexadecimal digits")
    return bytes.fromhex(digits.decode("ascii"))


def _sasl(options: dict[bytes, bytes]) -> bytes:
    way = options.get(b"sasl", b"").lower()
    if way and (way not in BY_NAME or b"auth" not in options):
        raise BadRoute(b"sasl= goes with auth=, and is one of " + b", ".join(sorted(BY_NAME)))
    return way


def _helo(options: dict[bytes, bytes]) -> bytes:
    name = options.get(b"helo", b"")
    if name and not is_clean_name(name):
        raise BadRoute(b"helo= is a host's name")
    return name


def _source(options: dict[bytes, bytes]) -> bytes:
    if b"source" not in options:
        return b""
    address = literal.literal(options[b"source"]) or literal.ipv6(options[b"source"])
    if address is None:
        raise BadRoute(b"source= is one of this machine's addresses, in digits")
    return address


def _refuse_contradictions(level: bytes, options: dict[bytes, bytes]) -> None:
    if level == FINGERPRINT and b"fingerprint" not in options:
        raise BadRoute(b"tls=fingerprint needs fingerprint=")
    if b"fingerprint" in options and level not in (FINGERPRINT, IMPLICIT):
        raise BadRoute(b"fingerprint= goes with tls=fingerprint or tls=implicit")
    if b"verify" in options and (level not in (ENCRYPT, IMPLICIT) or b"fingerprint" in options):
        raise BadRoute(b"verify=no goes with tls=encrypt or tls=implicit")


def _refuse_login(level: bytes, kind: str, *, at_home: bool) -> None:
    """What would tell a password to whoever listens, or to whomever the DNS names."""
    if kind != RELAY:
        raise BadRoute(b"a login needs a relay, not the hosts that the DNS names")
    if level in (NONE, MAY) and not at_home:
        raise BadRoute(b"a login needs TLS: tls=verify, tls=fingerprint or tls=implicit")


def _is_here(host: bytes) -> bool:
    address = literal.literal(host)
    return address is not None and literal.is_loopback(address)


NO_ROUTE = Route(BY_MX)
_Routes = dict[bytes, bytes]


def deciding(
    host: bytes, routes: _Routes, sender: bytes, by_sender: _Routes, spelled: bytes = b""
) -> tuple[bool, bytes] | None:
    """Which line decides for a host, and a sender: whether it is a sender's, and its key; None: no line does.

    routes, by_sender: keys in lower case, as disk/control gives them; spelled: the host's name in the DNS, if that is
    another one.  The host itself, then each of its endings that begins with a dot, the longest first; the same without
    a dot at its end, and as it is spelled; the sender, then @ and the sender's host; then the empty key: the first that
    is present decides.
    """
    host, sender = host.lower(), sender.lower()
    names = (host, host.removesuffix(b"."), spelled.lower()) if spelled or host.endswith(b".") else (host,)
    for name in names:
        key = _ending(name, routes)
        if key:
            return False, key
    if by_sender and sender:
        for key in (sender, b"@" + sender.rpartition(b"@")[2]):
            if key in by_sender:
                return True, key
    return (False, b"") if b"" in routes else None


def _ending(host: bytes, routes: _Routes) -> bytes:
    at = 0
    while at < len(host):
        if host[at:] in routes:
            return host[at:]
        dot = host.find(b".", at + 1)
        at = len(host) if dot < 0 else dot
    return b""


def find_route(
    host: bytes, routes: _Routes, sender: bytes = b"", by_sender: "_Routes | None" = None, spelled: bytes = b""
) -> Route:
    """The route for a host, and a sender, as deciding() says.  Errors: BadRoute."""
    found = deciding(host, routes, sender, by_sender or {}, spelled)
    if found is None:
        return NO_ROUTE
    is_senders, key = found
    return parse((by_sender or {})[key] if is_senders else routes[key])


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
        if key == b"verify" and value != b"no":
            raise BadRoute(b"verify is no, or is not there: tls= says what is verified")
        if key == b"chunking" and value != b"no":
            raise BadRoute(b"chunking is no, or is not there")
        options[key] = value
    return options
