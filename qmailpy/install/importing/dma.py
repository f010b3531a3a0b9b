"""dma: dma.conf and auth.conf (spec/10-neighbours.md c1).

A line is NAME and the rest; a # anywhere begins a comment. dma splits at the first blank and keeps what follows as it
is, so that `SMARTHOST  host` does not work there; here blanks around a value are none of it, as everybody meant it.
"""

from qmailpy.install.importing.plan import Login, Plan, Setting, keep_no_mailbox, keep_own_mail, lines_of
from qmailpy.install.importing.relay import ENCRYPT, IMPLICIT, LOGIN, MAY, SMTP, Relay, port_of, relay_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

USUAL = (b"/etc/dma",)
_CONF, _AUTH = b"dma.conf", b"auth.conf"
_BOOLEANS = frozenset(
    (
        *(b"SECURETRANSFER", b"STARTTLS", b"OPPORTUNISTIC_TLS", b"VERIFYCERT", b"INSECURE", b"DEFER", b"FULLBOUNCE"),
        b"NULLCLIENT",
    )
)
_VALUED = frozenset(
    (
        *(b"SMARTHOST", b"PORT", b"ALIASES", b"SPOOLDIR", b"AUTHPATH", b"FINGERPRINT", b"CERTFILE", b"MAILNAME"),
        b"MASQUERADE",
    )
)
_NEEDLESS = {
    b"SPOOLDIR": b"the queue is in the home; what waits in dma's is sent by `dma -q` before dma is removed",
    b"FULLBOUNCE": b"a bounce has the whole message",
}
_DIGITS = 64  # of a SHA-256
_HEX = b"0123456789abcdefABCDEF"


def parse(text: bytes, file: bytes, plan: Plan) -> dict[bytes, Setting]:
    """The settings of a dma.conf, the last of equal names; what is no setting is told to the plan."""
    found: dict[bytes, Setting] = {}
    for place, raw in lines_of(text, file):
        line = raw.partition(b"#")[0].rstrip()
        if not line:
            continue
        if line[:1] in (b" ", b"\t"):
            plan.wrong(place, line.split()[0], b"the line begins with a blank: dma does not read it")
            continue
        name, _, value = line.replace(b"\t", b" ").partition(b" ")
        value = line[len(name) :].strip()
        if name not in _BOOLEANS and name not in _VALUED:
            plan.wrong(place, name, b"dma has no such setting")
        elif name in _BOOLEANS and value:
            plan.wrong(place, name, b"it takes no value")
        elif name in _VALUED and not value:
            plan.wrong(place, name, b"its value is missing")
        else:
            found[name] = Setting(name, value, place)
    return found


def parse_auth(text: bytes, file: bytes, plan: Plan) -> dict[bytes, tuple[bytes, bytes]]:
    """Host -> (user, password) of an auth.conf: user|host:password.  The last line of a host is dma's choice, too."""
    found: dict[bytes, tuple[bytes, bytes]] = {}
    for place, line in lines_of(text, file):
        if not line.rstrip(b"\r") or line.startswith(b"#"):
            continue
        user, _, rest = line.partition(b"|")
        length = next((at for at, byte in enumerate(rest) if byte in b":| \t"), len(rest))
        host, password = rest[:length], rest[length + 1 :]
        if user and host and password:
            found[host] = (user, password)
        else:
            plan.wrong(place, b"(a login)", b"it is user|host:password")
    return found


def translate(read: "Read", where: bytes, host: bytes) -> Plan:
    """where: the directory of dma.conf, or that file."""
    plan = Plan()
    file = where if where.rpartition(b"/")[2].endswith(b".conf") else where.rstrip(b"/") + b"/" + _CONF
    found = parse(read(file) or b"", file, plan)
    me = _name(read, plan, found.get(b"MAILNAME"), host)
    relay = _relay(read, plan, found)
    if b"NULLCLIENT" in found:
        if relay is None:
            plan.wrong(found[b"NULLCLIENT"].place, b"NULLCLIENT", b"it needs SMARTHOST")
        keep_no_mailbox(plan, me)
        plan.became(found[b"NULLCLIENT"], b"control/locals: empty, so that all mail goes to the relay")
    else:
        keep_own_mail(plan, me, b"localhost")
        _aliases(plan, found.get(b"ALIASES"))
    if b"MASQUERADE" in found:
        plan.sender(found[b"MASQUERADE"], found[b"MASQUERADE"].value, in_header=False)
    if b"DEFER" in found:
        plan.lost(
            found[b"DEFER"], b"mail is sent as soon as it can be; to keep it, stop qmail-send and let qmail-queued run"
        )
    for name, text in _NEEDLESS.items():
        if name in found:
            plan.needless(found[name], text)
    return plan


def _name(read: "Read", plan: Plan, setting: Setting | None, host: bytes) -> bytes:
    """Our name: MAILNAME, or the first line of the file that it names, or the machine's."""
    if setting is None:
        plan.put("me", host)
        return host
    name = setting.value
    if name.startswith(b"/"):
        name = (read(name) or b"").partition(b"\n")[0].strip()
    if not name:
        plan.wrong(setting.place, setting.key, setting.value + b" is not there, or empty")
        name = host
    plan.carry(setting, "me", name)
    return name


def _aliases(plan: Plan, setting: Setting | None) -> None:
    if setting is None:
        return
    if setting.value == b"/etc/aliases":
        plan.needless(setting, b"it is read if alias/.qmail-default says |qmail-aliases")
        return
    plan.put("aliasfile", setting.value)
    plan.became(setting, b"control/aliasfile, which is read if alias/.qmail-default says |qmail-aliases")


def _relay(read: "Read", plan: Plan, found: dict[bytes, Setting]) -> Relay | None:
    setting = found.get(b"SMARTHOST")
    if setting is None:
        for name in (b"PORT", b"AUTHPATH", b"INSECURE"):
            if name in found:
                plan.needless(found[name], b"it is about SMARTHOST, and there is none")
        _tls(plan, found, Relay())
        return None
    relay = Relay(setting.value)
    if b"PORT" in found:
        port = port_of(found[b"PORT"].value)
        if port is None:
            plan.wrong(found[b"PORT"].place, b"PORT", b"a port is a number from 1 to 65535")
        else:
            plan.became(found[b"PORT"], b"the port of control/smtproutes")
        relay.port = port or SMTP
    _tls(plan, found, relay)
    _login(read, plan, found, relay)
    return relay if relay_all(plan, setting, relay) else None


def _tls(plan: Plan, found: dict[bytes, Setting], relay: Relay) -> None:
    """The level: none; implicit (SECURETRANSFER alone); encrypt (with STARTTLS), may if that is opportunistic."""
    secure = found.get(b"SECURETRANSFER")
    names = (b"STARTTLS", b"OPPORTUNISTIC_TLS", b"VERIFYCERT", b"FINGERPRINT", b"CERTFILE")
    rest = [found[name] for name in names if name in found]
    if secure is None or not relay.host:
        why = b"it needs SECURETRANSFER" if relay.host else b"without SMARTHOST TLS is used where it is offered"
        for setting in [*([secure] if secure is not None else []), *rest]:
            plan.needless(setting, why)
        return
    relay.tls = IMPLICIT
    if b"STARTTLS" in found:
        relay.tls = MAY if b"OPPORTUNISTIC_TLS" in found else ENCRYPT
    relay.verified = b"VERIFYCERT" in found
    if b"FINGERPRINT" in found:
        digits = found[b"FINGERPRINT"].value
        if len(digits) == _DIGITS and not digits.strip(_HEX):
            relay.fingerprint = digits.lower()
        else:
            plan.wrong(found[b"FINGERPRINT"].place, b"FINGERPRINT", b"it is 64 hexadecimal digits")
    for setting in [secure, *rest]:
        if setting.key == b"CERTFILE":
            plan.lost(setting, b"a certificate of our own is not shown to the relay")
        elif setting.key != b"FINGERPRINT" or relay.fingerprint:
            plan.became(setting, relay.level.partition(b" ")[0] + b" in control/smtproutes")


def _login(read: "Read", plan: Plan, found: dict[bytes, Setting], relay: Relay) -> None:
    setting = found.get(b"AUTHPATH")
    insecure = found.get(b"INSECURE")
    if setting is None:
        if insecure is not None:
            plan.needless(insecure, b"there is no login")
        return
    text = read(setting.value)
    if text is None:
        plan.wrong(setting.place, setting.key, setting.value + b" is not there")
        return
    logins = parse_auth(text, setting.value, plan)
    if logins:
        plan.secrets.append(setting.value)
    if relay.host not in logins:
        plan.needless(setting, b"it has no login for " + relay.host)
        return
    user, password = logins.pop(relay.host)
    relay.login = Login(LOGIN, user, password)
    plan.became(setting, b"control/smtpauth: the login of " + user)
    for other in logins:
        plan.lost(Setting(b"a login for " + other, b"", setting.value), b"no mail goes to that host by a route")
    if insecure is not None:
        plan.lost(insecure, b"a login is never said without TLS, except on this machine")
