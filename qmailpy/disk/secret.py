"""Reading a file with secrets: only its owner may be able to read it, or it is not used at all.

Never waits, follows no link. Who uses it: remote/ for control/smtpauth; qmail-direct for a caller's own file.
"""

import posix

from qmailpy.verdict import TEMP, Die, words

LIMIT = 1 << 20  # bytes
OTHERS = 0o077  # mode bits: nobody but the owner may do anything
_KIND, _REGULAR = 0o170000, 0o100000
_FLAGS = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def read(path: bytes, uid: int) -> bytes | None:
    """The whole file; None where there is none.

    uid: whose it must be.  Errors: Die TEMP, a clause that says what is wrong and never what stands in the file.
    """
    try:
        descriptor = posix.open(path, _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Die(TEMP, b"it cannot be opened: " + words(error)) from None
    try:
        status = posix.fstat(descriptor)
        if status.st_mode & _KIND != _REGULAR:
            raise Die(TEMP, b"it is not a regular file")
        if status.st_uid != uid:
            raise Die(TEMP, b"it must belong to uid %d, not to uid %d" % (uid, status.st_uid))
        if status.st_mode & OTHERS:
            raise Die(TEMP, b"others can read or write it: chmod 0400")
        if status.st_size > LIMIT:
            raise Die(TEMP, b"it is too large")
        pieces = []
        while piece := posix.read(descriptor, 65536):
            pieces.append(piece)
            if sum(map(len, pieces)) > LIMIT:
                raise Die(TEMP, b"it is too large")
        return b"".join(pieces)
    except OSError as error:
        raise Die(TEMP, b"it cannot be read: " + words(error)) from None
    finally:
        posix.close(descriptor)
