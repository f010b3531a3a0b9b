"""bouncesaying: refuses a message for good, from a .qmail file, perhaps only if another program agrees.

    bouncesaying error [program [argument...]]

Runs as: the user.
Descriptors: 0 the message, which the program may read; 2 the error, which the sender will read.
Exit codes: 100 refused; 0 the program did not agree, go on; 111 it exits 111 or is killed.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.local import question
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, PERM


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del home
    if len(argv) == 1:
        descriptors.say(b"bouncesaying: usage: bouncesaying error [ program [ arg ... ] ]")
        return EXIT[PERM]
    if argv[2:] and not question.says_yes(argv[2:]):
        return EXIT[OK]
    descriptors.say(argv[1])
    return EXIT[PERM]
