"""Old mailboxes: one mbox for each user in a directory that is not theirs, /var/mail.

Such a directory is root's: a user can write to his box there, but make neither it nor a dot-lock beside it. So root
makes the box before it becomes the user (prepare), and the delivery itself is an ordinary mbox delivery, as the user
(programs/qmail_mailspool). No program has a privilege bit for it. control/mailspool names the directory; without it
root makes nothing. See PIC/decisions/mailspool.md.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die

CONTROL = "mailspool"
USUAL = (b"/var/mail", b"/var/spool/mail")  # where a system keeps them that was told nothing
_REGULAR, _GROUP_WRITES, _OTHERS_WRITE = 0o100000, 0o020, 0o002  # of st_mode
_FLAGS = posix.O_WRONLY | posix.O_NONBLOCK | posix.O_NOFOLLOW | posix.O_CLOEXEC


def configured(home: Home) -> bytes | None:
    """The directory that control/mailspool names; None where it names none.  Errors: Die TEMP: it cannot be read."""
    folder = control.line(home, CONTROL)
    return folder.rstrip(b"/") if folder and folder.startswith(b"/") else None


def directory(home: Home) -> bytes:
    """Where boxes are: control/mailspool, or what is usual and exists."""
    folder = configured(home)
    if folder is not None:
        return folder
    for folder in USUAL:
        if posix.access(folder, posix.F_OK):
            return folder
    return USUAL[0]


def box(folder: bytes, user: bytes) -> bytes:
    """The path of a user's box.  Errors: Die TEMP for a name that is none of a file."""
    if not _is_name(user):
        raise Die(TEMP, b"Uh-oh: no mailbox can have the name of this user. (#4.3.5)")
    return folder + b"/" + user


def prepare(folder: bytes, user: bytes, uid: int, gid: int) -> None:
    """As root: make this user's box, if it does not exist.  What cannot be made the delivery will find missing.

    Only in a directory of root's where no stranger can write; never through a link, never over anything, and nothing
    that is somebody's changes: neither owner nor mode nor a byte.  Errors: none.
    """
    if not identity.is_root() or not _is_name(user):
        return
    try:
        parent = posix.open(folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        status = posix.fstat(parent)
        if status.st_uid == 0 and not status.st_mode & _OTHERS_WRITE:
            shared = bool(status.st_mode & _GROUP_WRITES)  # mail readers that have this group may write
            _make(parent, user, uid, status.st_gid if shared else gid, 0o660 if shared else 0o600)
    except OSError:
        return
    finally:
        posix.close(parent)


def _make(parent: int, user: bytes, uid: int, gid: int, mode: int) -> None:
    try:
        descriptor = posix.open(user, _FLAGS | posix.O_CREAT | posix.O_EXCL, 0, dir_fd=parent)
    except FileExistsError:
        if not _is_unfinished(posix.stat(user, dir_fd=parent, follow_symlinks=False), mode):
            return
        descriptor = posix.open(user, _FLAGS, dir_fd=parent)
    try:
        if _is_unfinished(posix.fstat(descriptor), mode):
            posix.chmod(descriptor, mode)
            posix.chown(descriptor, uid, gid)  # last: from here on it is the user's
    finally:
        posix.close(descriptor)


def _is_unfinished(status: posix.stat_result, mode: int) -> bool:
    """Whether it is what we made and did not come to give away: root's, empty, of one name, with no mode or ours."""
    modes = (_REGULAR, _REGULAR | mode)
    return status.st_mode in modes and (status.st_uid, status.st_size, status.st_nlink) == (0, 0, 1)


def _is_name(user: bytes) -> bool:
    return bool(user) and not user.startswith(b".") and b"/" not in user and len(user) < 256
