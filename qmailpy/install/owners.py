"""Who owns what in a home: the roles' names as numbers, for the classic and the embedded way."""

import errno
import os

from qmailpy.system import identity


class Owners:
    """uid of "root", "qmailq", ...; gid of "qmail", "nofiles", "root"."""

    __slots__ = ("gid", "uid")

    def __init__(self, uid: dict[str, int], gid: dict[str, int]) -> None:
        """As the tables of disk/layout name them."""
        self.uid, self.gid = uid, gid


def classic() -> Owners:
    """The accounts of this machine.  Errors: Die TEMP with the name that is missing."""
    roles = identity.classic_roles()
    return Owners(roles.uid, {**roles.gid, "root": 0})


def embedded(uid: int, gid: int) -> Owners:
    """One uid has every role."""
    return Owners(dict.fromkeys(identity.ROLES, uid), dict.fromkeys((*identity.GROUPS, "root"), gid))


def make_directory_for(path: bytes, uid: int) -> None:
    """Make a directory and give it away.  Errors: OSError, FileExistsError among them.

    What is given away is what was made: its parent may belong to somebody who puts a link in its place meanwhile.
    """
    os.mkdir(path, 0o755)
    made = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(made).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "somebody exchanged the directory", path)
        os.fchown(made, uid, group_of(uid))
    finally:
        os.close(made)


def group_of(uid: int) -> int:
    """The user's primary group; the same number where there is no such account (a container)."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid
