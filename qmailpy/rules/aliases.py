r"""The language of /etc/aliases, of the lists that it includes, and of ~/.forward (aliases(5) of ours).

    # comment                        also behind a value, after a blank
    name: value, value,              a name or value in double quotes may hold anything; backslash quotes one byte
        value                        a line that begins with a blank goes on with the entry before it
    name: value, \                    so does what follows a backslash at a line's end
    value

Pure, linear in the bytes read. One line that is wrong spoils its own entry, never another: what is right can be used.
Used by skeletons/aliases; source: spec/10-neighbours.md c1, c4.
"""

from qmailpy.rules.aliasaddress import BLANKS, BadValueError
from qmailpy.rules.aliasvalue import Value, name_and_rest, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_COMMA = b"the line before ends without a comma"


class Entry:
    """A name and what it stands for.

    name: in lower case; file: which of the files it is from; line: where it begins there; problem: empty, or why it
    cannot be used: mail for it must wait.
    """

    __slots__ = ("file", "line", "name", "open", "problem", "values")

    def __init__(self, name: bytes, file: bytes, line: int) -> None:
        """Nothing yet; open: a value may follow on the next line."""
        self.name, self.file, self.line = name, file, line
        self.values: list[Value] = []
        self.problem = b""
        self.open = True


class Problem:
    """What is wrong with a file, and where.  is_error: else a warning, and everything is used."""

    __slots__ = ("is_error", "line", "text")

    def __init__(self, line: int, text: bytes, *, is_error: bool = True) -> None:
        """line: from 1 on; text: a clause."""
        self.line, self.text, self.is_error = line, text, is_error


class Parsed:
    """A whole file.  entries: by name, in the file's order; problems: in the order of its lines."""

    __slots__ = ("entries", "problems")

    def __init__(self) -> None:
        """An empty file."""
        self.entries: dict[bytes, Entry] = {}
        self.problems: list[Problem] = []

    @property
    def is_sound(self) -> bool:
        """Whether every name that the file may have been meant to hold is here."""
        return not any(problem.is_error for problem in self.problems)


def parse(text: bytes, file: bytes = b"") -> Parsed:
    """A file of aliases.  text: any bytes; file: its name, for the entries.  Errors: none, they are in the result."""
    parsed = Parsed()
    entry: Entry | None = None
    for number, line in logical_lines(text):
        try:
            if line[:1] in BLANKS:
                _go_on(entry, line)
            else:
                if entry is not None:
                    _finish(entry, parsed)
                entry = None
                name, rest = name_and_rest(line)
                entry = _entry(parsed, name, file, number)
                _add(entry, rest)
        except BadValueError as bad:
            parsed.problems.append(Problem(number, bad.reason))
            if entry is not None:
                entry.problem, entry.open = entry.problem or bad.reason, True
    if entry is not None:
        _finish(entry, parsed)
    return parsed


def _entry(parsed: Parsed, name: bytes, file: bytes, number: int) -> Entry:
    """A new one; or the one of this name, which gets more values: nobody who is named is left out."""
    known = parsed.entries.get(name)
    if known is None:
        parsed.entries[name] = known = Entry(name, file, number)
    else:
        text = b"%s is there already, on line %d; it means both" % (name, known.line)
        parsed.problems.append(Problem(number, text, is_error=False))
        known.open = True
    return known


def _go_on(entry: Entry | None, line: bytes) -> None:
    if entry is None:
        raise BadValueError(b"the line goes on with nothing: it begins with a blank")
    if not entry.open and not line.lstrip(BLANKS).startswith(b","):
        raise BadValueError(_NO_COMMA)
    _add(entry, line)


def _add(entry: Entry, line: bytes) -> None:
    found, entry.open = values(line)
    entry.values += found


def _finish(entry: Entry, parsed: Parsed) -> None:
    if not entry.values and not entry.problem:
        entry.problem = b"nothing stands behind the colon of " + entry.name
        parsed.problems.append(Problem(entry.line, entry.problem))


def parse_list(text: bytes) -> list[Value]:
    """A list without names: an included file, a .forward.  A line's end separates as a comma does.

    Errors: BadValueError, with the line's number in its reason.
    """
    found: list[Value] = []
    for number, line in logical_lines(text):
        try:
            found += values(line)[0]
        except BadValueError as bad:
            raise BadValueError(b"line %d: " % number + bad.reason) from None
    return found


def logical_lines(text: bytes) -> "Iterator[tuple[int, bytes]]":
    """(number, line) of those that are neither empty nor only a comment; what a backslash joins is one line."""
    joined: list[bytes] = []
    first = 0
    for number, raw in enumerate(text.split(b"\n"), 1):
        line = raw.rstrip(b" \t\r")
        if not joined:
            first = number
            bare = line.lstrip(BLANKS)
            if not bare or bare.startswith(b"#"):
                continue
        if line.endswith(b"\\") and (len(line) - len(line.rstrip(b"\\"))) % 2:
            joined.append(line[:-1])
            continue
        if joined:
            line = b"".join((*joined, line))
            joined.clear()
        if line.strip(BLANKS):
            yield first, line
    if joined:
        yield first, b"".join(joined)
