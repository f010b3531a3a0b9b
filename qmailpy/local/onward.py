"""The message on descriptor 0 goes into the queue again, for somebody else: forward and condredirect.

From where the descriptor stands: what a filter before us lets through is the message.  Source: spec/01-programs.md 3.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.local.surroundings import required
from qmailpy.rules.environment import DTLINE
from qmailpy.skeletons.submit import Submission
from qmailpy.system import descriptors
from qmailpy.verdict import PERM, TEMP, Die, words

_MESSAGE = 0  # descriptor


def send(sender: bytes, recipients: list[bytes], home: Home) -> int:
    """Queue $DTLINE, by which a loop is known, and the message.  sender, recipients: used as they are.

    Result: the new message's qp.  Errors: Die; in the words of whoever refused it.
    """
    head = required(DTLINE)
    submission = Submission(home)
    unread: OSError | None = None
    submission.write(head)
    try:
        while submission.await_input(_MESSAGE) and (piece := posix.read(_MESSAGE, descriptors.READ_SIZE)):
            submission.write(piece)
    except OSError as error:  # the message is not whole: nobody may get it
        unread = error
        submission.fail()
    result = submission.close(sender, recipients)
    if unread is not None:
        raise Die(TEMP, b"unable to read message: " + words(unread))
    if result.text:
        raise Die(PERM if result.text.startswith(b"D") else TEMP, result.text[1:])
    return result.qp
