"""From a user and an extension to the .qmail file: found, checked, read (spec/05-local.md 4).

Paths are relative to the working directory, which is the user's home, and the process is the user: nothing here may
run as root. Used by local/; whatever explains where an address goes asks the same functions.
Files are opened without waiting (a FIFO is no .qmail) and never larger than LIMIT in memory.
"""

import errno
import posix

from qmailpy.rules import dotqmail, instructions
from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die, is_temporary, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Tell = Callable[[bytes], None]

LIMIT = 64 << 20  # bytes of instructions; a list of a million members has some 30 MB
FORBIDDEN = 0o002  # mode bits that nobody's home or .qmail may have (conf-patrn)
_KIND, _REGULAR, _OWNER_X, _STICKY = 0o170000, 0o100000, 0o100, 0o1000
_REFUSED = (errno.EPERM, errno.EACCES)  # it exists, and we may not know what it says


class Found:
    """The file that holds the instructions.

    default: what $DEFAULT is, None: not set; forward_only: its x bit is set.
    """

    __slots__ = ("default", "forward_only", "name", "text")

    def __init__(self, name: bytes, text: bytes, default: bytes | None, *, forward_only: bool) -> None:
        """name: relative to the home; text: its whole content."""
        self.name, self.text, self.default, self.forward_only = name, text, default, forward_only


def is_sticky_home() -> bool:
    """Whether the user is editing his .qmail files now; looks at the working directory.

    Errors: Die TEMP where others can write to the home, or it cannot be looked at.
    """
    try:
        mode = posix.stat(b".").st_mode
    except OSError as error:
        raise Die(TEMP, b"Unable to stat home directory: " + words(error) + b". (#4.3.0)") from None
    if mode & FORBIDDEN:
        raise Die(TEMP, b"Uh-oh: home directory is writable. (#4.7.0)")
    return bool(mode & _STICKY)


def find(dash: bytes, ext: bytes, tell: "Tell | None" = None) -> Found | None:
    """The first file there is for this extension, default files last; None where there is none.

    tell: hears each name before it is looked at.
    Errors: Die TEMP for a file that exists and cannot be read now, or that others can write.
    """
    for candidate in dotqmail.candidates(dash, ext):
        if tell is not None:
            tell(candidate.name)
        found = _read(candidate)
        if found is not None:
            return found
    return None


def steps(found: Found | None, default: bytes) -> "Iterator[instructions.Instruction]":
    """The user's own instructions; with no file, or an empty one, the default delivery."""
    if found is None or not found.text:
        return instructions.parse(default, forward_only=False)
    return instructions.parse(found.text, forward_only=found.forward_only)


def exists(name: bytes) -> bool:
    """Whether there is something of this name.  Errors: Die TEMP where that cannot be said now."""
    try:
        posix.stat(name)
    except OSError as error:
        if is_temporary(error.errno):
            raise _cannot_open(name, error) from None
        return False
    return True


def new_sender(sender: bytes, dash: bytes, ext: bytes, local: bytes, domain: bytes) -> bytes:
    """The sender of what is forwarded: the owner's address where there is an owner file."""
    if not dotqmail.may_have_owner(sender) or not exists(dotqmail.owner_file(dash, ext)):
        return sender
    return dotqmail.owner_sender(local, domain, verp=exists(dotqmail.owner_default_file(dash, ext)))


def _read(candidate: dotqmail.Candidate) -> Found | None:
    name = candidate.name
    try:
        descriptor = posix.open(name, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC)
    except OSError as error:
        if is_temporary(error.errno) or error.errno in _REFUSED:
            raise _cannot_open(name, error) from None
        return None
    try:
        return _read_open(descriptor, candidate)
    except OSError as error:
        raise Die(TEMP, b"Unable to read " + name + b": " + words(error) + b". (#4.3.0)") from None


def _read_open(descriptor: int, candidate: dotqmail.Candidate) -> Found | None:
    try:
        mode = posix.fstat(descriptor).st_mode
        if mode & _KIND != _REGULAR:
            return None
        if mode & FORBIDDEN:
            raise Die(TEMP, b"Uh-oh: .qmail file is writable. (#4.7.0)")
        text = descriptors.read_whole(descriptor, LIMIT)
    finally:
        posix.close(descriptor)
    return Found(candidate.name, text, candidate.default, forward_only=bool(mode & _OWNER_X))


def _cannot_open(name: bytes, error: OSError) -> Die:
    return Die(TEMP, b"Unable to open " + name + b": " + words(error) + b". (#4.3.0)")
