"""mbox2maildir: moves an mbox's messages into a Maildir, and leaves the mbox empty.

    mbox2maildir [mbox maildir]

Without arguments they are $MAIL and $MAILDIR. What a reader has noted in Status becomes flags, the date of the From_
line the file's. Nothing is seen in the Maildir before all of it is on disk.
Runs as: the owner of both.
Descriptors: 1 how many messages; 2 one line if it fails.
Exit codes: 0 moved; 100 usage; 111 something failed.
Control files: none.  Trusts: nobody. Killed at any point it is begun again with the same words: nothing is lost, and
nothing comes twice.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.local import unboxing
from qmailpy.local.surroundings import required
from qmailpy.system import descriptors, signals
from qmailpy.verdict import EXIT, OK, PERM, TEMP


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del home
    if len(argv) not in (1, 3):
        descriptors.say(b"mbox2maildir: usage: mbox2maildir [ mbox maildir ]")
        return EXIT[PERM]
    signals.default(signals.SIGINT)  # not the interpreter's exception, which would look like a bug
    posix.umask(0o077)
    box, folder = argv[1:] or (required(b"MAIL", TEMP), required(b"MAILDIR", TEMP))
    count = unboxing.convert(box, folder.rstrip(b"/") + b"/")
    descriptors.write_all(descriptors.OUTPUT, b"messages moved: %d\n" % count)
    return EXIT[OK]
