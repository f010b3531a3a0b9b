"""Postfix: relayhost, its TLS and its login, and a default_transport that refuses; the sources of maps."""

from qmailpy.install.importing import maincf
from qmailpy.install.importing.plan import (
    ENCRYPT,
    IMPLICIT,
    LOGIN,
    MAY,
    NONE,
    SMTP,
    SUBMISSIONS,
    Login,
    Plan,
    Relay,
    Setting,
    lines_of,
    relay_all,
    split_port,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

_FILES = (b"hash", b"btree", b"lmdb", b"cdb", b"dbm", b"sdbm", b"texthash")  # made of a text file of the same name
_LEVELS = {  # our level, and whether the certificate is verified
    b"none": (NONE, False),
    b"may": (MAY, False),
    b"encrypt": (ENCRYPT, False),
    b"dane": (MAY, False),
    b"dane-only": (ENCRYPT, True),
    b"verify": (ENCRYPT, True),
    b"secure": (ENCRYPT, True),
    b"fingerprint": (ENCRYPT, True),
}
_YES = (b"yes", b"true")


def read_map(read: "Read", kind: bytes, path: bytes) -> list[tuple[bytes, bytes]] | None:
    """(key, value) of each entry of a map's source; None where it has none that can be read.

    static:value has one entry, for every key (an empty one); inline:{ {key = value}, key=value } is all there.
    """
    if kind == b"static":
        return [(b"", _unbraced(path))]
    if kind == b"inline":
        return _inline(path)
    text = read(path) if kind in _FILES else None
    if text is None:
        return None
    found: list[tuple[bytes, bytes]] = []
    for _, raw in lines_of(text, path):
        if not raw.strip() or raw.lstrip().startswith(b"#"):
            continue
        if raw[:1] in (b" ", b"\t"):
            if found:
                found[-1] = (found[-1][0], (found[-1][1] + b" " + raw.strip()).strip())
            continue
        key, *rest = raw.split(None, 1)
        found.append((key, rest[0].strip() if rest else b""))
    return found


def _unbraced(text: bytes) -> bytes:
    return text[1:-1].strip() if text.startswith(b"{") and text.endswith(b"}") else text


def _inline(text: bytes) -> list[tuple[bytes, bytes]] | None:
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return None
    rest = text[1:-1].strip(b" \t,")
    found = []
    while rest:
        if rest.startswith(b"{"):
            entry, brace, rest = rest[1:].partition(b"}")
            if not brace:
                return None
        else:
            entry, *others = rest.replace(b",", b" ", 1).split(None, 1)
            rest = others[0] if others else b""
        key, equals, value = entry.partition(b"=")
        if not equals:
            return None
        found.append((key.strip(), value.strip()))
        rest = rest.lstrip(b" \t,")
    return found


def translate(read: "Read", plan: Plan, parameters: maincf.Parameters) -> None:
    """All that decides where mail for other hosts goes."""
    transport = parameters.found.get(b"default_transport")
    refusal = b"" if transport is None else parameters.value(b"default_transport")
    if transport is not None and refusal.startswith(b"error:"):
        text = refusal.partition(b":")[2].strip()
        if text[3:4] == b" " and text[:1] == b"5" and text[1:3].isdigit():
            text = text[4:]
        plan.add("smtproutes", b":error:" + text)
        plan.became(transport, b"control/smtproutes: :error:" + text)
        if b"relayhost" in parameters.found and parameters.value(b"relayhost"):
            plan.needless(parameters.found[b"relayhost"], b"all mail for other hosts is refused")
        return
    if transport is not None and refusal not in (b"smtp", b""):
        plan.lost(transport, b"what it names has no counterpart")
    setting = parameters.found.get(b"relayhost")
    wanted = b"" if setting is None else parameters.value(b"relayhost")
    if setting is None or not wanted:
        _without_relay(plan, parameters)
        return
    wrapped = _is_on(parameters, b"smtp_tls_wrappermode")
    name, port = split_port(wanted, SUBMISSIONS if wrapped else SMTP)
    if port is None:
        plan.wrong(setting.place, setting.key, b"a port is a number from 1 to 65535, or a service's name")
    if not wanted.startswith(b"["):
        plan.lost(setting, b"that it is found by MX: a route leads to the address of " + name)
        relay = Relay(name, port or SMTP)
    else:
        relay = Relay(name[1:-1], port or SMTP)
    _tls(plan, parameters, relay, wrapped=wrapped)
    _login(read, plan, parameters, relay, wanted)
    relay_all(plan, setting, relay)


def _without_relay(plan: Plan, parameters: maincf.Parameters) -> None:
    for key in (b"smtp_sasl_password_maps", b"smtp_sasl_auth_enable", b"smtp_tls_security_level"):
        setting = parameters.found.get(key)
        if setting is not None:
            plan.needless(setting, b"there is no relayhost")


def _is_on(parameters: maincf.Parameters, name: bytes) -> bool:
    return parameters.value(name).lower() in _YES


def _tls(plan: Plan, parameters: maincf.Parameters, relay: Relay, *, wrapped: bool) -> None:
    found = parameters.found
    setting = found.get(b"smtp_tls_security_level")
    said = parameters.value(b"smtp_tls_security_level")
    if setting is None or not said:
        setting, said = _old_level(parameters)
    relay.tls, relay.verified = _LEVELS.get(said, (ENCRYPT, False))
    if setting is not None and said not in _LEVELS:
        plan.wrong(setting.place, setting.key, b"Postfix has no level " + said)
    elif setting is not None and said.startswith(b"dane"):
        plan.lost(setting, b"DANE; " + relay.level + b" is used")
    if said == b"fingerprint" and setting is not None:
        _fingerprint(plan, parameters, relay, setting)
    if wrapped:
        relay.tls = IMPLICIT
        plan.became(found[b"smtp_tls_wrappermode"], b"tls=implicit in control/smtproutes")
    if setting is not None:
        plan.became(setting, relay.level.partition(b" ")[0] + b" in control/smtproutes")
    for key in (b"smtp_tls_CAfile", b"smtp_tls_CApath"):
        if key in found and not parameters.value(key).startswith(b"/etc/ssl/certs"):
            plan.lost(found[key], b"certificates are verified by the system's authorities")


def _old_level(parameters: maincf.Parameters) -> tuple[Setting | None, bytes]:
    for name, level in ((b"smtp_enforce_tls", b"verify"), (b"smtp_use_tls", b"may")):
        if _is_on(parameters, name):
            return parameters.found[name], level
    return None, b"none"


def _fingerprint(plan: Plan, parameters: maincf.Parameters, relay: Relay, setting: Setting) -> None:
    digests = parameters.value(b"smtp_tls_fingerprint_cert_match").replace(b"|", b" ").split()
    plain = [digest.replace(b":", b"").lower() for digest in digests]
    usable = [digest for digest in plain if len(digest) == 64 and not digest.strip(b"0123456789abcdef")]
    if usable:
        relay.fingerprint = usable[0]
        if len(plain) > 1:
            plan.lost(setting, b"more than one fingerprint: the first SHA-256 is used")
    else:
        plan.lost(setting, b"a fingerprint that is no SHA-256; the certificate will be verified")


def _login(read: "Read", plan: Plan, parameters: maincf.Parameters, relay: Relay, wanted: bytes) -> None:
    maps, enabled = (parameters.found.get(key) for key in (b"smtp_sasl_password_maps", b"smtp_sasl_auth_enable"))
    if enabled is None or not _is_on(parameters, b"smtp_sasl_auth_enable"):
        if maps is not None:
            plan.needless(maps, b"smtp_sasl_auth_enable is not yes")
        return
    plan.became(enabled, b"auth=" + LOGIN + b" in control/smtproutes")
    if maps is None:
        plan.wrong(enabled.place, b"smtp_sasl_password_maps", b"it is missing")
        return
    for word in _maps(parameters.value(b"smtp_sasl_password_maps")):
        kind, _, path = word.partition(b":")
        pairs = read_map(read, kind, path)
        if pairs is None:
            plan.lost(maps, kind + b": its source cannot be read")
            continue
        plan.secrets.append(path if kind in _FILES else maps.place.partition(b" line ")[0])
        known = dict(reversed(pairs))  # the first of equal keys counts
        for key in (wanted, relay.host, b"[" + relay.host + b"]", b""):
            if key in known:
                user, colon, password = known[key].partition(b":")
                if not user or not colon:
                    plan.wrong(maps.place, maps.key, b"an entry is user:password")
                    return
                relay.login = Login(LOGIN, user, password)
                plan.became(maps, b"control/smtpauth: the login of " + user)
                return
    plan.wrong(maps.place, maps.key, b"it has no login for " + wanted)


def _maps(value: bytes) -> list[bytes]:
    """The maps in a list; one with braces has blanks in it."""
    words: list[bytes] = []
    depth = 0
    for word in value.replace(b",", b" ").split(b" ") if b"{" not in value else value.split(b" "):
        if depth:
            words[-1] += b" " + word
        elif word:
            words.append(word)
        depth += word.count(b"{") - word.count(b"}")
    return words
