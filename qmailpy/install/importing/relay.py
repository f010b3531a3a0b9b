"""Where mail goes by another mail system's configuration, as a route of ours.  Pure."""

from qmailpy.install.importing.plan import Login, Plan, Setting, has_special, is_line
from qmailpy.rules.literal import literal

NONE, MAY, ENCRYPT, IMPLICIT = b"none", b"may", b"encrypt", b"implicit"
_IN_NAMES = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-"
LOGIN = b"smarthost"  # the name of the relay's login in control/smtpauth
SMTP, SUBMISSION, SUBMISSIONS = 25, 587, 465
_SERVICES = {b"smtp": SMTP, b"submission": SUBMISSION, b"smtps": SUBMISSIONS, b"submissions": SUBMISSIONS}


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
    login = relay.login
    if login is not None and not is_secret(Login(login.name, login.user, login.password or b"later")):
        plan.wrong(setting.place, setting.key, b"its login is not whole, or has bytes that no login has")
        return False
    if relay.login is not None and relay.tls in (NONE, MAY) and not host.startswith((b"127.", b"[::1]")):
        plan.lost(setting, b"a login without TLS: it is said to nobody who cannot do TLS")
        relay.tls = ENCRYPT
    line = key + b":" + relay.value()
    plan.add(name, line)
    plan.became(setting, b"control/" + name.encode() + b": " + line)
    if login is not None and not login.password:
        text = b"write a line %s:%s:PASSWORD into control/smtpauth, qmailr's, mode 0400; until then its mail waits"
        plan.lost(Setting(b"password", b"", setting.place), text % (login.name, login.user))
    elif login is not None and login not in plan.logins:
        plan.logins.append(login)
    return True


def relay_sender(plan: Plan, setting: Setting, relay: Relay, sender: bytes) -> bool:
    """Mail of this sender goes there.  Result: whether it can.

    sender: an address; @domain, or *@domain, for all of a domain.
    """
    key = sender.removeprefix(b"*").lower()
    box, at, domain = key.rpartition(b"@")
    if not (at and domain and is_line(key)) or has_special(key) or b"*" in key or b"?" in key or b"@" in box:
        plan.lost(setting, b"a route goes by an address, or by @domain for all of a domain")
        return False
    return relay_all(plan, setting, relay, key, "senderroutes")


def name_of(text: bytes) -> bytes:
    """A name for a login, as auth= can say it."""
    plain = bytes(byte if byte in _IN_NAMES else 0x2D for byte in text.translate(None, b"*[]").strip(b"@"))
    return plain if plain and plain != LOGIN else LOGIN + b"-" + (plain or b"other")


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
