"""condredirect: sends a message elsewhere instead, from a .qmail file, if another program agrees.

    condredirect newaddress program [argument...]

Runs as: the user.
Descriptors: 0 the message, a file, which the program may read; 2 `condredirect: qp N`, or one line if it fails.
Exit codes: 99 it went to newaddress, and the rest of the .qmail file is not for it; 0 the program did not agree, go on;
100 usage, SENDER or DTLINE not set, refused for good; 111 try later.
Control files: none.  Trusts: its environment, which is its caller's.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.local import onward, question
from qmailpy.local.surroundings import required
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, words

_STOP = 99  # done, and the rest of the instructions is not for this message


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    if len(argv) < 3:
        descriptors.say(b"condredirect: usage: condredirect newaddress program [ arg ... ]")
        return EXIT[PERM]
    if not question.says_yes(argv[2:]):
        return EXIT[OK]
    try:
        posix.lseek(0, 0, 0)
    except OSError as error:
        raise Die(TEMP, b"unable to rewind: " + words(error)) from None
    qp = onward.send(required(b"SENDER"), [argv[1]], home)
    descriptors.say(b"condredirect: qp %d" % qp)
    return _STOP
