"""esmtp: esmtprc, `keyword = value` or `keyword value`, quoted strings with C's escapes (spec/10-neighbours.md c7).

What stands before the first `identity` is the default one, unless an identity says `default`. The others live on as
routes of their senders.
"""

from qmailpy.install.importing.plan import UNREADABLE, Login, Plan, Setting, keep_no_mailbox, lines_of, unquote
from qmailpy.install.importing.relay import (
    ENCRYPT,
    LOGIN,
    MAY,
    NONE,
    SUBMISSION,
    Relay,
    name_of,
    relay_all,
    relay_sender,
    split_port,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

    Identity = dict[bytes, Setting]

USUAL = (b"~/.esmtprc", b"/etc/esmtprc")
_KEYS = frozenset(
    (
        *(b"hostname", b"username", b"password", b"starttls", b"certificate_passphrase", b"preconnect", b"postconnect"),
        *(b"helo", b"qualifydomain", b"force sender", b"force reverse_path", b"mda", b"force mda"),
    )
)
_LOSSES = {
    b"certificate_passphrase": b"a certificate of our own is not shown to the relay",
    b"preconnect": b"no program is run before a session",
    b"postconnect": b"no program is run after a session",
    b"mda": b"nothing is delivered here; else a default delivery of qmail-start runs a program, as |procmail",
    b"force mda": b"nothing is delivered here; else a default delivery of qmail-start runs a program, as |procmail",
}
_LEVELS = {b"enabled": MAY, b"disabled": NONE, b"required": ENCRYPT}


def parse(text: bytes, file: bytes, plan: Plan) -> "tuple[Identity, dict[bytes, Identity]]":
    """The default identity, and the others by the addresses that they are for; each has what the first part says."""
    first: Identity = {}
    current = chosen = first
    address = b""
    others: dict[bytes, Identity] = {}
    for place, raw in lines_of(text, file):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        key, value = _split(line)
        if key == b"identity":
            address = unquote(value, escapes=True) or value
            current = others[address] = {}
        elif key == b"default":
            if current is not first:
                others.pop(address, None)
                chosen = current
        elif key not in _KEYS:
            plan.wrong(place, UNREADABLE, b"esmtp has no such setting")
        else:
            plain = unquote(_without_comment(value), escapes=True)
            if plain is None or b"\n" in plain or b"\0" in plain:
                plan.wrong(place, key, b"this is no quoted string")
            else:
                current[key] = Setting(key, plain, place)
    return {**first, **chosen}, {each: {**first, **other} for each, other in others.items()}


def _without_comment(value: bytes) -> bytes:
    """A value that is not quoted ends before a comment."""
    return value if value.startswith(b'"') else value.partition(b" #")[0].rstrip()


def _split(line: bytes) -> tuple[bytes, bytes]:
    words = line.replace(b"\t", b" ").replace(b"=", b" ").split(None, 1)
    key = words[0].lower() if words else b""
    rest = line[len(key) :].strip()
    for word in (b"sender", b"reverse_path", b"mda"):  # force sender, or force_sender
        if key == b"force" and rest.startswith(word):
            key, rest = b"force " + word, rest[len(word) :].strip()
        elif key == b"force_" + word:
            key = b"force " + word
    return key, rest.removeprefix(b"=").strip()


def translate(read: "Read", where: bytes, host: bytes) -> Plan:
    """where: the file."""
    plan = Plan()
    plan.put("me", host)
    keep_no_mailbox(plan, host)
    text = read(where) or b""
    found, others = parse(text, where, plan)
    if any(b"password" in one for one in (found, *others.values())):
        plan.secrets.append(where)
    carried = [_other(plan, found, other, address, where) for address, other in others.items()]
    _relay(plan, found, where, b"")
    for key, name in ((b"helo", "helohost"), (b"qualifydomain", "defaulthost")):
        if key in found:
            plan.carry(found[key], name, found[key].value)
    for key in (b"force sender", b"force reverse_path"):
        if key not in found:
            continue
        if any(carried):
            plan.sender_of_own(found[key], host, found[key].value)
        else:
            plan.sender(found[key], found[key].value, in_header=key == b"force sender")
    for key, sentence in _LOSSES.items():
        if key in found:
            plan.lost(found[key], sentence)
    return plan


def _other(plan: Plan, usual: "Identity", found: "Identity", address: bytes, where: bytes) -> bool:
    """Whether this identity has become a route.  usual: the default one."""
    for key in (b"helo", b"qualifydomain", b"force sender", b"force reverse_path"):
        if key in found and found[key] is not usual.get(key):
            plan.lost(found[key], b"of one identity: it is the same for all mail here")
    setting = Setting(b"identity " + address, b"", where)
    if all(found.get(key) is usual.get(key) for key in (b"hostname", b"username", b"password", b"starttls")):
        plan.needless(setting, b"its mail goes where all other mail goes")
        return False
    if _relay(plan, found, where, address):
        return True
    plan.lost(setting, b"its mail goes where all other mail goes")
    return False


def _relay(plan: Plan, found: "Identity", where: bytes, sender: bytes) -> bool:
    """sender: whose mail goes there; empty: all mail.  Result: whether it can."""
    setting = found.get(b"hostname")
    if setting is None:
        plan.wrong(where, b"hostname", b"it is missing: mail goes to the hosts of its recipients")
        return False
    file = b"control/senderroutes" if sender else b"control/smtproutes"
    name, port = split_port(setting.value, SUBMISSION)
    relay = Relay(name, port or SUBMISSION)
    if port is None:
        plan.wrong(setting.place, setting.key, b"a port is a number from 1 to 65535")
    if b"starttls" in found:
        level = _LEVELS.get(found[b"starttls"].value.lower())
        if level is None:
            plan.wrong(found[b"starttls"].place, b"starttls", b"it is enabled, disabled or required")
        else:
            relay.tls = level
            plan.became(found[b"starttls"], b"tls=" + level + b" in " + file)
    user, password = found.get(b"username"), found.get(b"password")
    if user is not None:
        login = name_of(sender) if sender else LOGIN
        relay.login = Login(login, user.value, b"" if password is None else password.value)
        plan.became(user, b"control/smtpauth: the login of " + user.value)
    if password is not None:
        plan.became(password, b"control/smtpauth: not shown")
    return relay_sender(plan, setting, relay, sender) if sender else relay_all(plan, setting, relay)
