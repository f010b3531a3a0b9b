"""Launchers: what stands in bin/, and whether it still is ours.

A script never learns its caller's argv[0], so every name in bin/ is a file of its own that holds its program's
name and the home. What an administrator put in the place of one is always really executed; ours may be run without
an exec. A launcher is ours while it is byte-equal to the pristine copy that setup left beside the library.
"""

import posix

SIZE_LIMIT = 4096  # bytes; a launcher has about 300
_ALL_MAY_WRITE, _GROUP_MAY_WRITE = 0o002, 0o020


class Launchers:
    """Remembers what it compared, by inode, size and times: one stat a question."""

    def __init__(self, library: bytes) -> None:
        """library: the directory that holds the package, and launchers/ where it is installed."""
        self._library = library
        self._known: dict[bytes, tuple[tuple[int, ...], bool]] = {}

    def is_ours(self, path: bytes) -> bool:
        """Whether this program is our own launcher, unreplaced.  path: of a program, with a slash."""
        try:
            status = posix.stat(path)
        except OSError:
            return False
        identity = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        known = self._known.get(path)
        if known is None or known[0] != identity:
            known = (identity, self._compare(path))
            self._known[path] = known
        return known[1]

    def _compare(self, path: bytes) -> bool:
        pristine = _content(self._library + b"/launchers/" + path.rpartition(b"/")[2])
        return pristine is not None and pristine == _content(path)


def _content(path: bytes) -> bytes | None:
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        return posix.read(descriptor, SIZE_LIMIT)
    finally:
        posix.close(descriptor)


def is_pristine(home: bytes, name: bytes) -> bool:
    """Whether bin/NAME is the launcher that belongs to the library which lib/current leads to."""
    pristine = _content(home + b"/lib/current/launchers/" + name)
    return pristine is not None and pristine == _content(home + b"/bin/" + name)


def library() -> bytes:
    """The directory this very code was loaded from."""
    return __file__.encode("utf-8", "surrogateescape").rpartition(b"/qmailpy/")[0]


def is_current(home: bytes) -> bool:
    """Whether the home's library still is the one we run: a new setup switches lib/current by rename.

    True where there is no lib/current (nothing to switch to).
    """
    try:
        link = posix.readlink(home + b"/lib/current")
    except OSError:
        return True
    return link == library()


def others_can_write(path: bytes) -> bool:
    """Whether anybody but root can change this file or directory; nobody can where there is none.

    A link is followed; the group of root (0) is root.  Errors: OSError of stat.
    """
    try:
        status = posix.stat(path)
    except FileNotFoundError:
        return False
    by_group = status.st_mode & _GROUP_MAY_WRITE and status.st_gid != 0
    return bool(status.st_uid != 0 or status.st_mode & _ALL_MAY_WRITE or by_group)


def first_writable(top: bytes) -> bytes | None:
    """The first thing in a directory, or it, on all its levels, that anybody but root can change; None: there is none.

    Errors: OSError where something cannot be looked at.
    """
    if others_can_write(top):
        return top
    folders = [top]
    while folders:
        folder = folders.pop()
        with posix.scandir(folder) as entries:
            for entry in entries:
                if others_can_write(entry.path):
                    return entry.path
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return None
