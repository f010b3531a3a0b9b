r"""One value of an alias or a .forward: an address, a program, a file, a list (spec/10-neighbours.md c4).

    joe   joe@example.net   "two words"@example.net   Joe User <joe@example.net> (comment)
    \joe                        joe's mailbox: the name is not looked up again
    |command args   "|command a, b"   |"command a, b"
    /path/file   /path/Maildir/   /dev/null   "/path with, comma"
    :include:/path/list
    error:550 no longer here

Pure; a line is read once, from left to right. Used by rules/aliases.
"""

from qmailpy.rules.aliasaddress import BLANKS, CONTROL, BadValueError, address, quoted

# kinds of values, in the words of qmail-aliases -n
ADDRESS, MAILBOX, PROGRAM, MBOX, MAILDIR, INCLUDE, REFUSE, NOTHING = (
    b"forward",
    b"mailbox",
    b"program",
    b"mbox",
    b"maildir",
    b"include",
    b"refuse",
    b"nothing",
)
_INCLUDE, _ERROR, _NULL = b":include:", b"error:", b"/dev/null"
_LETTERS = {
    ADDRESS: b"A",
    MAILBOX: b"M",
    PROGRAM: b"P",
    MBOX: b"B",
    MAILDIR: b"D",
    INCLUDE: b"I",
    REFUSE: b"R",
    NOTHING: b"N",
}
_KINDS = {letter[0]: kind for kind, letter in _LETTERS.items()}


class Value:
    """kind: one of the eight; argument: address as in an envelope, command, path, or the text of a refusal."""

    __slots__ = ("argument", "kind")

    def __init__(self, kind: bytes, argument: bytes) -> None:
        """Bytes without NUL and LF."""
        self.kind, self.argument = kind, argument

    def __eq__(self, other: object) -> bool:
        """The same kind and argument."""
        return isinstance(other, Value) and (self.kind, self.argument) == (other.kind, other.argument)

    def __hash__(self) -> int:
        """As __eq__."""
        return hash((self.kind, self.argument))

    def __repr__(self) -> str:
        """For tests that fail."""
        return f"Value({self.kind!r}, {self.argument!r})"


def name_and_rest(line: bytes) -> tuple[bytes, bytes]:
    """The name before the colon, in lower case, and what follows the colon.  Errors: BadValueError."""
    if line.startswith(b'"'):
        name, at = quoted(line, 0)
        host, colon, rest = line[at:].partition(b":")
        name += host.strip(BLANKS)
    else:
        name, colon, rest = line.partition(b":")
        name = name.rstrip(BLANKS)
        if any(byte in name for byte in b' \t",()<>\\'):
            raise BadValueError(b"a name with special bytes must stand in quotes")
    if not colon:
        raise BadValueError(b"no colon follows the name")
    if not name or name.translate(None, CONTROL) != name:
        raise BadValueError(b"the name is empty or holds control bytes")
    return name.lower(), rest


def values(line: bytes) -> tuple[list[Value], bool]:
    """The values on one line, and whether more may follow on the next: it ends with a comma, or has no value.

    Errors: BadValueError.
    """
    if b"\0" in line:
        raise BadValueError(b"the line holds a NUL")
    found: list[Value] = []
    at = 0
    is_open = True
    while at < len(line):
        byte = line[at]
        if byte in BLANKS:
            at += 1
        elif byte == 0x2C:
            is_open = True
            at += 1
        elif byte == 0x23:  # a comment to the line's end
            break
        elif not is_open:
            raise BadValueError(b"a comma is missing between two values")
        else:
            value, at = _value(line, at)
            found.append(value)
            is_open = False
    return found, is_open


def _value(line: bytes, at: int) -> tuple[Value, int]:
    """The value that begins here, and where it ends: at a comma, a comment or the end."""
    first = line[at]
    if first == 0x22:
        content, end = quoted(line, at)
        if content[:1] in (b"|", b"/") or _is_word(content):
            return _special(content), _after(line, end)
    elif first in b"|/" or _is_word(line[at : at + len(_INCLUDE)]):
        return _unquoted_special(line, at)
    elif first == 0x5C:
        if line[at + 1 : at + 2] in (b"|", b"/"):  # some write \| for a program of their own
            raise BadValueError(b"a backslash stands before what is no name")
        box, end = address(line, at + 1)
        return Value(MAILBOX, box), end
    box, end = address(line, at)
    return Value(ADDRESS, box), end


def _is_word(text: bytes) -> bool:
    return text[: len(_INCLUDE)].lower() == _INCLUDE or text[: len(_ERROR)].lower() == _ERROR


def _unquoted_special(line: bytes, at: int) -> tuple[Value, int]:
    """A program, file, list or refusal that does not begin with a quote: up to a comma that is in no quotes."""
    pieces: list[bytes] = []
    start = at
    while at < len(line):
        byte = line[at]
        if byte == 0x22:
            pieces.append(line[start:at])
            content, end = quoted(line, at)
            is_whole = len(pieces) == 1 and pieces[0].rstrip(BLANKS)[-1:] in (b"|", b":")
            pieces.append(content if is_whole else line[at:end])  # quotes inside a command are the shell's
            at = start = end
        elif byte == 0x2C or (byte == 0x23 and line[at - 1] in BLANKS):
            break
        else:
            at += 1
    pieces.append(line[start:at])
    return _special(b"".join(pieces).rstrip(BLANKS)), at


def _special(text: bytes) -> Value:
    if text.translate(None, CONTROL) != text.replace(b"\t", b""):
        raise BadValueError(b"a control byte stands in the line")
    if text.startswith(b"|"):
        if not text[1:].strip(BLANKS):
            raise BadValueError(b"no command follows the bar")
        return Value(PROGRAM, text[1:])
    if text.startswith(b"/"):
        if text == _NULL:
            return Value(NOTHING, text)
        return Value(MAILDIR if text.endswith(b"/") else MBOX, text)
    word, _, rest = text[1:].partition(b":") if text.startswith(b":") else text.partition(b":")
    rest = rest.strip(BLANKS)
    if word.lower() == b"error":
        return Value(REFUSE, rest or b"550 refused")
    if not rest.startswith(b"/"):
        raise BadValueError(b"the path of an included list must begin with a slash")
    return Value(INCLUDE, rest)


def _after(line: bytes, at: int) -> int:
    """Where the next comma, comment or the end is, if only blanks come before."""
    while at < len(line) and line[at] in BLANKS:
        at += 1
    if at < len(line) and line[at] not in b",#":
        raise BadValueError(b"a comma is missing after a quote")
    return at


def encode(found: list[Value]) -> bytes:
    """As a compiled map holds them."""
    return b"".join([_LETTERS[value.kind] + value.argument + b"\0" for value in found])


def decode(content: bytes) -> list[Value] | None:
    """The other direction; None for what encode() has not made."""
    pieces = content.split(b"\0")
    if pieces.pop():
        return None
    found = []
    for piece in pieces:
        if not piece or piece[0] not in _KINDS:
            return None
        found.append(Value(_KINDS[piece[0]], piece[1:]))
    return found
