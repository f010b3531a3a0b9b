"""Users and groups of the roles: made where they are missing, or their commands printed.

None of them gets a home from /etc/skel: its dot files would lie in alias/, and a .qmail there is a delivery
instruction. Accounts that exist are never changed.  Source: spec/00-common.md 1.
"""

import grp
import os
import pwd

from qmailpy.install import commands
from qmailpy.verdict import TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GROUPS = ("nofiles", "qmail")

# user, group, home below the home
USERS = (
    ("alias", "nofiles", "/alias"),
    ("qmaild", "nofiles", ""),
    ("qmaill", "nofiles", ""),
    ("qmailp", "nofiles", ""),
    ("qmailq", "qmail", ""),
    ("qmailr", "qmail", ""),
    ("qmails", "qmail", ""),
)

# system -> command for a group, command for a user, the shell that refuses
SYSTEMS = {
    "linux": ("groupadd --system {group}", "useradd --system -M -g {group} -d {home} -s {shell} {user}", ""),
    "freebsd": ("pw groupadd {group}", "pw useradd {user} -g {group} -d {home} -s {shell}", "/usr/sbin/nologin"),
    "netbsd": ("groupadd {group}", "useradd -g {group} -d {home} -s {shell} {user}", "/sbin/nologin"),
}


def no_login() -> str:
    """The shell of an account nobody logs in to, as this Linux has it."""
    known = ("/usr/sbin/nologin", "/sbin/nologin")
    return next((path for path in known if os.access(path, os.X_OK)), "/bin/false")


def lines(system: str, home: bytes) -> list[str]:
    """The commands that create all groups and users.  system: one of SYSTEMS."""
    group_line, user_line, shell = SYSTEMS[system]
    where = os.fsdecode(home)
    return [group_line.format(group=group) for group in GROUPS] + [
        user_line.format(user=user, group=group, home=where + below, shell=shell or no_login())
        for user, group, below in USERS
    ]


def missing_groups() -> list[str]:
    """Groups that no source of this machine knows."""
    return [group for group in GROUPS if _gid(group) is None]


def missing_users() -> list[str]:
    """Users that no source of this machine knows."""
    return [user for user, _, _ in USERS if _user(user) is None]


def create(home: bytes, say: "Callable[[str], None]") -> None:
    """Make what is missing, with useradd and groupadd.  Errors: Die TEMP with what they said."""
    missing = set(missing_groups()) | set(missing_users())
    for line in lines("linux", home):
        words = line.split(" ")
        if words[-1] not in missing:
            continue
        program = commands.find(words[0])
        if program is None:
            raise Die(
                TEMP,
                b"no %s on this machine: create the accounts by hand ('make accounts' prints the commands) "
                b"and run setup again" % words[0].encode(),
            )
        say(line)
        ending, said = commands.output_of([program, *_with_home(words[1:], home)])
        if ending.code or ending.signal:
            reason = said.strip().replace(b"\n", b"; ") or b"exit code %d" % ending.code
            raise Die(TEMP, words[0].encode() + b" failed: " + reason)


def _with_home(words: list[str], home: bytes) -> list[bytes]:
    """The command's words as bytes.  A home with a blank in it would be two words: setup refuses such a one."""
    assert b" " not in home
    return [os.fsencode(word) for word in words]


def faults(home: bytes) -> tuple[list[str], list[str]]:
    """What is wrong with the accounts, and what is only worth knowing."""
    wrong = [f"group {group} does not exist (make setup, or make accounts)" for group in missing_groups()]
    notes = []
    for user, group, below in USERS:
        entry = _user(user)
        if entry is None:
            wrong.append(f"user {user} does not exist (make setup, or make accounts)")
            continue
        gid = _gid(group)
        if entry.pw_uid == 0:
            wrong.append(f"user {user} has uid 0: a role without privilege is root (userdel {user}; make setup)")
        if gid is not None and entry.pw_gid != gid:
            wrong.append(f"user {user} has wrong group: is {entry.pw_gid}, should be {gid} (usermod -g {group} {user})")
        if entry.pw_dir != os.fsdecode(home) + below:
            notes.append(f"the home of user {user} is {entry.pw_dir}, not {os.fsdecode(home) + below}")
    wrong += _shared()
    return wrong, notes


def _shared() -> list[str]:
    """Roles that distrust each other must not be one uid."""
    seen: dict[int, str] = {}
    wrong = []
    for user, _, _ in USERS:
        entry = _user(user)
        if entry is not None and seen.setdefault(entry.pw_uid, user) != user:
            wrong.append(f"user {user} has the same uid as {seen[entry.pw_uid]}: {entry.pw_uid} (each needs its own)")
    return wrong


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _user(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        return None
