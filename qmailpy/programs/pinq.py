"""pinq: moves the mail of a Maildir into an mbox, and starts pine on it.

    pinq [argument...]

Runs as: the caller, at a terminal.
Descriptors: the caller's.
Exit codes: those of maildir2mbox if it fails, else pine's; 111 there is no pine.
Environment: maildir2mbox's and pine's: MAIL MAILTMP MAILDIR.  Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.inject.running import run_as_ours
from qmailpy.local.reader import read_with
from qmailpy.programs import run


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    return read_with(lambda: run_as_ours(run, b"pinq", "maildir2mbox", [], home), b"pinq", [b"pine", *argv[1:]])
