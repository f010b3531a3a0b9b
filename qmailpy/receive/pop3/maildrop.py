"""The messages of a Maildir as one POP3 session sees them: listed once, numbered from 1, removed at its end only.

The current directory is the Maildir. Other readers may rename and remove messages meanwhile: one that has only been
renamed is found again.
"""

import posix

from qmailpy.disk import maildir_list
from qmailpy.disk.maildir_list import Mail
from qmailpy.wire import pop3

_PARTS = (b"new", b"cur")
_SEEN_ENDING = b":2,"  # what a reader puts behind the name of a message that it has moved to cur/


class Maildrop:
    """mails: message n is mails[n - 1]; deleted: numbers; last: the highest that was deleted."""

    __slots__ = ("_now_at", "deleted", "last", "mails")

    def __init__(self, now: int) -> None:
        """now: seconds since the epoch.  Errors: Die TEMP, it cannot be listed."""
        maildir_list.clean(b"", now)
        self.mails: list[Mail] = maildir_list.listing(b"", _PARTS, now)
        self.deleted: set[int] = set()
        self.last = 0
        self._now_at: dict[bytes, bytes] | None = None

    def listed(self) -> "list[tuple[int, Mail]]":
        """Those that are not deleted, with their numbers."""
        return [(number, mail) for number, mail in enumerate(self.mails, 1) if number not in self.deleted]

    def delete(self, number: int) -> None:
        """At the end of the session."""
        self.deleted.add(number)
        self.last = max(self.last, number)

    def undelete(self) -> None:
        """All of them."""
        self.deleted.clear()
        self.last = 0

    def open(self, number: int) -> int:
        """A descriptor to read a message from.  Errors: OSError."""
        flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
        mail = self.mails[number - 1]
        try:
            return posix.open(mail.path, flags)
        except FileNotFoundError:
            self._find_again(mail)
            return posix.open(mail.path, flags)

    def finish(self) -> bool:
        """Remove what was deleted, and mark the others as no longer new: whether all could be removed."""
        whole = True
        for number, mail in enumerate(self.mails, 1):
            if number in self.deleted:
                whole = self._remove(mail) and whole
            elif mail.path.startswith(b"new/"):
                try:
                    posix.rename(mail.path, b"cur/" + mail.path[4:] + _SEEN_ENDING)
                except OSError:  # another reader was first, or the disk is full: it stays new
                    continue
        return whole

    def _remove(self, mail: Mail) -> bool:
        try:
            try:
                posix.unlink(mail.path)
            except FileNotFoundError:
                self._find_again(mail)
                posix.unlink(mail.path)
        except OSError:
            return False
        return True

    def _find_again(self, mail: Mail) -> None:
        """Where it is now, if another reader has renamed it.  All are looked up at once, once in a session."""
        if self._now_at is None:
            self._now_at = {}
            for part in _PARTS:
                try:
                    names = posix.listdir(part)
                except OSError:
                    continue
                self._now_at.update((pop3.unique_id(name), part + b"/" + name) for name in names)
        mail.path = self._now_at.get(pop3.unique_id(mail.path.partition(b"/")[2]), mail.path)
