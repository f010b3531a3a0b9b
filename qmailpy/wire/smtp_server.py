"""SMTP as a server hears and says it: command lines, addresses, parameters, replies.  (spec/06 5; RFC 5321, 1870, 3030)

A command is taken apart as qmail always did, liberally, and in one place only: nothing is looked at twice by different
rules. Used by receive/smtp. Pure.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE = 12288  # bytes of a command: RFC 4954 4 wants so many for AUTH, more than anything else does
LONGEST_ADDRESS = 899  # bytes
MOST_DIGITS = 19  # of a number that a client says
_DIGITS = b"0123456789"
_LF, _QUOTE, _BACKSLASH = b"\n", b'"', b"\\"
# What other protocols begin with (RFC 9110 9, 9113 3.4, 3261, 4253); their clients are often somebody else's tool
_FOREIGN = frozenset(b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI PROPFIND REGISTER INVITE".split())
_TLS, _SSH = b"\x16\x03", b"SSH-"


def split(line: bytes) -> tuple[bytes, bytes]:
    """Verb, in capitals, and argument of a command line.  line: without its end."""
    verb, _, argument = line.partition(b" ")
    return verb.upper(), argument.lstrip(b" ")


def is_foreign(verb: bytes) -> bool:
    """Whether a client that says this speaks another protocol.  verb: of split()."""
    return verb in _FOREIGN or verb.startswith((_TLS, _SSH))


def is_foreign_start(came: bytes) -> bool:
    """Whether these first bytes are another protocol's that has no lines: TLS's greeting, in clear."""
    return came.startswith(_TLS)


def path(argument: bytes) -> tuple[bytes, bytes]:
    """The address in the argument of MAIL or RCPT, and what stands behind it.

    What follows the first "<" up to ">"; without one what follows the first ":" up to a blank. A source route goes,
    quotes and backslashes are undone; a missing end is no fault, and an empty argument is the empty address.
    """
    _, bracket, rest = argument.partition(b"<")
    end = b">"
    if not bracket:
        end = b" "
        _, colon, rest = argument.partition(b":")
        rest = (rest if colon else argument).lstrip(b" ")
    if rest.startswith(b"@"):
        rest = rest.partition(b":")[2]
    if _QUOTE not in rest and _BACKSLASH not in rest:
        address, _, behind = rest.partition(end)
        return address, behind
    return _unquoted(rest, end)


def _unquoted(text: bytes, end: bytes) -> tuple[bytes, bytes]:
    address = bytearray()
    quoted = False
    at = 0
    while at < len(text):
        byte = text[at : at + 1]
        at += 1
        if byte == _BACKSLASH:
            address += text[at : at + 1]
            at += 1
        elif byte == _QUOTE:
            quoted = not quoted
        elif byte == end and not quoted:
            break
        else:
            address += byte
    return bytes(address), text[at:]


def literal_host(address: bytes) -> bytes | None:
    """What stands in the brackets of user@[d.d.d.d]; None for any other address."""
    _, at, host = address.rpartition(b"@")
    return host[1:-1] if at and host.startswith(b"[") and host.endswith(b"]") else None


def parameters(text: bytes) -> "Iterator[tuple[bytes, bytes | None]]":
    """Keyword in capitals and value (None without "=") of each parameter.  text: what stands behind an address."""
    for word in text.split():
        keyword, equals, value = word.partition(b"=")
        yield keyword.upper(), value if equals else None


def number(text: bytes | None) -> int | None:
    """A number of digits only; None where it is none, or has more than MOST_DIGITS."""
    if not text or len(text) > MOST_DIGITS or text.strip(_DIGITS):
        return None
    return int(text)


def leading_number(text: bytes) -> int:
    """The digits at the beginning of a variable, as qmail reads one: 0 where there are none."""
    digits = len(text) - len(text.lstrip(_DIGITS))
    return int(text[: min(digits, MOST_DIGITS)] or b"0")


def chunk(argument: bytes) -> tuple[int, bool] | None:
    """Bytes of BDAT's chunk, and whether it is the last; None where that cannot be read."""
    words = argument.split()
    if not 1 <= len(words) <= 2 or (len(words) == 2 and words[1].upper() != b"LAST"):
        return None
    size = number(words[0])
    return None if size is None else (size, len(words) == 2)


def reply(text: bytes) -> bytes:
    """A reply of one line.  text: code, blank, words."""
    return text + b"\r\n"


def reply_lines(code: bytes, lines: "Iterable[bytes]") -> bytes:
    """A reply of several lines.  code: three digits; lines: at least one."""
    *first, last = lines
    return b"".join([b"%s-%s\r\n" % (code, line) for line in first]) + b"%s %s\r\n" % (code, last)


_PRINTABLE = bytes(byte if byte >= 32 and byte != 127 else ord("?") for byte in range(256))


def one_line(text: bytes) -> bytes:
    """Words from a program or another host, fit for a reply."""
    return text.translate(None, b"\r").replace(_LF, b" ").translate(_PRINTABLE)


def with_status(text: bytes) -> bytes:
    """The same reply with an enhanced status code behind its code (RFC 2034): it may have one at its end, as (#5.7.1).

    text: code, blank, words, but not those of the greeting, HELO or EHLO. 3xx has none.
    """
    code, words = text[:3], text[4:]
    if code[:1] not in (b"2", b"4", b"5"):
        return text
    status = code[:1] + b".0.0"
    text, found, named = words.rpartition(b" (#")
    if found and named[:1] == code[:1] and not named.removesuffix(b")").translate(None, _DIGITS + b"."):
        words, status = text, named.removesuffix(b")")
    return code + b" " + status + b" " + words
