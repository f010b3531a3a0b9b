"""Who owns what in a home: the roles' names as numbers, for the classic and the embedded way."""

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
