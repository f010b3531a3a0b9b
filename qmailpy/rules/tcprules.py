r"""Who may connect, and as whom: rules by address, in the form of tcprules and tcpserver.

A rule is ADDRESS:allow or ADDRESS:deny, then ,VARIABLE="VALUE" any number of times (whatever stands after the = is the
quote). A record of the compiled table is b"D\0" for deny and b"+VARIABLE=VALUE\0" for each variable. IPv6 addresses
and prefixes have colons of their own: the address ends at the first colon that allow or deny follows.
Pure; qmail-tcprules compiles with it, whoever listens decides with it. Source: spec/10-neighbours.md c9.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = tuple[bytes, bytes]

LINE_LIMIT = 65536  # bytes of a rule
ALLOW, DENY = b"allow", b"deny"
_DENIED, _VARIABLE = b"D", b"+"
_LAST = 255  # no range goes further
_DIGITS = b"0123456789"
_LONGEST = 9  # digits of a number in a range
_BYTES_OF_IP = 4
_GROUPS = 7  # colons of an IPv6 address that is written out


class BadRuleError(Exception):
    """A line that is no rule.  reason: in words."""

    def __init__(self, reason: bytes) -> None:
        """reason: without LF."""
        super().__init__(reason)
        self.reason = reason


# deciding


def keys(ip: bytes, host: bytes | None, info: bytes | None) -> "Iterator[bytes]":
    """The addresses that a connection's rule may stand under, the first one that has a rule being its own.

    ip: canonical text, IPv4 also where it came as IPv6; host, info: lower-cased name and IDENT's word, or None.
    """
    if info:
        yield info + b"@" + ip
        if host:
            yield info + b"@=" + host
    yield ip
    if host:
        yield b"=" + host
    for end in range(len(ip), 0, -1):
        if ip[end - 1 : end] in (b".", b":"):
            yield ip[:end]
    if host:
        for start in range(len(host)):
            if host[start : start + 1] == b".":
                yield b"=" + host[start:]
        yield b"="
    yield b""


def decide(get: "Callable[[bytes], bytes | None]", ip: bytes, host: bytes | None, info: bytes | None) -> bytes | None:
    """The record of a connection's rule; None: there is no rule for it, and it may come.

    get: what the table has under a key.  Errors: those of get.
    """
    for key in keys(ip, host, info):
        record = get(key)
        if record is not None:
            return record
    return None


def apply(record: bytes, environment: dict[bytes, bytes]) -> bool:
    """Put a rule's variables into the environment: whether the connection may come."""
    allowed = True
    for part in record.split(b"\0")[:-1]:
        name, equals, value = part[1:].partition(b"=")
        if part.startswith(_DENIED):
            allowed = False
        elif part.startswith(_VARIABLE) and equals and name:
            environment[name] = value
    return allowed


# compiling


def records(line: bytes) -> "list[Record]":
    """What a line of rules puts into the table; nothing, for one that is empty, a comment, or has no colon.

    line: without its LF; blanks at its end do not count.  Errors: BadRuleError.
    """
    if len(line) > LINE_LIMIT:
        raise BadRuleError(b"longer than %d bytes" % LINE_LIMIT)
    line = line.rstrip(b" \t")
    if not line or line.startswith(b"#") or b":" not in line:
        return []
    if b"\0" in line:
        raise BadRuleError(b"has a NUL")
    address, word, rest = _split(line)
    record = [_DENIED + b"\0"] if word == DENY else []
    while rest:
        variable, rest = _variable(rest)
        record.append(variable)
    return [(one, b"".join(record)) for one in _expanded(address)]


def doubt(line: bytes) -> bytes:
    """Why a line that is taken will hardly do what its author means; empty where it will.  line: of records()."""
    line = line.rstrip(b" \t")
    if not line or line.startswith(b"#"):
        return b""
    if b":" not in line:
        return b"has no colon and is ignored"
    address, _, _ = _split(line)
    if line[:1] in b" \t":
        return b"begins with a blank, which is part of the address: it matches nobody"
    if not _expanded(address):
        return b"is a range from a higher number to a lower one, or past 255: it matches nobody"
    last = _expanded(address)[-1].rpartition(b"@")[2]
    if b"=" in last:
        if b"@" not in address and address not in (b"=", b"=" + address[1:].lower()):
            return b"has capitals in a name, which is looked up in small letters: it matches nobody"
        return b""
    if b":" in last:
        whole = last.endswith(b":") or b"::" in last or last.count(b":") == _GROUPS
    else:
        whole = not last or last.endswith(b".") or last.count(b".") == _BYTES_OF_IP - 1
    return b"" if whole else b"is no whole address, nor a prefix: that ends with a dot, or a colon in IPv6"


def _split(line: bytes) -> tuple[bytes, bytes, bytes]:
    """The address, allow or deny, and what follows.  Errors: BadRuleError."""
    at = -1
    while (at := line.find(b":", at + 1)) >= 0:
        for word in (ALLOW, DENY):
            if line.startswith(word, at + 1):
                return line[:at], word, line[at + 1 + len(word) :]
    raise BadRuleError(b"after the address and its colon comes neither allow nor deny")


def _variable(rest: bytes) -> tuple[bytes, bytes]:
    """The record of what comes next, and what comes after it.  Errors: BadRuleError."""
    if not rest.startswith(b","):
        raise BadRuleError(b"a comma is missing before " + _beginning(rest))
    name, equals, quoted = rest[1:].partition(b"=")
    if not (equals and quoted):
        raise BadRuleError(b'is not VARIABLE="VALUE": ' + _beginning(rest[1:]))
    value, quote, rest = quoted[1:].partition(quoted[:1])
    if not quote:
        raise BadRuleError(b"the value of %s does not end: its quote is %s" % (_beginning(name), quoted[:1]))
    return _VARIABLE + name + b"=" + value + b"\0", rest


def _beginning(text: bytes) -> bytes:
    """Enough of it to find it in its line, printable."""
    shown = bytes(byte if 32 < byte < 127 else ord("?") for byte in text[:30])
    return shown + b"..." if len(text) > len(shown) else shown


def _expanded(address: bytes) -> list[bytes]:
    """The addresses that 1.2.3.37-53 stands for; any other, alone.  Errors: BadRuleError."""
    if b"-" not in address or b"=" in address or b"@" in address:
        return [address]
    before, _, after = address.partition(b"-")
    stem, dot, first = before.rpartition(b".")
    last, end, tail = after.partition(b".")
    return [stem + dot + b"%d" % one + end + tail for one in range(_number(first), min(_number(last), _LAST) + 1)]


def _number(digits: bytes) -> int:
    """Of a range; nothing counts as 0.  Errors: BadRuleError."""
    if digits.strip(_DIGITS):
        raise BadRuleError(b"a range is made of two numbers, as in 10.0.0.37-53, not of " + _beginning(digits))
    return int(digits[-_LONGEST:] or b"0") if not digits[:-_LONGEST].strip(b"0") else _LAST + 1
