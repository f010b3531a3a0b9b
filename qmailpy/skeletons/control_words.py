"""Control files for programs that read JSON: qmail-showctl --json.

One object a line, one for each file that is known and for each that is there: file; kind (line, number, list, map;
null: nothing of ours reads it); set (whether there is such a file); value (text, number or list of texts; null where
none is set and none is the default); doubts (sentences about what is not read as it was meant), error (it cannot be
read).
"""

from qmailpy.disk import control
from qmailpy.disk.control_kinds import KINDS, LIST, MAP, NUMBER
from qmailpy.disk.home import Home
from qmailpy.skeletons.control_doubts import doubts
from qmailpy.skeletons.json_words import text
from qmailpy.verdict import Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAMES = ("line", "number", "list", "map")  # by kind


def described(
    home: Home, names: list[bytes], defaults: "Iterable[tuple[bytes, bytes, bool]]", me: bytes | None
) -> "Iterator[dict[str, object]]":
    """names: what is in control/; defaults: name, default, whether control/me goes before it; me: of control/me."""
    known = set()
    for name, default, or_me in defaults:
        known.add(name)
        kind = KINDS[name]
        told: dict[str, object] = {"file": text(name), "kind": _NAMES[kind], "set": name in names}
        try:
            content = control.read(home.control(name))
        except Die as death:
            yield told | {"value": None, "doubts": [], "error": text(death.text)}
            continue
        fallback = me if or_me and me is not None else default
        told["value"] = _default(kind, fallback) if content is None else _value(kind, content, fallback)
        told["doubts"] = [] if content is None else [text(words) for words in doubts(name, content)]
        yield told
    for name in sorted(set(names) - known):
        yield {"file": text(name), "kind": None, "set": True, "value": None, "doubts": []}


def _default(kind: int, default: bytes) -> object:
    if kind in (LIST, MAP):
        return None
    if kind == NUMBER:
        return int(default) if default.isdigit() and len(default) < 20 else None  # half of another one, say
    return text(default)


def _value(kind: int, content: bytes, default: bytes) -> object:
    if kind in (LIST, MAP):
        return [text(entry) for entry in control.entries(content)]
    if kind == NUMBER:
        number = control.number(content)
        return _default(kind, default) if number is None else number
    return text(control.first_line(content))
