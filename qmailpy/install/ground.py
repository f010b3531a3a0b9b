"""Where make run puts its home, and whose it is.

An ordinary user's goes below his checkout. Root's would be refused (no mail is delivered as root), so root becomes the
owner of the checkout, or 65534 where that is root; what that user cannot reach is no place for his home.
"""

import hashlib
import os

from qmailpy.install.owners import make_directory_for
from qmailpy.verdict import TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534  # who root becomes where the checkout is root's own
ELSEWHERE = b"/var/tmp"  # survives a reboot, as a queue must
OTHERS_MAY_WRITE = 0o022


def choose_home(checkout: bytes, say: "Callable[[str], None]", elsewhere: bytes = ELSEWHERE) -> tuple[bytes, int]:
    """The home's path and its owner.  As root: the directory it lies in exists and is that user's afterwards.

    Errors: Die TEMP where somebody else's directory is in the way.
    """
    home = checkout + b"/var/qmail"
    uid = os.geteuid()
    if uid != 0:
        return home, uid
    uid = os.stat(checkout).st_uid or NOBODY
    if can_reach(checkout, uid):
        give(checkout + b"/var", uid)
        return home, uid
    name = hashlib.sha256(checkout).hexdigest()[:8].encode()
    home = elsewhere + b"/qmailpy-%d-%s" % (uid, name)
    say(f"uid {uid} cannot reach {os.fsdecode(checkout)}; the home is {os.fsdecode(home)}")
    give(home, uid)
    return home, uid


def can_reach(path: bytes, uid: int) -> bool:
    """Whether this user can go through all directories down to the path (by the owner's or everybody's rights)."""
    parts = os.path.realpath(path).split(b"/")
    for depth in range(1, len(parts) + 1):
        status = os.stat(b"/".join(parts[:depth]) or b"/")
        if not status.st_mode & (0o100 if status.st_uid == uid else 0o001):
            return False
    return True


def give(folder: bytes, uid: int) -> None:
    """Make a directory for this user; one that is there must be his alone.  Errors: Die TEMP."""
    try:
        make_directory_for(folder, uid)
    except FileExistsError:
        status = os.lstat(folder)
        if status.st_uid != uid or status.st_mode & (0o170000 | OTHERS_MAY_WRITE) != 0o040000:
            raise Die(TEMP, folder + b" is not a directory of uid %d alone: move it away" % uid) from None
