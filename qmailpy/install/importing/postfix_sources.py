"""Postfix: the sources of its maps. What postmap made of them is never read."""

from qmailpy.install.importing.plan import lines_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

FILES = (b"hash", b"btree", b"lmdb", b"cdb", b"dbm", b"sdbm", b"texthash")  # made of a text file of the same name


def read_map(read: "Read", kind: bytes, path: bytes) -> list[tuple[bytes, bytes]] | None:
    """(key, value) of each entry of a map's source; None where it has none that can be read.

    static:value has one entry, for every key (an empty one); inline:{ {key = value}, key=value } is all there.
    """
    if kind == b"static":
        return [(b"", _unbraced(path))]
    if kind == b"inline":
        return _inline(path)
    text = read(path) if kind in FILES else None
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


def words_of(value: bytes) -> list[bytes]:
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
