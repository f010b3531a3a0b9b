"""Directories, queue files and their owners and modes, as the tables of disk/layout say.

Some of these directories belong to roles that root does not trust, so nothing here follows a path twice: each step is
opened without following links, and what is open is changed. A link is followed only where root (or, the embedded
way, the home's owner) put it: a queue that lies on another disk.
"""

import errno
import os
import stat

from qmailpy.disk.layout import HOME, QUEUE, Entry
from qmailpy.install.owners import Owners
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = {"dir": stat.S_IFDIR, "file": stat.S_IFREG, "fifo": stat.S_IFIFO}
WORDS = {"dir": "a directory", "file": "a file", "fifo": "a named pipe"}
_LOOK = os.O_NONBLOCK | os.O_CLOEXEC
_MORE_FLAGS = {"dir": os.O_DIRECTORY, "file": os.O_RDWR, "fifo": os.O_RDONLY}


def entries() -> list[Entry]:
    """All of a home, parents before what is in them."""
    return [*HOME, *QUEUE]


class Tree:
    """A home's directories.  home: absolute path; owners: who should own what; say: gets one line per repair."""

    def __init__(self, home: bytes, owners: Owners, say: "Callable[[str], None]") -> None:
        """Nothing is opened yet."""
        self._home, self._owners, self._say = home, owners, say
        self.made = 0

    def make(self, wanted: list[Entry]) -> None:
        """Make what is missing and put owners and modes right.  Errors: Die TEMP, with the path."""
        before = os.umask(0o077)
        try:
            for entry in wanted:
                self._make(entry)
        finally:
            os.umask(before)

    def _make(self, entry: Entry) -> None:
        path = where(self._home, entry.path)
        try:
            descriptor, is_new = self._open_or_create(entry)
            try:
                repaired = self._repair(entry, descriptor, path)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Die(TEMP, b"unable to make " + path + b": " + words(error)) from None
        if is_new:
            self.made += 1
        elif repaired:
            self._say(f"repaired {os.fsdecode(path)}: {', '.join(repaired)}")

    def _open_or_create(self, entry: Entry) -> tuple[int, bool]:
        if entry.path == ".":
            is_new = not os.path.isdir(self._home)
            _make_parents(self._home)
            return os.open(self._home, _LOOK | os.O_DIRECTORY), is_new
        folder, _, name = entry.path.rpartition("/")
        parent = self.open_folder(folder)
        try:
            try:
                return self._open(parent, name, entry.kind), False
            except FileNotFoundError:
                _create(parent, name, entry)
            return self._open(parent, name, entry.kind), True
        finally:
            os.close(parent)

    def open_folder(self, path: str) -> int:
        """A directory of the home, opened step by step.  path: relative; empty: the home itself."""
        descriptor = os.open(self._home, _LOOK | os.O_DIRECTORY)
        for name in filter(None, path.split("/")):
            try:
                following = self._open(descriptor, name, "dir")
            finally:
                os.close(descriptor)
            descriptor = following
        return descriptor

    def _open(self, parent: int, name: str, kind: str) -> int:
        flags = _LOOK | _MORE_FLAGS[kind]
        try:
            return os.open(name, flags | os.O_NOFOLLOW, dir_fd=parent)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR) or kind != "dir":
                raise
            trusted = self._owners.uid["root"]
            link = os.lstat(name, dir_fd=parent)
            if not stat.S_ISLNK(link.st_mode) or {link.st_uid, os.fstat(parent).st_uid} != {trusted}:
                raise
            return os.open(name, flags, dir_fd=parent)

    def _repair(self, entry: Entry, descriptor: int, path: bytes) -> list[str]:
        """Put owner, mode and size right.  Result: what was wrong."""
        status = os.fstat(descriptor)
        if stat.S_IFMT(status.st_mode) != KINDS[entry.kind]:
            raise Die(TEMP, path + b" is not " + WORDS[entry.kind].encode() + b": move it away and run setup again")
        if entry.kind == "file" and status.st_nlink != 1:
            raise Die(TEMP, path + b" has a second name: remove it and run setup again")
        repaired = []
        uid, gid = self._owners.uid[entry.owner], self._owners.gid[entry.group]
        if (status.st_uid, status.st_gid) != (uid, gid):
            os.fchown(descriptor, uid, gid)
            repaired.append(f"owner {status.st_uid}:{status.st_gid} -> {uid}:{gid}")
            status = os.fstat(descriptor)  # chown may have taken the set-gid bit away
        if stat.S_IMODE(status.st_mode) != entry.mode:
            os.fchmod(descriptor, entry.mode)
            repaired.append(f"mode {stat.S_IMODE(status.st_mode):04o} -> {entry.mode:04o}")
        if entry.kind == "file" and status.st_size < entry.size:
            os.ftruncate(descriptor, entry.size)
            repaired.append(f"size {status.st_size} -> {entry.size}")
        return repaired


def _make_parents(path: bytes) -> None:
    """Missing directories down to the home: anybody may go through them, nobody but us writes in them."""
    before = os.umask(0o022)
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    finally:
        os.umask(before)


def _create(parent: int, name: str, entry: Entry) -> None:
    if entry.kind == "dir":
        os.mkdir(name, 0o700, dir_fd=parent)
    elif entry.kind == "fifo":
        os.mkfifo(name, 0o600, dir_fd=parent)
    else:
        descriptor = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent
        )
        try:
            os.write(descriptor, bytes(entry.size))
        finally:
            os.close(descriptor)


def where(home: bytes, path: str) -> bytes:
    """An entry's absolute path."""
    return home if path == "." else home + b"/" + path.encode()
