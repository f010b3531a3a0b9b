"""qmail-getpw: finds the user of a local part among the accounts of this machine.

qmail-getpw local

Runs as: qmailp:nofiles.  Started by qmail-lspawn for an address that users/cdb does not have.
Descriptors: 1 six fields, each ended by a NUL: name, uid, gid, home, dash, extension (spec/03-pipes.md 6).
Exit codes: 0 found; 100 no argument; 111 cannot say it; 115 a home cannot be reached now; 116 there is no account
alias; 118 the source of accounts fails now.
Control files: none.
Trusts: the accounts as the system shows them. The local part is anybody's bytes, and becomes a name at most.
"""

from qmailpy.disk.home import Home
from qmailpy.skeletons import address
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, words
from qmailpy.wire import getpw


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file.  argv: program, local."""
    if len(argv) < 2:
        raise Die(PERM, b"usage: qmail-getpw local")
    user = address.find_account(home, argv[1].partition(b"\0")[0])
    try:
        descriptors.write_all(1, getpw.encode(user))
    except OSError as error:
        raise Die(TEMP, b"unable to write: " + words(error)) from None
    return EXIT[OK]
