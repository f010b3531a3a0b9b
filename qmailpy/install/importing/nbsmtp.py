"""nbsmtp: nbsmtprc, key=value (spec/10-neighbours.md c7, where it is said that it was not checked against nbsmtp)."""

from qmailpy.install.importing.plan import Login, Plan, Setting, keep_no_mailbox, pairs_of, unquote
from qmailpy.install.importing.relay import ENCRYPT, IMPLICIT, LOGIN, NONE, SMTP, SUBMISSIONS, Relay, port_of, relay_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

USUAL = (b"~/.nbsmtprc", b"/etc/nbsmtprc")
_KEYS = frozenset(
    (
        *(b"relayhost", b"fromaddr", b"domain", b"auth_user", b"auth_pass", b"auth_mech", b"use_starttls", b"use_tls"),
        *(b"port", b"log_facility", b"debug"),
    )
)
_TRUE = (b"true", b"yes", b"1", b"on")


def parse(text: bytes, file: bytes, plan: Plan) -> dict[bytes, Setting]:
    """The settings; the last of equal names."""
    found: dict[bytes, Setting] = {}
    for place, key, value in pairs_of(text, file, _KEYS, plan, b"nbsmtp"):
        plain = unquote(value, escapes=False)
        if plain is None:
            plan.wrong(place, key, b"a quote is open at the end of the line")
        else:
            found[key] = Setting(key, plain, place)
    return found


def translate(read: "Read", where: bytes, host: bytes) -> Plan:
    """where: the file."""
    plan = Plan()
    plan.put("me", host)
    keep_no_mailbox(plan, host)
    found = parse(read(where) or b"", where, plan)
    if b"domain" in found:
        plan.carry(found[b"domain"], "defaulthost", found[b"domain"].value)
    if b"fromaddr" in found:
        plan.sender(found[b"fromaddr"], found[b"fromaddr"].value, in_header=False)
    if b"auth_pass" in found:
        plan.secrets.append(where)
    for key in (b"log_facility", b"debug", b"auth_mech"):
        if key in found:
            plan.needless(found[key], b"it is found out, or is not for a file")
    _relay(plan, found, where)
    return plan


def _relay(plan: Plan, found: dict[bytes, Setting], where: bytes) -> None:
    setting = found.get(b"relayhost")
    if setting is None:
        plan.wrong(where, b"relayhost", b"it is missing: mail goes to the hosts of its recipients")
        return
    starts = b"use_starttls" in found and found[b"use_starttls"].value.lower() in _TRUE
    implicit = b"use_tls" in found and found[b"use_tls"].value.lower() in _TRUE and not starts
    relay = Relay(setting.value, SUBMISSIONS if implicit else SMTP)
    relay.tls = IMPLICIT if implicit else ENCRYPT if starts else NONE
    for key in (b"use_starttls", b"use_tls"):
        if key in found:
            plan.became(found[key], b"tls=" + relay.tls + b" in control/smtproutes")
    if b"port" in found:
        port = port_of(found[b"port"].value)
        if port is None:
            plan.wrong(found[b"port"].place, b"port", b"a port is a number from 1 to 65535")
        else:
            plan.became(found[b"port"], b"the port of control/smtproutes")
            relay.port = port
    user, password = found.get(b"auth_user"), found.get(b"auth_pass")
    if user is not None:
        relay.login = Login(LOGIN, user.value, b"" if password is None else password.value)
        plan.became(user, b"control/smtpauth: the login of " + user.value)
    if password is not None:
        plan.became(password, b"control/smtpauth: not shown")
    relay_all(plan, setting, relay)
