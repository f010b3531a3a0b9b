"""datemail: sendmail with a Date field in local time.

    datemail argument...

It is predate and sendmail of this home, and takes sendmail's arguments.
Runs as: the caller.
Descriptors: 0 the message; 2 one line if it fails.
Exit codes: sendmail's; 111 it cannot be run.
Environment: TZ.  Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.inject.running import run_as_ours
from qmailpy.programs import run


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    return run_as_ours(run, b"datemail", "predate", [home.program("sendmail"), *argv[1:]], home)
