"""nullmailer: the files of /etc/nullmailer, most of which have our names (spec/10-neighbours.md c7).

remotes     host [protocol] [--option | --option=value | option | option=value]...    quoted as a shell does it
"""

from qmailpy.install.importing.plan import UNREADABLE, Login, Plan, Setting, keep_no_mailbox, lines_of, one_address
from qmailpy.install.importing.relay import ENCRYPT, IMPLICIT, LOGIN, SMTP, SUBMISSIONS, Relay, port_of, relay_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

USUAL = (b"/etc/nullmailer",)
_SAME = (b"defaultdomain", b"defaulthost", b"idhost", b"helohost")
_BLANKS = b" \t\r"
_NEEDLESS = {
    b"pausetime": b"a message has its own schedule, and a relay that comes back gets its mail at once",
    b"maxpause": b"a message has its own schedule, and a relay that comes back gets its mail at once",
}
_LOSSES = {
    b"source": b"the kernel chooses the address that we call from",
    b"auth-external": b"a certificate of our own is not shown to the relay",
    b"x509certfile": b"a certificate of our own is not shown to the relay",
    b"x509keyfile": b"a certificate of our own is not shown to the relay",
    b"x509cafile": b"certificates are verified by the system's authorities",
    b"x509crlfile": b"certificates are verified by the system's authorities",
    b"tls-anon-auth": b"a server without a certificate is nobody",
}
_NOTHING = frozenset((b"auth-login", b"x509fmtder"))


def split(line: bytes) -> list[bytes] | None:
    """The words of a line, as a shell splits them; None where a quote is open."""
    words: list[bytes] = []
    word: bytearray | None = None
    quote = at = 0
    while at < len(line):
        byte = line[at]
        at += 1
        if byte == 0x5C and quote != 0x27:  # a backslash, except between single quotes
            if at == len(line):
                return None
            word = (word or bytearray()) + line[at : at + 1]
            at += 1
        elif quote:
            if byte == quote:
                quote = 0
            elif word is not None:
                word.append(byte)
        elif byte in b"\"'":
            quote, word = byte, word or bytearray()
        elif byte in _BLANKS:
            if word is not None:
                words.append(bytes(word))
            word = None
        else:
            word = (word or bytearray()) + bytes((byte,))
    if quote:
        return None
    return words if word is None else [*words, bytes(word)]


def translate(read: "Read", where: bytes, host: bytes) -> Plan:
    """where: the directory."""
    plan = Plan()
    folder = where.rstrip(b"/")
    values = {name: _line(read, folder, name) for name in (b"me", b"adminaddr", b"allmailfrom", b"queuelifetime")}
    me = host
    if values[b"me"] is None:
        plan.put("me", me)
    else:
        me = values[b"me"].value or host
        plan.carry(values[b"me"], "me", me)
    for name in _SAME:
        setting = _line(read, folder, name)
        if setting is not None:
            plan.carry(setting, name.decode(), setting.value)
    lifetime = values[b"queuelifetime"]
    if lifetime is not None:
        if lifetime.value.isdigit():
            plan.carry(lifetime, "queuelifetime", lifetime.value)
        else:
            plan.wrong(lifetime.place, lifetime.key, b"it is a number of seconds")
    _mailboxes(plan, me, values[b"adminaddr"])
    if values[b"allmailfrom"] is not None:
        plan.sender(values[b"allmailfrom"], values[b"allmailfrom"].value, in_header=False)
    for name, text in _NEEDLESS.items():
        setting = _line(read, folder, name)
        if setting is not None:
            plan.needless(setting, text)
    if (setting := _line(read, folder, b"sendtimeout")) is not None:
        plan.lost(setting, b"it is the time of a whole delivery; control/timeoutremote is of each step")
    _remotes(plan, read(folder + b"/remotes") or b"", folder + b"/remotes")
    return plan


def _line(read: "Read", folder: bytes, name: bytes) -> Setting | None:
    text = read(folder + b"/" + name)
    value = b"" if text is None else text.partition(b"\n")[0].strip()
    return Setting(name, value, folder + b"/" + name) if value else None


def _mailboxes(plan: Plan, me: bytes, admin: Setting | None) -> None:
    """Nothing is delivered here; with adminaddr the mail for this machine's users is one person's."""
    if admin is None:
        keep_no_mailbox(plan, me)
        return
    target = admin.value.split(b",")
    plan.put("locals")
    plan.put("rcpthosts", me)
    one_address(plan, b"", [me, b"localhost"], target[0].strip())
    plan.aliases[".qmail-imported-default"] = [b"&" + each.strip() for each in target if each.strip()]
    plan.became(admin, b"control/virtualdomains and alias/.qmail-imported-default")


def _remotes(plan: Plan, text: bytes, file: bytes) -> None:
    """The first that can be carried has all mail."""
    is_routed = False
    for place, raw in lines_of(text, file):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        words = split(line)
        if words is None:
            plan.wrong(place, b"remotes", b"a quote is open at the end of the line")
            continue
        if b"pass" in line:
            plan.secrets.append(file)
        setting = Setting(b"remotes", words[0], place)
        protocol = words[1] if len(words) > 1 and b"=" not in words[1] and not words[1].startswith(b"-") else b"smtp"
        if is_routed:
            plan.lost(setting, b"a route has one relay: mail waits for the first one; a name may have more addresses")
        elif protocol != b"smtp":
            plan.lost(setting, b"the relay must speak SMTP")
        else:
            is_routed = _relay(plan, setting, words)


def _relay(plan: Plan, setting: Setting, words: list[bytes]) -> bool:
    options = _options(words[1:])
    relay = Relay(words[0])
    implicit = b"tls" in options or b"ssl" in options
    relay.verified = b"insecure" not in options and b"tls-anon-auth" not in options
    if implicit:
        relay.tls = IMPLICIT
    elif b"starttls" in options:
        relay.tls = ENCRYPT
    port = port_of(options[b"port"]) if b"port" in options else SUBMISSIONS if implicit else SMTP
    if port is None:
        plan.wrong(setting.place, b"remotes: port", b"a port is a number from 1 to 65535")
    relay.port = port or SMTP
    if b"user" in options:
        relay.login = Login(LOGIN, options[b"user"], options.get(b"pass", b""))
    known = {b"tls", b"ssl", b"starttls", b"insecure", b"port", b"user", b"pass", *_NOTHING}
    for name in options:
        if name in _LOSSES:
            plan.lost(Setting(b"remotes: " + name, b"", setting.place), _LOSSES[name])
        elif name not in known:  # the rest of a password that needed quotes, perhaps
            plan.wrong(setting.place, UNREADABLE, b"it has an option that nullmailer does not have")
    return relay_all(plan, setting, relay)


def _options(words: list[bytes]) -> dict[bytes, bytes]:
    options = {}
    for word in words:
        name, _, value = word.removeprefix(b"--").partition(b"=")
        if name not in (b"smtp", b""):
            options[name] = value
    return options
