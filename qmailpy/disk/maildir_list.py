"""What is in a Maildir, for programs that read one: qmail-pop3d, maildir2mbox, maildirwatch.

Oldest first, by the second of their mtime; of what came within this very second nothing yet, so that the order is the
same the next time. Source: spec/01-programs.md 5.
"""

import posix

from qmailpy.disk.layout import OSSIFIED
from qmailpy.verdict import TEMP, Die, words

_KIND, _REGULAR = 0o170000, 0o100000  # of st_mode


class Mail:
    """One message.  path: from the Maildir on, as new/NAME; mtime: seconds since the epoch; size: bytes."""

    __slots__ = ("mtime", "path", "size")

    def __init__(self, path: bytes, mtime: int, size: int) -> None:
        """As above."""
        self.path, self.mtime, self.size = path, mtime, size


def listing(folder: bytes, parts: tuple[bytes, ...], now: int) -> list[Mail]:
    """The messages in these parts (new, cur) of a Maildir, oldest first.

    folder: with its slash at the end, or empty for the current directory; now: seconds since the epoch.
    Errors: Die TEMP.
    """
    found: list[Mail] = []
    for part in parts:
        try:
            names = posix.listdir(folder + part)
        except OSError as error:
            raise Die(TEMP, b"unable to scan $MAILDIR/" + part + b": " + words(error)) from None
        for name in names:
            if name.startswith(b"."):
                continue
            try:
                status = posix.stat(folder + part + b"/" + name)
            except OSError:  # a reader has just moved it
                continue
            if status.st_mode & _KIND == _REGULAR and int(status.st_mtime) < now:
                found.append(Mail(part + b"/" + name, int(status.st_mtime), status.st_size))
    found.sort(key=lambda mail: (mail.mtime, mail.path.partition(b"/")[2]))
    return found


def clean(folder: bytes, now: int) -> None:
    """Remove from tmp/ what nobody has touched for 36 hours: no delivery takes so long.  Errors: none."""
    try:
        names = posix.listdir(folder + b"tmp")
    except OSError:
        return
    for name in names:
        if name.startswith(b"."):
            continue
        path = folder + b"tmp/" + name
        try:
            if posix.lstat(path).st_atime < now - OSSIFIED:
                posix.unlink(path)
        except OSError:
            continue
