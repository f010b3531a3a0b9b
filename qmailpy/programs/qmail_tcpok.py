"""qmail-tcpok: forgets which hosts have not answered: each is tried again. Also called purgestat.

Runs as: root or qmailr; whoever may write lock/tcpto.
Descriptors: 2 one line if it fails.
Exit codes: 0; 111 the table cannot be written.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk import tcpto
from qmailpy.disk.home import Home
from qmailpy.verdict import OK


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no arguments
    """See the head of this file."""
    tcpto.forget(home)
    return OK
