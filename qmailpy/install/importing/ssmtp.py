"""ssmtp: ssmtp.conf (key=value) and revaliases (spec/10-neighbours.md c7).

Nothing is delivered on a machine with ssmtp: an address without a host gets one (rewriteDomain, else hostname), and
all mail goes to mailhub.
"""

from qmailpy.install.importing.plan import (
    Login,
    Plan,
    Setting,
    is_line,
    keep_no_mailbox,
    lines_of,
    one_address,
    pairs_of,
)
from qmailpy.install.importing.relay import (
    ENCRYPT,
    IMPLICIT,
    LOGIN,
    NONE,
    SMTP,
    SUBMISSIONS,
    Relay,
    relay_all,
    split_port,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

USUAL = (b"/etc/ssmtp",)
_CONF, _REVERSE = b"ssmtp.conf", b"revaliases"
_KEYS = {
    key.lower(): key
    for key in (
        *(b"root", b"mailhub", b"rewriteDomain", b"hostname", b"AuthUser", b"AuthPass", b"AuthMethod", b"UseTLS"),
        *(b"UseSTARTTLS", b"UseTLSCert", b"TLSCert", b"TLSKey", b"TLS_CA_File", b"TLS_CA_Dir", b"FromLineOverride"),
        *(b"MinUserId", b"Debug"),
    )
}
_LOSSES = {
    b"usetlscert": b"a certificate of our own is not shown to the relay",
    b"tlscert": b"a certificate of our own is not shown to the relay",
    b"tlskey": b"a certificate of our own is not shown to the relay",
    b"tls_ca_file": b"certificates are verified by the system's authorities",
    b"tls_ca_dir": b"certificates are verified by the system's authorities",
    b"minuserid": b"which accounts are a person's",
    b"authmethod": b"",
    b"debug": b"",
}
_YES = (b"yes", b"1", b"true", b"on")


def parse(text: bytes, file: bytes, plan: Plan) -> dict[bytes, Setting]:
    """The settings, by their names in lower case; the last of equal names."""
    found: dict[bytes, Setting] = {}
    for place, key, whole in pairs_of(text, file, _KEYS, plan, b"ssmtp"):
        # a password may hold anything
        value = whole if key == b"authpass" else whole.partition(b" #")[0].rstrip()
        if value.startswith(b'"') and value.endswith(b'"') and len(value) > 1:
            found[key] = Setting(_KEYS[key], value[1:-1], place)
        else:
            found[key] = Setting(_KEYS[key], value, place)
    return found


def translate(read: "Read", where: bytes, host: bytes) -> Plan:
    """where: the directory of ssmtp.conf, or that file."""
    plan = Plan()
    is_file = where.rpartition(b"/")[2].endswith(b".conf")
    folder = where.rpartition(b"/")[0] if is_file else where.rstrip(b"/")
    file = where if is_file else folder + b"/" + _CONF
    found = parse(read(file) or b"", file, plan)
    me = host
    if b"hostname" in found and is_line(found[b"hostname"].value):
        me = found[b"hostname"].value
        plan.carry(found[b"hostname"], "me", me)
    else:
        plan.put("me", me)
    keep_no_mailbox(plan, me)
    domain = me
    if b"rewritedomain" in found and found[b"rewritedomain"].value:
        domain = found[b"rewritedomain"].value
        plan.carry(found[b"rewritedomain"], "defaulthost", domain)
    relay = _relay(plan, found, file)
    _root(plan, found.get(b"root"), me, domain)
    override = found.get(b"fromlineoverride")
    if override is not None:
        _override(plan, override, domain)
    for key, text in _LOSSES.items():
        if key in found and text:
            plan.lost(found[key], text)
        elif key in found:
            plan.needless(found[key], b"it is found out by itself")
    _reverse(plan, read(folder + b"/" + _REVERSE) or b"", folder + b"/" + _REVERSE, relay)
    return plan


def _override(plan: Plan, setting: Setting, domain: bytes) -> None:
    if setting.value.lower() in _YES:
        plan.needless(setting, b"a From line stands as its sender wrote it")
    else:
        plan.sender(setting, b"@" + domain, in_header=True)


def _relay(plan: Plan, found: dict[bytes, Setting], file: bytes) -> bytes:
    """The route.  Result: the mailhub as it is written."""
    hub = found.get(b"mailhub")
    if hub is None:
        plan.wrong(file, b"mailhub", b"it is missing: mail goes to the hosts of its recipients")
        return b""
    tls, starts = (_is_on(found.get(key)) for key in (b"usetls", b"usestarttls"))
    implicit = tls and not starts
    name, port = split_port(hub.value, SUBMISSIONS if implicit else SMTP)
    relay = Relay(name, port or SMTP)
    if port is None:
        plan.wrong(hub.place, hub.key, b"a port is a number from 1 to 65535")
    relay.tls = IMPLICIT if implicit else ENCRYPT if starts else NONE
    for key in (b"usetls", b"usestarttls"):
        if key in found:
            plan.became(found[key], b"tls=" + relay.tls + b" in control/smtproutes")
    user, password = found.get(b"authuser"), found.get(b"authpass")
    if user is not None and user.value:
        relay.login = Login(LOGIN, user.value, b"" if password is None else password.value)
        plan.became(user, b"control/smtpauth: the login of " + user.value)
    if password is not None:
        plan.secrets.append(file)
        if user is not None:
            plan.became(password, b"control/smtpauth: not shown")
        else:
            plan.needless(password, b"there is no AuthUser")
    relay_all(plan, hub, relay)
    return hub.value


def _is_on(setting: Setting | None) -> bool:
    return setting is not None and setting.value.lower() in _YES


def _root(plan: Plan, setting: Setting | None, me: bytes, domain: bytes) -> None:
    """Mail for root has a reader; ssmtp does so for every account below MinUserId."""
    if setting is None or not setting.value:
        return
    target = setting.value if b"@" in setting.value else setting.value + b"@" + domain
    if target.lower() in (b"root@" + domain.lower(), b"root@" + me.lower()):
        plan.needless(setting, b"it leads to itself")
        return
    one_address(plan, b"root", list(dict.fromkeys((me, domain, b"localhost"))), target)
    plan.became(setting, b"control/virtualdomains and alias/.qmail-imported-root, for root only")


def _reverse(plan: Plan, text: bytes, file: bytes, hub: bytes) -> None:
    """revaliases: an account's address outside, and a mailhub of its own."""
    for place, raw in lines_of(text, file):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        name, _, rest = line.partition(b":")
        address, colon, own_hub = rest.partition(b":")
        setting = Setting(b"revaliases " + name.strip(), address.strip(), place)
        if not name.strip() or b"@" not in address:
            plan.wrong(place, b"revaliases", b"it is account:address or account:address:mailhub")
            continue
        plan.generic(setting, name.strip(), setting.value)
        if colon and own_hub.strip() != hub:
            plan.lost(setting, b"a mailhub of one sender's own")
