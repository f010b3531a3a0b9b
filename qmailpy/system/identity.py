"""Who we are and who we become: the only file that calls set*id.

Privilege is dropped once, for good: groups, then gid, then uid, then the proof: getres*id say so
and setuid(0) fails. The accounts of the roles are those of spec/00-common.md 1.
"""

import posix

from qmailpy.verdict import TEMP, Die

ROLES = ("alias", "qmaild", "qmaill", "root", "qmailp", "qmailq", "qmailr", "qmails")
GROUPS = ("qmail", "nofiles")


class Account:
    """A uid and the gid it runs with here."""

    __slots__ = ("gid", "name", "uid")

    def __init__(self, name: str, uid: int, gid: int) -> None:
        """name: the role; uid, gid: numbers."""
        self.name, self.uid, self.gid = name, uid, gid


class Roles:
    """The numeric identities of all roles.

    uid: role -> uid; gid: "qmail" and "nofiles" -> gid. Looked up once, at start.
    """

    __slots__ = ("gid", "uid")

    def __init__(self, uid: dict[str, int], gid: dict[str, int]) -> None:
        """uid: one for each of ROLES; gid: one for each of GROUPS."""
        self.uid, self.gid = uid, gid

    def account(self, role: str) -> Account:
        """The identity a program of this role runs with (spec/01 1, spec/03 1)."""
        group = "qmail" if role in ("root", "qmailq", "qmailr", "qmails") else "nofiles"
        return Account(role, self.uid[role], self.gid[group])


def classic_roles() -> Roles:
    """The accounts of this machine, from any NSS source.

    Errors: Die TEMP with the name that is missing, as notqmail says it.
    """
    import grp
    import pwd

    uid: dict[str, int] = {}
    gid: dict[str, int] = {}
    for role in ROLES:
        try:
            uid[role] = pwd.getpwnam(role).pw_uid
        except KeyError:
            raise Die(TEMP, b"unable to find user " + role.encode()) from None
    for group in GROUPS:
        try:
            gid[group] = grp.getgrnam(group).gr_gid
        except KeyError:
            raise Die(TEMP, b"unable to find group " + group.encode()) from None
    return Roles(uid, gid)


def embedded_roles() -> Roles:
    """Every role is whoever we are (DESIGN 2, "Embedded")."""
    uid, gid = posix.geteuid(), posix.getegid()
    return Roles(dict.fromkeys(ROLES, uid), dict.fromkeys(GROUPS, gid))


def become(uid: int, gid: int) -> None:
    """Be uid:gid with no other group, for good, or raise.

    An ordinary user (the embedded way) can only become himself, and keeps his groups.
    Errors: Die TEMP; the caller must not go on.
    """
    if posix.geteuid() == 0:
        try:
            posix.setgroups([gid])
            posix.setresgid(gid, gid, gid)
            posix.setresuid(uid, uid, uid)
        except OSError:
            raise Die(TEMP, b"unable to become uid %d" % uid) from None
        if posix.getgroups() != [gid]:
            raise Die(TEMP, b"unable to drop supplementary groups")
    if posix.getresuid() != (uid, uid, uid) or posix.getresgid() != (gid, gid, gid):
        raise Die(TEMP, b"unable to become uid %d" % uid)
    if uid != 0:
        try:
            posix.setuid(0)
        except OSError:
            return
        raise Die(TEMP, b"unable to drop root for good")


def group_only(gid: int) -> None:
    """Root keeps its uid but has this one group (qmail-start's first act, spec/03 1)."""
    if posix.geteuid() != 0:
        return
    posix.setgroups([gid])
    posix.setresgid(gid, gid, gid)


def my_uid() -> int:
    """Our effective uid."""
    return posix.geteuid()


def my_gid() -> int:
    """Our effective gid."""
    return posix.getegid()


def my_pid() -> int:
    """Our process id."""
    return posix.getpid()


def host() -> bytes:
    """What this machine calls itself."""
    return posix.uname().nodename.encode("utf-8", "surrogateescape")


def is_root() -> bool:
    """Whether we may become others."""
    return posix.geteuid() == 0


def my_name() -> bytes:
    """Our account's name, or its number where there is no account (a container)."""
    import pwd

    try:
        return pwd.getpwuid(posix.geteuid()).pw_name.encode("utf-8", "surrogateescape")
    except KeyError:
        return b"%d" % posix.geteuid()
