"""qail: moves the mail of a Maildir into an mbox, and starts Mail on it.

    qail [argument...]

Runs as: the caller, at a terminal.
Descriptors: the caller's.
Exit codes: those of maildir2mbox if it fails, else Mail's; 111 there is no Mail.
Environment: maildir2mbox's and Mail's: MAIL MAILTMP MAILDIR.  Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.inject.running import run_as_ours
from qmailpy.local.reader import read_with
from qmailpy.programs import run


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    return read_with(lambda: run_as_ours(run, b"qail", "maildir2mbox", [], home), b"qail", [b"Mail", *argv[1:]])
