"""Who an embedded home's work is done as: its owner, who has every role there.

Used by the programs that root may run for such a home.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.system import identity


def become_owner(home: Home) -> int | None:
    """Root goes on as the owner of an embedded home, for good.

    Result: the owner's uid; None where the home is no embedded one.  Errors: OSError.
    """
    try:
        posix.stat(home.control(b"embedded"))
        status = posix.stat(home.queue)
    except OSError:
        return None
    if identity.is_root() and status.st_uid:
        identity.become(status.st_uid, status.st_gid)
    return status.st_uid


def roles_of(home: Home) -> identity.Roles:
    """In an embedded home its owner has every role, whoever asks.  Errors: Die TEMP where an account is missing."""
    try:
        if not home.embedded:
            posix.stat(home.control(b"embedded"))
            owner = posix.stat(home.queue)
            return identity.Roles(
                dict.fromkeys(identity.ROLES, owner.st_uid), dict.fromkeys(identity.GROUPS, owner.st_gid)
            )
    except OSError:  # then it is a classic home, if it is any
        return home.roles
    return home.roles
