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
