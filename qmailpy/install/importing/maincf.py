"""The language of Postfix's main.cf: logical lines, and the values of parameters in others' values.

name = value            a line that begins with a blank goes on with the one before it, over comments too
# comment               in the first column; behind a value it is none for Postfix, though many write one
$name ${name} $(name) ${name?text} ${name:text} ${name?{text}:{text}} $$
"""

from qmailpy.install.importing.plan import UNREADABLE, Plan, Setting, lines_of

DEEPEST = 20  # values within values
_NAME = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_CLOSING = {b"{": b"}", b"(": b")"}
_MOST = 65536  # bytes of an expanded value


class BadValue(Exception):
    """A value that refers to itself, or is too long."""


def parse(text: bytes, file: bytes, plan: Plan) -> dict[bytes, Setting]:
    """The parameters as they are written, the last of equal names; a comment behind a value is cut off."""
    found: dict[bytes, Setting] = {}
    last: Setting | None = None
    for place, raw in lines_of(text, file):
        if not raw.strip() or raw.lstrip().startswith(b"#"):
            continue
        line = without_comment(raw)
        if raw[:1] in (b" ", b"\t"):
            if last is None:
                plan.wrong(place, UNREADABLE, b"the line goes on with nothing: it begins with a blank")
            else:
                last.value = (last.value + b" " + line.strip()).strip()
            continue
        name, equals, value = line.partition(b"=")
        name = name.strip()
        if not equals or not name or name.strip(_NAME):
            plan.wrong(place, UNREADABLE, b"this is no `name = value`")
            last = None
            continue
        last = found[name] = Setting(name, value.strip(), place)
    return found


def without_comment(line: bytes) -> bytes:
    """A line without a comment behind its value: a # after a blank."""
    at = line.find(b"#")
    while at > 0 and line[at - 1 : at] not in (b" ", b"\t"):
        at = line.find(b"#", at + 1)
    return line[:at].rstrip() if at > 0 else line.rstrip()


class Parameters:
    """Parameters with their references followed."""

    def __init__(self, found: dict[bytes, Setting], defaults: dict[bytes, bytes]) -> None:
        """defaults: what a parameter is that no line sets."""
        self.found, self._defaults = found, defaults

    def value(self, name: bytes) -> bytes:
        """The value of a parameter; empty where it has none.  Errors: BadValue."""
        return self._value(name, 0)

    def expand(self, text: bytes) -> bytes:
        """A text with the values in the places of their names.  Errors: BadValue."""
        return self._expand(text, 0)

    def _value(self, name: bytes, depth: int) -> bytes:
        setting = self.found.get(name)
        text = self._defaults.get(name, b"") if setting is None else setting.value
        return self._expand(text, depth)

    def _expand(self, text: bytes, depth: int) -> bytes:
        if depth > DEEPEST:
            raise BadValue
        pieces = []
        at = size = 0
        while at < len(text):
            dollar = text.find(b"$", at)
            end = len(text) if dollar < 0 else dollar
            piece = text[at:end]
            at = end
            if dollar >= 0:
                reference, at = _reference(text, dollar + 1)
                piece += reference if reference == b"$" else self._meaning(reference, depth + 1)
            size += len(piece)
            if size > _MOST:
                raise BadValue
            pieces.append(piece)
        return b"".join(pieces)

    def _meaning(self, reference: bytes, depth: int) -> bytes:
        name = reference[: len(reference) - len(reference.lstrip(_NAME))]
        rest = reference[len(name) :]
        if not rest:
            return self._value(name, depth)
        is_set = bool(self._value(name, depth))
        yes, no = _alternatives(rest)
        return self._expand(yes if is_set else no, depth)


def _reference(text: bytes, at: int) -> tuple[bytes, int]:
    """What stands behind a dollar: a name, perhaps with alternatives, or another dollar; and where it ends."""
    first = text[at : at + 1]
    if first == b"$" or not first:
        return b"$", at + 1 if first else at
    if first not in _CLOSING:
        end = at
        while end < len(text) and text[end] in _NAME:
            end += 1
        return (text[at:end], end) if end > at else (b"$", at)
    depth = 0
    for end in range(at, len(text)):
        byte = text[end : end + 1]
        depth += (byte == first) - (byte == _CLOSING[first])
        if depth == 0:
            return text[at + 1 : end].strip(), end + 1
    return b"$", at


def _alternatives(rest: bytes) -> tuple[bytes, bytes]:
    """?text (if it has a value), :text (if it has none), ?{text}:{text}."""
    kind, text = rest[:1], rest[1:]
    if kind == b":":
        return b"", _braced(text)
    if kind != b"?":
        return b"", b""
    if text.startswith(b"{"):
        inside, _, behind = text.partition(b"}")
        return inside[1:], _braced(behind.strip().removeprefix(b":").strip())
    return text, b""


def _braced(text: bytes) -> bytes:
    return text[1:-1] if text.startswith(b"{") and text.endswith(b"}") else text
