"""Postfix: transport_maps as smtproutes, sender_dependent_relayhost_maps and logins by sender as senderroutes."""

from qmailpy.install.importing import maincf
from qmailpy.install.importing.plan import Plan, Setting, is_line
from qmailpy.install.importing.postfix_sources import read_map, words_of
from qmailpy.install.importing.relay import relay_all, relay_sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read
    from qmailpy.install.importing.postfix_ways import Ways

_SMTP = (b"smtp", b"relay", b"")  # transports that speak SMTP to what is named; empty: the default one
_NO_SOURCE = b": its source cannot be read"


def transports(read: "Read", plan: Plan, parameters: maincf.Parameters, ways: "Ways") -> bool:
    """Each entry of transport_maps.  Result: whether one of them is for everything."""
    setting = parameters.found.get(b"transport_maps")
    known: dict[bytes, bytes] = {}
    for word in words_of(parameters.value(b"transport_maps")) if setting is not None else []:
        kind, _, path = word.partition(b":")
        pairs = read_map(read, kind, path)
        assert setting is not None
        if pairs is None:
            plan.lost(setting, word + _NO_SOURCE)
        for key, value in pairs or []:
            known.setdefault(key.lower(), value)
    for key, value in known.items():
        assert setting is not None
        _transport(plan, Setting(setting.key + b" " + key, value, setting.place), key, ways, known)
    return b"*" in known and any(line.startswith(b":") for line in plan.controls.get("smtproutes", []))


def refusal_text(text: bytes) -> bytes:
    """What error: says, without a reply's code before it."""
    text = text.strip()
    return text[4:] if text[3:4] == b" " and text[:1] == b"5" and text[1:3].isdigit() else text


def _transport(plan: Plan, setting: Setting, key: bytes, ways: "Ways", known: dict[bytes, bytes]) -> None:
    name, colon, hop = setting.value.partition(b":")
    domain = b"" if key == b"*" else key
    if b"@" in key or not is_line(key) or b":" in key:
        plan.lost(setting, b"a route goes by the domain")
    elif not colon:
        plan.lost(setting, b"it is not transport:nexthop")
    elif name == b"error":
        text = refusal_text(hop)
        plan.add("smtproutes", domain + b":error:" + text)
        plan.became(setting, b"control/smtproutes: " + domain + b":error:" + text)
    elif name not in _SMTP:
        plan.lost(setting, b"of transports only smtp, relay and error have a counterpart")
    elif hop:
        relay_all(plan, setting, ways.relay(setting, hop), domain)
    elif not name and b"*" not in known:
        plan.needless(setting, b"its mail goes where all other mail goes")
    else:
        plan.add("smtproutes", domain + b":")
        plan.became(setting, b"control/smtproutes: " + domain + b": (by MX)")


def senders(read: "Read", plan: Plan, parameters: maincf.Parameters, ways: "Ways") -> None:
    """Each entry of sender_dependent_relayhost_maps, and each sender who has a login of his own."""
    setting = parameters.found.get(b"sender_dependent_relayhost_maps")
    known: dict[bytes, bytes] = {}
    for word in words_of(parameters.value(b"sender_dependent_relayhost_maps")) if setting is not None else []:
        kind, _, path = word.partition(b":")
        pairs = read_map(read, kind, path)
        assert setting is not None
        if pairs is None:
            plan.lost(setting, word + _NO_SOURCE)
        for key, value in pairs or []:
            known.setdefault(key.lower(), value)
    by_sender = parameters.value(b"smtp_sender_dependent_authentication").lower() in (b"yes", b"true")
    entries = ways.logins().items() if by_sender else ()
    # who has no colon in his entry may be a password that stands alone
    own = [key for key, value in entries if b"@" in key.strip(b"@") and key[:1] != b"[" and b":" in value]
    wish = parameters.found.get(b"smtp_sender_dependent_authentication")
    if wish is not None and by_sender:
        plan.became(wish, b"control/senderroutes, a line for each sender who has a login")
    for key, value in known.items():
        assert setting is not None
        if value.upper() != b"DUNNO":
            named = Setting(setting.key + b" " + key, value, setting.place)
            relay_sender(plan, named, ways.relay(named, value, key if key in own else b""), key)
    for sender in own:
        if sender.lower() in known:
            continue
        assert wish is not None
        hop = known.get(b"@" + sender.rpartition(b"@")[2].lower(), b"") or parameters.value(b"relayhost")
        named = Setting(b"the login of " + sender, b"", wish.place)
        if hop and hop.upper() != b"DUNNO":
            relay_sender(plan, named, ways.relay(named, hop, sender), sender)
        else:
            plan.lost(named, b"there is no relay to log in to")
