"""What a configuration of another mail system becomes here: control files, logins, and a sentence about every key.

Pure. Each kind's translate(read, where, host) makes a Plan: read gives a file's bytes or None, where is the file or
directory to begin with, host this machine's name. Nothing is left out in silence: a key either became something, or
needs nothing here, or is lost, and its line says so. A secret is only ever in a Login.  Used by config-from.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    Read = Callable[[bytes], bytes | None]
    Translate = Callable[[Read, bytes, bytes], "Plan"]

BECAME, NEEDLESS, LOST, WRONG = b"became", b"needs nothing", b"NOT CARRIED", b"WRONG"

UNREADABLE = b"(a line)"  # of a file with passwords, that has no key: it may be a password
LONGEST_KEY = 40
_KEY = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:- "


class Said:
    """A sentence about a key.  place: file and line, or empty; kind: one of the four words; text: a clause."""

    __slots__ = ("key", "kind", "place", "text")

    def __init__(self, place: bytes, key: bytes, kind: bytes, text: bytes) -> None:
        """None of them has a secret in it."""
        self.place, self.key, self.kind, self.text = place, key, kind, text


class Login:
    """Who we are to a relay.  name: what auth= says."""

    __slots__ = ("name", "password", "user")

    def __init__(self, name: bytes, user: bytes, password: bytes) -> None:
        """user, password: bytes without LF and NUL."""
        self.name, self.user, self.password = name, user, password


class Setting:
    """A key of their file: its value, and where it stands."""

    __slots__ = ("key", "place", "value")

    def __init__(self, key: bytes, value: bytes, place: bytes) -> None:
        """place: b"FILE line N"."""
        self.key, self.value, self.place = key, value, place


class Plan:
    """controls: name -> lines; aliases: file in alias/ -> lines; logins; said: in the order of their keys."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.controls: dict[str, list[bytes]] = {}
        self.aliases: dict[str, list[bytes]] = {}
        self.logins: list[Login] = []
        self.said: list[Said] = []
        self.secrets: list[bytes] = []  # their files with a password in it

    def became(self, setting: Setting, text: bytes) -> None:
        """It lives on.  text: as what."""
        self.said.append(Said(setting.place, setting.key, BECAME, text))

    def needless(self, setting: Setting, text: bytes) -> None:
        """It is so anyway, or means nothing here.  text: why."""
        self.said.append(Said(setting.place, setting.key, NEEDLESS, text))

    def lost(self, setting: Setting, text: bytes) -> None:
        """We cannot do that, or must not.  text: what to do instead."""
        self.said.append(Said(setting.place, setting.key, LOST, text))

    def wrong(self, place: bytes, key: bytes, text: bytes) -> None:
        """Their own program would not understand it either.  key: shown only if it looks like one."""
        is_key = not key.translate(None, _KEY) and len(key) <= LONGEST_KEY
        self.said.append(Said(place, key if is_key else UNREADABLE, WRONG, text))

    def put(self, name: str, *lines: bytes) -> None:
        """A control file with these lines."""
        self.controls[name] = list(lines)

    def add(self, name: str, line: bytes) -> None:
        """One line more in a control file that is a list."""
        lines = self.controls.setdefault(name, [])
        if line not in lines:
            lines.append(line)

    def carry(self, setting: Setting, name: str, value: bytes) -> None:
        """A key that is the same thing here: a file of one line."""
        if not is_line(value):
            self.wrong(setting.place, setting.key, b"a value with bytes that no name has")
            return
        self.put(name, value)
        self.became(setting, b"control/" + name.encode() + b": " + value)

    def sender(self, setting: Setting, form: bytes, *, in_header: bool) -> None:
        """Every sender is changed.  form: host or @host, user@, or user@host; in_header: From too, not only MAIL."""
        if not is_line(form) or not form.strip(b"@") or form.count(b"@") > 1 or has_special(form):
            self.wrong(setting.place, setting.key, b"it is host, user@, @host or user@host")
            return
        line = form if in_header else b"envelope " + form
        self.add("masquerade", line)
        self.became(setting, b"control/masquerade: " + line)

    def sender_of_own(self, setting: Setting, host: bytes, address: bytes) -> None:
        """Who sends as somebody of this host has this address outside; other senders stay, for routes go by them."""
        if not (is_line(address) and address.count(b"@") == 1) or has_special(address):
            self.wrong(setting.place, setting.key, b"no address")
            return
        line = b"envelope @" + host + b":" + address
        self.add("generic", line)
        self.became(setting, b"control/generic: " + line)

    def generic(self, setting: Setting, key: bytes, address: bytes) -> None:
        """An address (user, @host or user@host) has another one outside, in envelope and header."""
        if not (is_line(key + address) and key.strip(b"@") and address.strip(b"@")) or has_special(key + address):
            self.wrong(setting.place, setting.key, b"no address")
            return
        self.add("generic", key + b":" + address)
        self.became(setting, b"control/generic: " + key + b":" + address)


def has_special(text: bytes) -> bool:
    """Whether it has bytes that need quotes in an address."""
    return text.translate(None, b':<>(),;"\\') != text


def is_line(value: bytes) -> bool:
    """Whether it can be a value of a control file: something printable without blanks."""
    return bool(value) and all(byte > 32 and byte != 127 for byte in value)


def keep_no_mailbox(plan: Plan, me: bytes) -> None:
    """Nothing is delivered on this machine: not even mail for its own name, which goes to the relay."""
    plan.put("locals")
    plan.put("rcpthosts", me)


def keep_own_mail(plan: Plan, *names: bytes) -> None:
    """These names are delivered here, and SMTP clients may send to them."""
    plan.put("locals", *dict.fromkeys(names))
    plan.put("rcpthosts", *dict.fromkeys(names))


def one_address(plan: Plan, box: bytes, domains: list[bytes], target: bytes) -> None:
    """Mail for box at these domains (all of a domain, if box is empty) goes to one address, accounts or not.

    By a virtual domain of alias': a line there comes before every account of that name.
    """
    for domain in domains:
        plan.add("virtualdomains", (box + b"@" if box else b"") + domain + b":alias-imported")
    plan.aliases[".qmail-imported-" + (box.decode("ascii", "replace") if box else "default")] = [b"&" + target]


def lines_of(text: bytes, file: bytes) -> "list[tuple[bytes, bytes]]":
    """(place, line) of each line, without its end."""
    return [(b"%s line %d" % (file, number), line) for number, line in enumerate(text.split(b"\n"), 1)]


def pairs_of(
    text: bytes, file: bytes, known: "Container[bytes]", plan: Plan, whose: bytes
) -> "Iterator[tuple[bytes, bytes, bytes]]":
    """(place, key in lower case, value) of each KEY=VALUE line that is no comment.

    known: the keys; another one is put down in the plan as wrong.  whose: the program's name, for that.
    """
    for place, raw in lines_of(text, file):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        name, equals, value = line.partition(b"=")
        key = name.strip().lower()
        if not equals or key not in known:
            plan.wrong(place, UNREADABLE, whose + b" has no such setting")
        else:
            yield place, key, value.strip()


def unquote(value: bytes, *, escapes: bool) -> bytes | None:
    """A value without its double quotes, if it has any; None where they do not match.

    escapes: a backslash before a quote or a backslash means that byte.
    """
    if not value.startswith(b'"'):
        return value
    if not escapes:
        return value[1:-1] if len(value) > 1 and value.endswith(b'"') else None
    found = bytearray()
    at = 1
    while at < len(value):
        byte = value[at]
        if byte == 0x22:
            return bytes(found) if not value[at + 1 :].strip() else None
        if byte == 0x5C and at + 1 < len(value):
            at += 1
            byte = {0x6E: 0x0A, 0x74: 0x09, 0x72: 0x0D}.get(value[at], value[at])
        found.append(byte)
        at += 1
    return None
