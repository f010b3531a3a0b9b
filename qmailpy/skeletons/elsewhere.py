"""Another queue, as qmail-queuectl's move names it: a queue program ($QMAILQUEUE is one), or the home of another qmail.

Used by qmail-queuectl, to see whether there is one, and by qmail-send, which runs it.
"""

import posix
import stat

from qmailpy.disk.home import Home
from qmailpy.skeletons.submit import Submission
from qmailpy.verdict import words


def program_of(place: bytes) -> tuple[bytes, bool]:
    """The program, and whether the place is a home.  place: an absolute path.  Errors: OSError where there is none."""
    if stat.S_ISDIR(posix.stat(place).st_mode):
        program = place.rstrip(b"/") + b"/bin/qmail-queue"
        posix.stat(program)
        return program, True
    return place, False


def fault_of(place: bytes) -> bytes:
    """Why nothing can be moved there, as a sentence without a full stop; empty where it can be tried."""
    if not place.startswith(b"/"):
        return b"an absolute path is needed, of a queue program or of a qmail's home"
    try:
        program, _ = program_of(place)
    except OSError as error:
        return b"unable to find a queue program in " + place + b": " + words(error)
    if not posix.access(program, posix.X_OK):
        return program + b" cannot be executed"
    return b""


def submission(home: Home, place: bytes) -> Submission:
    """One message for there.  Errors: OSError."""
    program, is_home = program_of(place)
    # a program of ours believes this variable before its own place, and we may have one
    return Submission(home, program=program, variables={b"QMAILHOME": place} if is_home else {})
