"""Postfix: what of main.cf is about relaying, names and mailboxes (spec/10-neighbours.md c5).

The maps that it names are read from their sources, never from what postmap made of them.
"""

from qmailpy.install.importing import maincf, postfix_relay
from qmailpy.install.importing.plan import Plan, Setting, is_line, keep_no_mailbox, keep_own_mail, lines_of
from qmailpy.install.importing.postfix_sources import read_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

USUAL = (b"/etc/postfix",)
_CONF = b"main.cf"
_UNITS = {b"s": 1, b"m": 60, b"h": 3600, b"d": 86400, b"w": 604800}
_LOSSES = {
    b"sender_dependent_default_transport_maps": b"all mail goes one way, whoever sends it",
    b"mailbox_command": b"as default delivery: qmail-start '|preline COMMAND'",
    b"mailbox_transport": b"as default delivery: qmail-start '|qmail-lmtp SOCKET' if it is LMTP",
    b"fallback_relay": b"a route has one relay",
    b"smtp_fallback_relay": b"a route has one relay",
    b"canonical_maps": b"control/virtualdomains or aliases for recipients, masquerading for senders",
    b"sender_canonical_maps": b"masquerading, see qmail-header(5)",
    b"recipient_canonical_maps": b"control/virtualdomains, or aliases",
    b"virtual_alias_maps": b"control/virtualdomains with |qmail-aliases -d, see aliases(5)",
    b"relocated_maps": b"an alias `name: error:551 text`",
    b"header_checks": b"a program in the place of qmail-queue, by QMAILQUEUE",
    b"content_filter": b"a program in the place of qmail-queue, by QMAILQUEUE",
    b"smtpd_milters": b"a program in the place of qmail-queue, by QMAILQUEUE",
    b"smtp_tls_cert_file": b"a certificate of our own is not shown to the relay",
    b"smtp_tls_key_file": b"a certificate of our own is not shown to the relay",
}
_DEFAULTS = {b"myorigin": b"$myhostname", b"mydestination": b"$myhostname, localhost.$mydomain, localhost"}


def translate(read: "Read", where: bytes, host: bytes) -> Plan:
    """where: the directory of main.cf, or that file."""
    plan = Plan()
    is_file = where.rpartition(b"/")[2].endswith(b".cf")
    file = where if is_file else where.rstrip(b"/") + b"/" + _CONF
    found = maincf.parse(read(file) or b"", file, plan)
    parameters = maincf.Parameters(
        found, {**_DEFAULTS, **_names(found, host), b"config_directory": file.rpartition(b"/")[0]}
    )
    for name in list(found):
        try:
            parameters.value(name)
        except maincf.BadValue:
            plan.wrong(found[name].place, name, b"its value refers to itself, or is too long")
            del found[name]
    _our_names(read, plan, parameters)
    _destinations(read, plan, parameters)
    postfix_relay.translate(read, plan, parameters)
    _mailboxes(plan, parameters)
    _limits(plan, parameters)
    _masquerade(read, plan, parameters)
    for name, text in _LOSSES.items():
        if name in found and parameters.value(name):
            plan.lost(found[name], text)
    return plan


def _names(found: dict[bytes, Setting], host: bytes) -> dict[bytes, bytes]:
    """What Postfix takes as myhostname and mydomain where they are not set."""
    mine = found[b"myhostname"].value if b"myhostname" in found else b""
    full = mine if mine and b"$" not in mine else host
    domain = full.partition(b".")[2] if b"." in full else b"localdomain"
    return {b"myhostname": host, b"mydomain": domain}


def _our_names(read: "Read", plan: Plan, parameters: maincf.Parameters) -> None:
    found = parameters.found
    me = parameters.value(b"myhostname")
    if b"myhostname" in found:
        plan.carry(found[b"myhostname"], "me", me)
    else:
        plan.put("me", me)
    domain = parameters.value(b"mydomain")
    if is_line(domain):
        plan.put("defaultdomain", domain)
    if b"mydomain" in found:
        plan.became(found[b"mydomain"], b"control/defaultdomain: " + domain)
    origin = found.get(b"myorigin")
    if origin is not None:
        value = parameters.value(b"myorigin")
        if value.startswith(b"/"):
            value = (read(value) or b"").partition(b"\n")[0].strip()
        if value:
            plan.carry(origin, "defaulthost", value)
        else:
            plan.wrong(origin.place, origin.key, b"its file is not there, or empty")
    if b"smtp_helo_name" in found:
        plan.carry(found[b"smtp_helo_name"], "helohost", parameters.value(b"smtp_helo_name"))


def _destinations(read: "Read", plan: Plan, parameters: maincf.Parameters) -> None:
    setting = parameters.found.get(b"mydestination")
    names: list[bytes] = []
    for word in parameters.value(b"mydestination").replace(b",", b" ").split():
        if word.startswith(b"/"):
            text = read(word) or b""
            names += [line.split()[0] for _, line in lines_of(text, word) if line.split() and not line.startswith(b"#")]
        elif b":" in word and setting is not None:
            kind, _, path = word.partition(b":")
            pairs = read_map(read, kind, path)
            if pairs is None:
                plan.lost(setting, word + b": its source cannot be read")
            else:
                names += [key for key, _ in pairs]
        else:
            names.append(word)
    names = [name for name in dict.fromkeys(names) if is_line(name)]
    if names:
        keep_own_mail(plan, *names)
    else:
        keep_no_mailbox(plan, parameters.value(b"myhostname"))
    if setting is not None:
        plan.became(setting, b"control/locals: " + (b" ".join(names) or b"empty, nothing is delivered here"))


def _mailboxes(plan: Plan, parameters: maincf.Parameters) -> None:
    found = parameters.found
    box = found.get(b"home_mailbox")
    if box is not None and (path := parameters.value(b"home_mailbox")):
        plan.became(box, b"the default delivery, which no file says: qmail-start ./" + path)
    spool = found.get(b"mail_spool_directory")
    if spool is not None:
        plan.carry(spool, "mailspool", parameters.value(b"mail_spool_directory").rstrip(b"/"))
    aliases = found.get(b"alias_maps")
    if aliases is None:
        return
    paths = []
    for word in parameters.value(b"alias_maps").replace(b",", b" ").split():
        kind, colon, path = word.partition(b":")
        if colon and kind not in (b"hash", b"btree", b"lmdb", b"cdb", b"dbm", b"texthash"):
            plan.lost(aliases, word + b": aliases come from files")
        else:
            paths.append(path if colon else kind)
    if paths == [b"/etc/aliases"]:
        plan.needless(aliases, b"it is read if alias/.qmail-default says |qmail-aliases")
    elif paths:
        plan.put("aliasfile", *paths)
        plan.became(aliases, b"control/aliasfile, which is read if alias/.qmail-default says |qmail-aliases")


def _limits(plan: Plan, parameters: maincf.Parameters) -> None:
    found = parameters.found
    size = found.get(b"message_size_limit")
    if size is not None and (value := parameters.value(b"message_size_limit")).isdigit():
        plan.put("queuebytes", value)
        plan.put("databytes", value)
        plan.became(size, b"control/queuebytes and control/databytes: " + value)
    for name, ours in ((b"maximal_queue_lifetime", "queuelifetime"), (b"smtp_connect_timeout", "timeoutconnect")):
        setting = found.get(name)
        if setting is None:
            continue
        seconds = _seconds(parameters.value(name), b"d" if ours == "queuelifetime" else b"s")
        if seconds is None:
            plan.wrong(setting.place, name, b"it is a number with s, m, h, d or w")
        else:
            plan.carry(setting, ours, b"%d" % seconds)


def _seconds(text: bytes, unit: bytes) -> int | None:
    digits = text.rstrip(b"smhdw")
    if not digits.isdigit() or len(digits) > 9 or len(text) > len(digits) + 1:
        return None
    return int(digits) * _UNITS[text[len(digits) :] or unit]


def _masquerade(read: "Read", plan: Plan, parameters: maincf.Parameters) -> None:
    domains = parameters.found.get(b"masquerade_domains")
    if domains is not None:
        _strip(plan, parameters, domains)
    maps = parameters.found.get(b"smtp_generic_maps")
    if maps is None:
        return
    for word in parameters.value(b"smtp_generic_maps").replace(b",", b" ").split():
        kind, _, path = word.partition(b":")
        pairs = read_map(read, kind, path)
        if pairs is None:
            plan.lost(maps, word + b": its source cannot be read")
        for key, value in pairs or []:
            plan.generic(maps, key, value)


def _strip(plan: Plan, parameters: maincf.Parameters, setting: Setting) -> None:
    """masquerade_domains: our own names lose what stands before the first of these domains that they are below."""
    words = parameters.value(b"masquerade_domains").replace(b",", b" ").split()
    exceptions = parameters.value(b"masquerade_exceptions").replace(b",", b" ").split()
    for name in dict.fromkeys((parameters.value(b"myhostname"), parameters.value(b"myorigin"))):
        word = next((word for word in words if name.lower().endswith(b"." + word.lstrip(b"!").lower())), b"!")
        if word.startswith(b"!"):
            continue
        for user in exceptions:
            plan.generic(setting, user + b"@" + name, user + b"@" + name)
        plan.generic(setting, b"@" + name, b"@" + word)
