"""What a configuration of another mail system becomes here: control files, logins, and a sentence about every key.

Pure. Each kind's translate(read, where, host) makes a Plan: read gives a file's bytes or None, where is the file or
directory to begin with, host this machine's name. Nothing is left out in silence: a key either became something, or
needs nothing here, or is lost, and its line says so. A secret is only ever in a Login.  Used by config-from.
"""

from qmailpy.rules.literal import literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    Read = Callable[[bytes], bytes | None]
    Translate = Callable[[Read, bytes, bytes], "Plan"]

BECAME, NEEDLESS, LOST, WRONG = b"became", b"needs nothing", b"NOT CARRIED", b"WRONG"

NONE, MAY, ENCRYPT, IMPLICIT = b"none", b"may", b"encrypt", b"implicit"
UNREADABLE = b"(a line)"  # of a file with passwords, that has no key: it may be a password
LONGEST_KEY = 40
_KEY = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:- "
LOGIN = b"smarthost"  # the name of the relay's login in control/smtpauth
SMTP, SUBMISSION, SUBMISSIONS = 25, 587, 465
_SERVICES = {b"smtp": SMTP, b"submission": SUBMISSION, b"smtps": SUBMISSIONS, b"submissions": SUBMISSIONS}


class Said:
    """A sentence about a key.  place: file and line, or empty; kind: one of the four words; text: a clause."""

    __slots__ = ("key", "kind", "place", "text")

    def __init__(self, place: bytes, key: bytes, kind: bytes, text: bytes) -> None:
        """None of them has a secret in it."""
        self.place, self.key, self.kind, self.text = place, key, kind, text


class Login:
    """Who we are to a relay.  name: what auth= says."""

    __slots__ = ("name", "password", "user")

    def __init__(self, name: bytes, user: bytes, password: bytes) -> None:
        """user, password: bytes without LF and NUL."""
        self.name, self.user, self.password = name, user, password


class Setting:
    """A key of their file: its value, and where it stands."""

    __slots__ = ("key", "place", "value")

    def __init__(self, key: bytes, value: bytes, place: bytes) -> None:
        """place: b"FILE line N"."""
        self.key, self.value, self.place = key, value, place


class Plan:
    """controls: name -> lines; aliases: file in alias/ -> lines; logins; said: in the order of their keys."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.controls: dict[str, list[bytes]] = {}
        self.aliases: dict[str, list[bytes]] = {}
        self.logins: list[Login] = []
        self.said: list[Said] = []
        self.secrets: list[bytes] = []  # their files with a password in it

    def became(self, setting: Setting, text: bytes) -> None:
        """It lives on.  text: as what."""
        self.said.append(Said(setting.place, setting.key, BECAME, text))

    def needless(self, setting: Setting, text: bytes) -> None:
        """It is so anyway, or means nothing here.  text: why."""
        self.said.append(Said(setting.place, setting.key, NEEDLESS, text))

    def lost(self, setting: Setting, text: bytes) -> None:
        """We cannot do that, or must not.  text: what to do instead."""
        self.said.append(Said(setting.place, setting.key, LOST, text))

    def wrong(self, place: bytes, key: bytes, text: bytes) -> None:
        """Their own program would not understand it either.  key: shown only if it looks like one."""
        is_key = not key.translate(None, _KEY) and len(key) <= LONGEST_KEY
        self.said.append(Said(place, key if is_key else UNREADABLE, WRONG, text))

    def put(self, name: str, *lines: bytes) -> None:
        """A control file with these lines."""
        self.controls[name] = list(lines)

    def add(self, name: str, line: bytes) -> None:
        """One line more in a control file that is a list."""
        lines = self.controls.setdefault(name, [])
        if line not in lines:
            lines.append(line)

    def carry(self, setting: Setting, name: str, value: bytes) -> None:
        """A key that is the same thing here: a file of one line."""
        if not is_line(value):
            self.wrong(setting.place, setting.key, b"a value with bytes that no name has")
            return
        self.put(name, value)
        self.became(setting, b"control/" + name.encode() + b": " + value)

    def sender(self, setting: Setting, form: bytes, *, in_header: bool) -> None:
        """Every sender is changed.  form: host or @host, user@, or user@host; in_header: From too, not only MAIL."""
        if not is_line(form) or not form.strip(b"@") or form.count(b"@") > 1 or _has_special(form):
            self.wrong(setting.place, setting.key, b"it is host, user@, @host or user@host")
            return
        line = form if in_header else b"envelope " + form
        self.add("masquerade", line)
        self.became(setting, b"control/masquerade: " + line)

    def generic(self, setting: Setting, key: bytes, address: bytes) -> None:
        """An address (user, @host or user@host) has another one outside, in envelope and header."""
        if not (is_line(key + address) and key.strip(b"@") and address.strip(b"@")) or _has_special(key + address):
            self.wrong(setting.place, setting.key, b"no address")
            return
        self.add("generic", key + b":" + address)
        self.became(setting, b"control/generic: " + key + b":" + address)


def _has_special(text: bytes) -> bool:
    return text.translate(None, b':<>(),;"\\') != text


class Relay:
    """Where mail goes, as far as it is known already.

    tls: NONE, MAY, ENCRYPT (by STARTTLS) or IMPLICIT; verified: whether the certificate must be the host's;
    fingerprint: of the only certificate that is right, or empty; login: None where none is wanted.
    """

    __slots__ = ("fingerprint", "host", "login", "port", "tls", "verified")

    def __init__(self, host: bytes = b"", port: int = SMTP, tls: bytes = NONE) -> None:
        """As above."""
        self.host, self.port, self.tls = host, port, tls
        self.verified = False
        self.fingerprint = b""
        self.login: Login | None = None

    @property
    def level(self) -> bytes:
        """tls=... with what belongs to it, as control/smtproutes says it."""
        if self.fingerprint:
            return b"tls=%s fingerprint=%s" % (IMPLICIT if self.tls == IMPLICIT else b"fingerprint", self.fingerprint)
        if self.verified and self.tls in (ENCRYPT, IMPLICIT):
            return b"tls=" + (IMPLICIT if self.tls == IMPLICIT else b"verify")
        if self.tls == IMPLICIT or (self.tls == ENCRYPT and self.login is not None):
            return b"tls=" + self.tls + b" verify=no"
        return b"tls=" + self.tls

    def value(self) -> bytes:
        """What stands behind the domain's colon in control/smtproutes."""
        login = b"" if self.login is None else b" auth=" + self.login.name
        return b"%s:%d %s%s" % (self.host, self.port, self.level, login)


def relay_all(plan: Plan, setting: Setting, relay: Relay, key: bytes = b"", name: str = "smtproutes") -> bool:
    """All mail for key (empty: all that is not local) goes there.  Result: whether it can.

    name: of the control file; in senderroutes key is a sender.
    """
    host = host_of(relay.host)
    if host is None:
        plan.wrong(setting.place, setting.key, b"this is no host")
        return False
    relay.host = host
    if relay.login is not None and not is_secret(relay.login):
        plan.wrong(setting.place, setting.key, b"its login is not whole, or has bytes that no login has")
        return False
    if relay.login is not None and relay.tls in (NONE, MAY) and not host.startswith((b"127.", b"[::1]")):
        plan.lost(setting, b"a login without TLS: it is said to nobody who cannot do TLS")
        relay.tls = ENCRYPT
    line = key + b":" + relay.value()
    plan.add(name, line)
    plan.became(setting, b"control/" + name.encode() + b": " + line)
    if relay.login is not None and relay.login not in plan.logins:
        plan.logins.append(relay.login)
    return True


def is_secret(login: Login) -> bool:
    """Whether control/smtpauth can hold it."""
    both = login.user + login.password
    has_all = bool(login.user and login.password) and b":" not in login.user
    return has_all and not any(byte in both for byte in (0, 10, 13))


def host_of(name: bytes) -> bytes | None:
    """A relay as a route writes it, an IPv6 address in brackets; None for what is no host."""
    bare = name[1:-1] if name.startswith(b"[") and name.endswith(b"]") else name
    bare = bare[5:] if bare.lower().startswith(b"ipv6:") else bare
    if b":" in bare:
        return b"[" + bare + b"]" if literal(b"[" + bare + b"]") is not None else None
    return bare if bare and is_line(bare) and not any(byte in bare for byte in b'/@#<>()"\\,[]') else None


def split_port(text: bytes, default: int) -> tuple[bytes, int | None]:
    """host, host:port or [host]:port, port being a number or a service.  Result: port None where it is neither."""
    if text.startswith(b"["):
        inside, _, behind = text[1:].partition(b"]")
        host, colon, port = b"[" + inside + b"]", behind[:1], behind[1:]
    elif text.count(b":") > 1:  # an IPv6 address without brackets
        host, colon, port = text, b"", b""
    else:
        host, colon, port = text.partition(b":")
    return host, port_of(port) if colon and port else default


def port_of(text: bytes) -> int | None:
    """A port by number or by its service's name; None for neither."""
    if text in _SERVICES:
        return _SERVICES[text]
    return int(text) if text.isdigit() and len(text) < 6 and 0 < int(text) < 65536 else None


def is_line(value: bytes) -> bool:
    """Whether it can be a value of a control file: something printable without blanks."""
    return bool(value) and all(byte > 32 and byte != 127 for byte in value)


def keep_no_mailbox(plan: Plan, me: bytes) -> None:
    """Nothing is delivered on this machine: not even mail for its own name, which goes to the relay."""
    plan.put("locals")
    plan.put("rcpthosts", me)


def keep_own_mail(plan: Plan, *names: bytes) -> None:
    """These names are delivered here, and SMTP clients may send to them."""
    plan.put("locals", *dict.fromkeys(names))
    plan.put("rcpthosts", *dict.fromkeys(names))


def one_address(plan: Plan, box: bytes, domains: list[bytes], target: bytes) -> None:
    """Mail for box at these domains (all of a domain, if box is empty) goes to one address, accounts or not.

    By a virtual domain of alias': a line there comes before every account of that name.
    """
    for domain in domains:
        plan.add("virtualdomains", (box + b"@" if box else b"") + domain + b":alias-imported")
    plan.aliases[".qmail-imported-" + (box.decode("ascii", "replace") if box else "default")] = [b"&" + target]


def lines_of(text: bytes, file: bytes) -> "list[tuple[bytes, bytes]]":
    """(place, line) of each line, without its end."""
    return [(b"%s line %d" % (file, number), line) for number, line in enumerate(text.split(b"\n"), 1)]


def pairs_of(
    text: bytes, file: bytes, known: "Container[bytes]", plan: Plan, whose: bytes
) -> "Iterator[tuple[bytes, bytes, bytes]]":
    """(place, key in lower case, value) of each KEY=VALUE line that is no comment.

    known: the keys; another one is put down in the plan as wrong.  whose: the program's name, for that.
    """
    for place, raw in lines_of(text, file):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        name, equals, value = line.partition(b"=")
        key = name.strip().lower()
        if not equals or key not in known:
            plan.wrong(place, UNREADABLE, whose + b" has no such setting")
        else:
            yield place, key, value.strip()


def unquote(value: bytes, *, escapes: bool) -> bytes | None:
    """A value without its double quotes, if it has any; None where they do not match.

    escapes: a backslash before a quote or a backslash means that byte.
    """
    if not value.startswith(b'"'):
        return value
    if not escapes:
        return value[1:-1] if len(value) > 1 and value.endswith(b'"') else None
    found = bytearray()
    at = 1
    while at < len(value):
        byte = value[at]
        if byte == 0x22:
            return bytes(found) if not value[at + 1 :].strip() else None
        if byte == 0x5C and at + 1 < len(value):
            at += 1
            byte = {0x6E: 0x0A, 0x74: 0x09, 0x72: 0x0D}.get(value[at], value[at])
        found.append(byte)
        at += 1
    return None
