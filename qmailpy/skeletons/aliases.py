"""The aliases of this home: which files they are, the compiled map, and from a name to its entry and to its ends.

control/aliasfile lists the files, the first that has a name decides; without it /etc/aliases, else /etc/mail/aliases
(in an embedded home alias/aliases). newaliases compiles them into users/aliases.cdb, in the home: other mail systems
have an /etc/aliases.cdb of their own, and each home of a machine has its own files. The map remembers the stamps of its
sources; as soon as one differs, the files themselves are read, and it does not matter whether anybody ran newaliases.

A mistake in a file never bounces mail: what is right in it is used, and a name that is not found waits, for it may have
been in the line that is wrong. Used by qmail-aliases and newaliases, and by whatever explains or checks an address.
"""

from qmailpy.disk import control, regular
from qmailpy.disk.home import Home
from qmailpy.rules import aliases
from qmailpy.rules.aliases import Entry, Parsed
from qmailpy.rules.aliasvalue import decode, encode
from qmailpy.rules.expansion import Ends, Expansion, Ground
from qmailpy.skeletons.address import ALIAS
from qmailpy.system import clock
from qmailpy.verdict import TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qmailpy.disk.cdb import Cdb
    from qmailpy.rules.expansion import Tell

CONTROL = "aliasfile"
USUAL = (b"/etc/aliases", b"/etc/mail/aliases")
CATCH_ALL = b"*"  # dma's: whatever else no line is about
_FRESH = 10  # seconds: an editor may not have written all of the file yet
_VERSION = b"1"
_SOURCES = b""  # the key under which the map keeps its version, and path, mtime and size of each source


class Source:
    """A file of aliases that was read."""

    __slots__ = ("content", "parsed", "path")

    def __init__(self, path: bytes, content: regular.Content, parsed: Parsed) -> None:
        """parsed: of the content."""
        self.path, self.content, self.parsed = path, content, parsed


def map_path(home: Home) -> bytes:
    """Where the compiled map is."""
    return home.at(b"users", b"aliases.cdb")


def paths(home: Home) -> list[bytes]:
    """The files, in the order in which they are asked; empty where there is none.  Errors: Die TEMP."""
    named = control.listing(home, CONTROL)
    if named is not None:
        return [path if path.startswith(b"/") else home.at(path) for path in named]
    usual = (home.at(b"alias", b"aliases"),) if home.embedded else USUAL
    return [path for path in usual if regular.stamp_of(path) is not None][:1]


def read_source(path: bytes) -> Source:
    """A file, parsed.  Errors: Die TEMP where it cannot be read, or is not there."""
    content = regular.read(path)
    if content is None:
        raise Die(TEMP, b"Unable to open " + path + b": file does not exist. (#4.3.0)")
    return Source(path, content, aliases.parse(content.text, path))


def records(sources: list[Source]) -> "Iterator[tuple[bytes, bytes]]":
    """The map of these files, which have no error in them."""
    stamps = [_VERSION]
    for number, source in enumerate(sources):
        stamps += [source.path, *(b"%d" % part for part in source.content.stamp)]
        earlier = [other.parsed.entries for other in sources[:number]]
        for name, entry in source.parsed.entries.items():
            if not any(name in names for names in earlier):
                yield b":" + name, b"%d\0%d\0" % (number, entry.line) + encode(entry.values)
    yield _SOURCES, b"\0".join(stamps)


class Aliases:
    """The aliases as they are now.  Errors of every method: Die TEMP."""

    def __init__(self, home: Home, named: list[bytes] | None = None) -> None:
        """named: files that are asked instead of the home's; they are read as they are."""
        self._paths = paths(home) if named is None else named
        self._map = map_path(home) if named is None else b""
        self._sources: list[Source] = []
        self._compiled = self._current_map() if self._map and self._paths else None
        if self._compiled is None:
            self._sources = [read_source(path) for path in self._paths]
        if not self._paths and self._map and regular.stamp_of(self._map) is not None:
            raise Die(TEMP, b"The aliases file is gone, but " + self._map + b" is still there. (#4.3.0)")

    @property
    def complaints(self) -> "Iterator[bytes]":
        """What is wrong in the files, a line each; nothing where the map is used."""
        for source in self._sources:
            for problem in source.parsed.problems:
                yield b"%s line %d: %s" % (source.path, problem.line, problem.text)

    @property
    def is_compiled(self) -> bool:
        """Whether the map answers, and not the files."""
        return self._compiled is not None

    def lookup(self, local: bytes, domain: bytes) -> Entry | None:
        """The entry for an address that came from outside: as find(), and last the one that catches all."""
        found = self.find(local, domain)
        return self._entry(CATCH_ALL) if found is None else found

    def find(self, local: bytes, domain: bytes) -> Entry | None:
        """The entry for local@domain: for user@host, @host or user, and of user+ext the user's where it has none.

        local, domain: in any letter case.
        """
        box, host = local.lower(), domain.lower()
        user = box.partition(b"+")[0] if b"+" in box[1:] else b""
        names = [box + b"@" + host, user and user + b"@" + host, b"@" + host, box, user]
        for name in names:
            if name and (entry := self._entry(name)) is not None:
                return entry
        return None

    def require_complete(self) -> None:
        """A name was not found: whether that can be believed.  Errors: Die TEMP where it may come to be there."""
        for source in self._sources:
            if not source.parsed.is_sound:
                problem = next(each for each in source.parsed.problems if each.is_error)
                text = b"Unable to use %s line %d: %s. (#4.3.5)" % (source.path, problem.line, problem.text)
                raise Die(TEMP, text)
            if abs(clock.now() - source.content.stamp[0] // 1_000_000_000) < _FRESH:
                raise Die(TEMP, source.path + b" has just been changed: I'll look again later. (#4.3.0)")

    def _entry(self, name: bytes) -> Entry | None:
        if self._compiled is not None:
            return self._compiled_entry(self._compiled, name)
        for source in self._sources:
            if (entry := source.parsed.entries.get(name)) is not None:
                return entry
        return None

    def _compiled_entry(self, compiled: "Cdb", name: bytes) -> Entry | None:
        content = self._ask(compiled, b":" + name)
        if content is None:
            return None
        number, _, rest = content.partition(b"\0")
        line, _, encoded = rest.partition(b"\0")
        values = decode(encoded)
        if values is None or not number.isdigit() or not line.isdigit() or int(number[:9]) >= len(self._paths):
            raise self._damaged()
        entry = Entry(name, self._paths[int(number)], int(line[:18]))
        entry.values = values
        return entry

    def _current_map(self) -> "Cdb | None":
        """The map, if it was made of these very files as they are now.  One that is damaged is as good as none."""
        from qmailpy.disk.cdb import Cdb

        stamps = [_VERSION]
        for path in self._paths:
            stamp = regular.stamp_of(path)
            if stamp is None:
                return None
            stamps += [path, *(b"%d" % part for part in stamp)]
        try:
            compiled = Cdb(self._map)
            return compiled if compiled.get(_SOURCES) == b"\0".join(stamps) else None
        except OSError:
            return None

    def _ask(self, compiled: "Cdb", key: bytes) -> bytes | None:
        try:
            return compiled.get(key)
        except OSError:
            raise self._damaged() from None

    def _damaged(self) -> Die:
        return Die(TEMP, b"Unable to read " + self._map + b": run newaliases. (#4.3.5)")


def wanted_name(variables: "Mapping[bytes, bytes]", *, by_default: bool) -> bytes | None:
    """What qmail-aliases looks up; None where the variables do not say it.

    variables: of qmail-local; by_default: what its -d asks for: $DEFAULT, else $EXT.  Else $EXT for the account alias,
    who has what is nobody's, and $LOCAL for everybody else.
    """
    ext = variables.get(b"EXT")
    if by_default:
        return variables.get(b"DEFAULT", ext)
    return ext if ext and variables.get(b"USER") == ALIAS else variables.get(b"LOCAL")


def _locals(home: Home) -> frozenset[bytes]:
    names = control.listing(home, "locals")
    if names is None:
        me = control.line(home, "me")
        names = [] if me is None else [me]
    return frozenset(name.lower() for name in names)


def own_addresses(home: Home, boxes: list[bytes], host: bytes) -> frozenset[bytes]:
    """The addresses, in lower case, by which an alias or a .forward means the mailbox of this delivery.

    boxes: local parts of it; host: that mail came to.  A name without host is one only if the host is ours: of a
    virtual domain's user it is the name of another.
    """
    own = [box + b"@" + host for box in boxes]
    if host.lower() in _locals(home):
        own += boxes
    return frozenset(address.lower() for address in own)


def read_list(path: bytes) -> bytes:
    """An included list.  Errors: Die TEMP; one that is not there may only be on its way."""
    content = regular.read(path)
    if content is None:
        raise Die(TEMP, b"Unable to open " + path + b": file does not exist. (#4.3.0)")
    return content.text


def ends_of(
    found: Entry,
    known: Aliases,
    home: Home,
    host: bytes,
    own: frozenset[bytes],
    tell: "Tell | None" = None,
    *,
    has_mailbox: bool,
) -> Ends:
    """Where an alias leads.

    host: of the address that mail came to; own: that address, in lower case and all its forms; has_mailbox: it has a
    mailbox, where the mail goes if the alias says so; tell: hears each step.  Errors: Die.
    """
    domains = _locals(home) | {host.lower()}
    ground = Ground(known.find, read_list, own, domains, host, tell, has_mailbox=has_mailbox)
    ends = Expansion(ground).of_entry(found)
    if ends.is_here and not has_mailbox:
        raise Die(TEMP, b"The alias " + found.name + b" names itself, and there is no such mailbox. (#4.3.5)")
    return ends
