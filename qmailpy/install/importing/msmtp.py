"""msmtp: msmtprc, with sections `defaults` and `account NAME [: PARENT,...]` (spec/10-neighbours.md c7).

The account that mail without further words gets is carried: `default`, or what `account default : NAME` says. Others
live on as routes of their senders, if they say whose they are.
"""

from qmailpy.install.importing.plan import UNREADABLE, Login, Plan, Setting, keep_no_mailbox, lines_of, unquote
from qmailpy.install.importing.relay import (
    ENCRYPT,
    IMPLICIT,
    LOGIN,
    SMTP,
    SUBMISSIONS,
    Relay,
    name_of,
    port_of,
    relay_all,
    relay_sender,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

    Section = dict[bytes, Setting]

USUAL = (b"~/.msmtprc", b"/etc/msmtprc", b"/usr/local/etc/msmtprc")
DEFAULT = b"default"
_LOSSES = {
    b"passwordeval": b"no program is run for a password: run it, and write what it prints into control/smtpauth",
    b"eval": b"no program is run to find settings",
    b"tls_trust_file": b"certificates are verified by the system's authorities",
    b"tls_crl_file": b"certificates are verified by the system's authorities",
    b"tls_key_file": b"a certificate of our own is not shown to the relay",
    b"tls_cert_file": b"a certificate of our own is not shown to the relay",
    b"tls_host_override": b"the certificate must have the relay's name",
    b"proxy_host": b"there is no proxy",
    b"proxy_port": b"there is no proxy",
    b"source_ip": b"the kernel chooses the address that we call from",
    b"socket": b"the relay must be reached by TCP",
    b"dsn_notify": b"the sender asks for it: sendmail -N",
    b"dsn_return": b"the sender asks for it: sendmail -R",
    b"ntlmdomain": b"NTLM is not spoken",
    b"timeout": b"control/timeoutconnect and control/timeoutremote say how long is waited",
}
_IF_TRUST = b"system"  # tls_trust_file's word for what is so here
_NEEDLESS = frozenset(
    (
        *(b"logfile", b"logfile_time_format", b"syslog", b"tls_min_dh_prime_bits", b"tls_priorities"),
        *(b"set_date_header", b"set_msgid_header", b"remove_bcc_headers", b"undisclosed_recipients", b"from_full_name"),
        *(b"add_missing_from_header", b"add_missing_date_header", b"auto_from", b"allow_from_override", b"keepbcc"),
        b"set_from_header",
    )
)
_PRESENT = frozenset(
    (
        *(b"host", b"port", b"auth", b"user", b"password", b"tls", b"tls_starttls", b"tls_certcheck", b"protocol"),
        *(b"tls_fingerprint", b"from", b"domain", b"maildomain", b"aliases"),
    )
)
_OFF = (b"off", b"no")
_SECRETS = frozenset((b"password",))


def parse(text: bytes, file: bytes, plan: Plan) -> "dict[bytes, Section]":
    """Every account with what it has of `defaults` and its parents."""
    accounts: dict[bytes, Section] = {}
    defaults: Section = {}
    section = defaults
    for place, raw in lines_of(text, file):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        key, _, rest = line.replace(b"\t", b" ").partition(b" ")
        rest = line[len(key) :].strip()
        if key == b"defaults":
            defaults = {}
            section = defaults
        elif key == b"account":
            name, _, parents = rest.partition(b":")
            section = dict(defaults)
            for parent in filter(None, (word.strip() for word in parents.split(b","))):
                if parent not in accounts:
                    plan.wrong(place, b"account", b"there is no account " + parent + b" above")
                section |= accounts.get(parent, {})
            accounts[name.strip()] = section
        else:
            value = unquote(rest, escapes=False)
            if value is None:
                plan.wrong(place, key, b"a quote is open at the end of the line")
            elif key not in _PRESENT and key not in _NEEDLESS and key not in _LOSSES:
                plan.wrong(place, UNREADABLE, b"msmtp has no such setting")
            else:
                section[key] = Setting(key, value, place)
    return accounts


def translate(read: "Read", where: bytes, host: bytes) -> Plan:
    """where: the file."""
    plan = Plan()
    plan.put("me", host)
    keep_no_mailbox(plan, host)
    accounts = parse(read(where) or b"", where, plan)
    account = accounts.get(DEFAULT)
    if account is None:
        plan.wrong(where, b"account", b"there is no account default")
        return plan
    if any(b"password" in one for one in accounts.values()):
        plan.secrets.append(where)
    has_others = _others(read, plan, accounts, where)
    _carry(read, plan, account, b"", where)
    if b"domain" in account:
        plan.carry(account[b"domain"], "helohost", account[b"domain"].value)
    if b"maildomain" in account and account[b"maildomain"].value:
        plan.carry(account[b"maildomain"], "defaulthost", account[b"maildomain"].value)
    if b"from" in account and account[b"from"].value:
        _from(plan, account[b"from"], host if has_others else b"")
    if b"aliases" in account:
        plan.lost(account[b"aliases"], b"nothing is delivered here; name this host in control/locals, see aliases(5)")
    for key, setting in account.items():
        if key in _LOSSES and setting.value.lower() not in (_IF_TRUST, b"off", b""):
            plan.lost(setting, _LOSSES[key])
        elif key in _NEEDLESS or key in _LOSSES:
            plan.needless(setting, b"it is so, or there is nothing to say about it")
    return plan


def _others(read: "Read", plan: Plan, accounts: "dict[bytes, Section]", where: bytes) -> bool:
    """The accounts besides the default one.  Result: whether one is carried."""
    own = {id(one) for one in accounts[DEFAULT].values()}
    carried = False
    for name, other in accounts.items():
        if name == DEFAULT or {id(one) for one in other.values()} == own:
            continue
        sender = other.get(b"from")
        if sender is None or b"host" not in other:
            text = b"only a word to msmtp chooses it; a route goes by the sender, and it says none"
            plan.lost(Setting(b"account " + name, b"", where), text)
        else:
            carried = _carry(read, plan, other, name, where) or carried
    return carried


def _from(plan: Plan, setting: Setting, host: bytes) -> None:
    """host: ours, where other senders have routes of their own; else empty."""
    if b"*" in setting.value or b"%" in setting.value:
        plan.lost(setting, b"a pattern of addresses is none to send from")
    elif host:
        plan.sender_of_own(setting, host, setting.value)
    else:
        plan.sender(setting, setting.value, in_header=False)


def _carry(read: "Read", plan: Plan, account: "Section", name: bytes, where: bytes) -> bool:
    """The relay of an account.  name: empty for that of all mail.  Result: whether it has become a route."""
    setting = account.get(b"host")
    if setting is None:
        plan.wrong(where, b"host", b"it is missing: mail goes to the hosts of its recipients")
        return False
    if account.get(b"protocol", setting).value == b"lmtp":
        plan.lost(account[b"protocol"], b"the relay must speak SMTP")
        return False
    file = b"control/senderroutes" if name else b"control/smtproutes"
    relay = Relay(setting.value)
    has_tls = b"tls" in account and account[b"tls"].value not in _OFF
    starts = b"tls_starttls" not in account or account[b"tls_starttls"].value not in _OFF
    verified = b"tls_certcheck" not in account or account[b"tls_certcheck"].value not in _OFF
    relay.verified = verified
    if has_tls:
        relay.tls = ENCRYPT if starts else IMPLICIT
        if b"tls_fingerprint" in account:
            _fingerprint(plan, account[b"tls_fingerprint"], relay)
    for key in (b"tls", b"tls_starttls", b"tls_certcheck"):
        if key in account:
            plan.became(account[key], relay.level.partition(b" ")[0] + b" in " + file)
    relay.port = SUBMISSIONS if has_tls and not starts else SMTP
    if b"port" in account:
        port = port_of(account[b"port"].value)
        if port is None:
            plan.wrong(account[b"port"].place, b"port", b"a port is a number from 1 to 65535")
        else:
            plan.became(account[b"port"], b"the port of " + file)
            relay.port = port
    _login(read, plan, account, relay, name_of(name) if name else LOGIN)
    if name:
        return relay_sender(plan, setting, relay, account[b"from"].value)
    return relay_all(plan, setting, relay)


def _fingerprint(plan: Plan, setting: Setting, relay: Relay) -> None:
    digits = setting.value.replace(b":", b"").lower()
    if len(digits) != 64 or digits.strip(b"0123456789abcdef"):
        plan.lost(setting, b"only the SHA-256 of a certificate identifies it")
        return
    relay.fingerprint = digits
    plan.became(setting, b"fingerprint= in control/smtproutes")


def _login(read: "Read", plan: Plan, account: "Section", relay: Relay, name: bytes) -> None:
    """name: of the login."""
    method, user, password = (account.get(key) for key in (b"auth", b"user", b"password"))
    if method is None or method.value in _OFF:
        for setting in (user, password):
            if setting is not None:
                plan.needless(setting, b"auth is off")
        return
    if method.value in (b"gssapi", b"external", b"ntlm", b"oauthbearer", b"xoauth2"):
        plan.lost(method, b"we log in with a password")
        return
    plan.became(method, b"auth=" + name + b" in the route")
    if user is None:
        plan.wrong(method.place, b"user", b"it is missing")
        return
    secret = b"" if password is None else password.value
    if password is None and b"passwordeval" in account:
        secret = _evaluated(read, plan, account)
    relay.login = Login(name, user.value, secret)
    plan.became(user, b"control/smtpauth: the login of " + user.value)
    if password is not None:
        plan.became(password, b"control/smtpauth: not shown")


def _evaluated(read: "Read", plan: Plan, account: "Section") -> bytes:
    """What passwordeval would print, if all that it does is to read a file; empty where it is more than that."""
    words = account[b"passwordeval"].value.split()
    if len(words) != 2 or words[0] not in (b"cat", b"/bin/cat", b"/usr/bin/cat") or not words[1].startswith(b"/"):
        return b""
    if words[1].translate(None, b"\"'\\$`*?[;&|<>~") != words[1]:
        return b""
    secret = (read(words[1]) or b"").partition(b"\n")[0]
    if secret:
        plan.secrets.append(words[1])
        plan.became(account.pop(b"passwordeval"), b"control/smtpauth, as it is in its file now: not shown")
    return secret
