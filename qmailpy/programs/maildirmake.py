"""maildirmake: makes a Maildir.

maildirmake directory

Runs as: the caller.
Descriptors: 2 what went wrong.
Exit codes: 0 made; 100 not exactly one argument, or one that begins with -; 111 it could not be made (it may exist
already).
Control files: none.
Trusts: nothing; it makes directories with the caller's rights.
"""

import posix

from qmailpy.disk import maildir
from qmailpy.disk.home import Home
from qmailpy.verdict import EXIT, OK, PERM, Die


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del home
    if len(argv) != 2 or not argv[1] or argv[1].startswith(b"-"):
        raise Die(PERM, b"usage: maildirmake directory")
    posix.umask(0o077)
    maildir.make(argv[1])
    return EXIT[OK]
