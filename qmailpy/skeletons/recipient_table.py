"""users/recipients.cdb: what qmail-recipients, as root, has seen and qmaild may not.

Two things (rules/existing has the first): the addresses of domains whose list is complete; and the names of the .qmail
files in homes that qmaild cannot enter. With such a home stands the time of its last change: as soon as a file comes
or goes there, the kernel changes it, and the names in the table count no more. So a recipient is never refused because
the table is old; at worst one is accepted that does not exist.

The table is for root and group nofiles alone: names of files in private homes are nobody else's business.
"""

import posix

from qmailpy.disk.cdb import Cdb
from qmailpy.disk.home import Home
from qmailpy.rules import dotqmail, existing
from qmailpy.wire.getpw import User

_HOME, _FILE = b"\0home:", b"\0file:"


def path_of(home: Home) -> bytes:
    """Where it is."""
    return home.at(b"users", b"recipients.cdb")


def home_record(folder: bytes, changed: int) -> tuple[bytes, bytes]:
    """This home's .qmail files are all in the table.  changed: nanoseconds, the directory's mtime."""
    return _HOME + folder, b"%d" % changed


def file_record(folder: bytes, name: bytes) -> tuple[bytes, bytes]:
    """One of them."""
    return _FILE + folder + b"\0" + name, b""


class Table:
    """As it is now; without one, nothing is said about anybody.  Errors of every method: OSError for a damaged one."""

    __slots__ = ("_path",)

    def __init__(self, home: Home) -> None:
        """home: whose users/ it is in."""
        self._path = path_of(home)

    def has_address(self, address: bytes) -> bool | None:
        """Whether this address is in its domain's list; None where that domain has none."""
        domain = address.rpartition(existing.AT)[2]
        try:
            with Cdb(self._path) as table:
                if table.get(existing.domain_key(domain)) is None:
                    return None
                for key in existing.keys(address):
                    value = table.get(key)
                    if value is not None:
                        return value == existing.YES
        except (FileNotFoundError, PermissionError):
            return None
        return False

    def has_file(self, user: User) -> bool | None:
        """Whether this user has a .qmail file for his extension; None: it is not known, or not any more."""
        try:
            with Cdb(self._path) as table:
                changed = table.get(_HOME + user.home)
                if changed is None or changed != b"%d" % posix.stat(user.home).st_mtime_ns:
                    return None
                candidates = dotqmail.candidates(user.dash, user.ext)
                return any(table.get(_FILE + user.home + b"\0" + each.name) is not None for each in candidates)
        except (FileNotFoundError, PermissionError):
            return None
