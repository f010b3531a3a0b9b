"""What is to be installed, read into memory before anything is written.

From there it is written by whoever will own it: root, or (the embedded way) a user who may not even be able to read
the checkout. About 5 MB.
"""

import os
import re
from importlib import metadata, util

from qmailpy.install import memory
from qmailpy.install.interpreter import SYSTEM, choose, of_line
from qmailpy.install.placed import File
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WRITTEN_HOME = b"/var/qmail"  # how the checkout's boot/ and man/ spell the home
DOCUMENTS = ("README.md", "INSTALL.md", "CHANGES.md", "CONTRIBUTING.md", "LICENSE", "UNLICENSE")
DEPENDENCIES = ("dnspython", "setproctitle", "python-daemon", "pure-cdb", "idna")

# what a home's path may not hold: it stands in shell scripts between double quotes, in PATH, in units and launchers
FORBIDDEN = b"\0\n\r\t:\"'$`\\%"


class Goods:
    """All that a home gets.  library: path below lib/VERSION -> content; placed: files elsewhere in the home."""

    __slots__ = ("compiled", "interpreter", "launchers", "library", "placed")

    def __init__(
        self,
        interpreter: bytes,
        library: dict[str, bytes],
        launchers: dict[str, bytes],
        placed: list[File],
        compiled: "Mapping[str, bytes] | None" = None,
    ) -> None:
        """interpreter: the launchers' first line; launchers: name -> content.

        compiled: path -> marshalled code, of those modules of the library that need not be compiled any more.
        """
        self.interpreter, self.library = interpreter, library
        self.launchers, self.placed = launchers, placed
        self.compiled: Mapping[str, bytes] = compiled or {}


def require_path(home: bytes) -> bytes:
    """The home's absolute path, if it can be one.  Errors: Die TEMP."""
    if not home.startswith(b"/"):
        home = os.path.join(os.getcwdb(), home)
    home = os.path.normpath(home)
    if any(byte in FORBIDDEN for byte in home):
        raise Die(TEMP, b"a home's path must not hold any of : \" ' $ ` \\ % or control characters: " + home)
    return home


def gather(
    checkout: bytes,
    home: bytes,
    programs: "Mapping[str, int]",
    extra: "tuple[str, ...]" = (),
    *,
    only_named: bool = False,
) -> Goods:
    """Read everything.  programs: name -> mode of all of them; extra: more dependencies.  Errors: Die TEMP.

    only_named: just what gives the library its name, for who wants to compare that.
    """
    line = choose()
    try:
        launchers = {name: launcher(_read(checkout + b"/bin/" + name.encode()), home, line) for name in programs}
        sources = dict(_package(checkout))
        for name in sorted(distributions((*DEPENDENCIES, *extra))):
            sources.update(_distribution(name))
        library = {path: _read(where) for path, where in sources.items()}
        library.update({f"launchers/{name}": content for name, content in launchers.items()})
        if only_named:
            return Goods(line, library, launchers, [])
        compiled = {path: code for path, where in sources.items() if (code := compiled_code(where))}
        room = memory.limit(of_line(line) or SYSTEM, checkout)
        placed = [File(f"bin/{name}", launchers[name], mode) for name, mode in programs.items()]
        placed += [*_pages(checkout, home), *_boot(checkout, home, room), *_samples(checkout), *_documents(checkout)]
    except OSError as error:
        where = os.fsencode(error.filename or "the checkout")
        raise Die(TEMP, b"unable to read " + where + b": " + words(error)) from None
    return Goods(line, library, launchers, placed, compiled)


def launcher(template: bytes, home: bytes, interpreter: bytes) -> bytes:
    """An installed launcher, from the checkout's: its first line, and the home's path as a literal.

    Errors: Die TEMP where the checkout's file is not a launcher.
    """
    lines = template.split(b"\n")
    at = [number for number, line in enumerate(lines) if line.startswith(b"HOME = ")]
    if len(at) != 1 or not lines[0].startswith(b"#!"):
        raise Die(TEMP, b"a file in the checkout's bin/ is not a launcher: " + lines[0][:60])
    lines[0] = interpreter
    lines[at[0]] = b"HOME = " + literal(home)
    return b"\n".join(lines)


def literal(path: bytes) -> bytes:
    """A path as a Python literal, ASCII, in double quotes (a home's path holds none)."""
    return b'"' + ascii(os.fsdecode(path))[1:-1].encode() + b'"'


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _walk(top: bytes) -> "Iterator[tuple[str, bytes]]":
    """Every file below a directory: its path below it, and its absolute path."""
    for folder, names, files in os.walk(top):
        names[:] = sorted(name for name in names if name != b"__pycache__")
        for name in sorted(files):
            path = folder + b"/" + name
            yield os.fsdecode(path[len(top) + 1 :]), path


def compiled_code(source: bytes) -> bytes | None:
    """A module's marshalled code, where it lies compiled beside its source, and importing it here would execute that.

    The file names in it are this place's: whoever imports it from another puts his in their place.
    """
    path = os.fsdecode(source)
    if not path.endswith(".py"):
        return None
    try:
        status = os.stat(path)
        content = _read(os.fsencode(util.cache_from_source(path, optimization="")))
    except OSError:
        return None
    seconds, size = int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF
    head = util.MAGIC_NUMBER + bytes(4) + seconds.to_bytes(4, "little") + size.to_bytes(4, "little")
    return content[len(head) :] if content.startswith(head) else None


def _package(checkout: bytes) -> "Iterator[tuple[str, bytes]]":
    for name, path in _walk(checkout + b"/qmailpy"):
        if not name.endswith((".pyc", "~", ".orig", ".rej")):
            yield "qmailpy/" + name, path


def distributions(names: "tuple[str, ...]") -> set[str]:
    """These packages and all they need to run.  Errors: Die TEMP with the name of one that is not there."""
    found: set[str] = set()
    todo = [normal(name) for name in names]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            needs = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            raise Die(TEMP, b"no package " + name.encode() + b" here: run it as make setup") from None
        found.add(name)
        todo += [normal(need) for need in needs if not _is_conditional(need)]
    return found


def normal(requirement: str) -> str:
    """A distribution's name, as all spellings of it are compared (PEP 503)."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", match.group()).lower() if match else ""


def _is_conditional(requirement: str) -> bool:
    """Whether it is needed only for an extra, or on another system or Python than ours."""
    condition = requirement.partition(";")[2]
    return "extra" in condition or "win32" in condition or "python_version <" in condition


def _distribution(name: str) -> "Iterator[tuple[str, bytes]]":
    """A package's files, and where they are; not its commands, its tests, or compiled copies."""
    for path in metadata.distribution(name).files or []:
        words_of = path.as_posix()
        if words_of.startswith("..") or "__pycache__" in words_of or words_of.endswith((".pyc", "/RECORD")):
            continue
        yield words_of, os.fsencode(str(path.locate()))


def _pages(checkout: bytes, home: bytes) -> "Iterator[File]":
    for name, path in _walk(checkout + b"/man"):
        section = name.rpartition(".")[2]
        if section in ("1", "5", "7", "8"):
            page = name.rpartition("/")[2]
            yield File(f"man/man{section}/{page}", _read(path).replace(WRITTEN_HOME, home), 0o644)


def _boot(checkout: bytes, home: bytes, room: bytes) -> "Iterator[File]":
    """room: bytes of memory that a session may have, in digits."""
    for name, path in _walk(checkout + b"/boot"):
        mode = 0o755 if os.stat(path).st_mode & 0o100 else 0o644
        content = _read(path).replace(WRITTEN_HOME, home).replace(memory.WRITTEN, room)
        yield File(f"boot/{name}", content, mode)


def _samples(checkout: bytes) -> "Iterator[File]":
    for name, path in _walk(checkout + b"/control/samples"):
        yield File(f"control/samples/{name}", _read(path), 0o644)


def _documents(checkout: bytes) -> "Iterator[File]":
    for name in DOCUMENTS:
        path = checkout + b"/" + name.encode()
        if os.path.exists(path):
            yield File(f"doc/{name}", _read(path), 0o644)
    for name, path in _walk(checkout + b"/PIC"):
        yield File(f"doc/PIC/{name}", _read(path), 0o644)
    if os.path.exists(checkout + b"/alias/README"):
        yield File("doc/alias", _read(checkout + b"/alias/README"), 0o644)
