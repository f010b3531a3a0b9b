"""qmail-pop3d: gives a user the messages of his Maildir by POP3.

    qmail-pop3d maildir

Runs as: the user, in his home; never as root. qmail-popup asks him who he is, checkpassword becomes him and runs this.
Descriptors: 0 and 1 the client; 2 the log.
Exit codes: 0 the session is over, however; 1 root runs it; 111 a bug.
Files: the Maildir. What the client deletes is removed when it says QUIT, and only then.
Trusts: the user; not the client with more memory than a list of his messages.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.receive.pop3.maildrop import Maildrop
from qmailpy.receive.pop3.session import converse
from qmailpy.skeletons import connection
from qmailpy.skeletons.alone import Alone, hold
from qmailpy.system import clock, descriptors, identity
from qmailpy.verdict import EXIT, OK, Die
from qmailpy.wire import pop3

_CLIENT = 1  # descriptor
_PATIENCE = 1200.0  # seconds for each command
_ROOT = 1  # exit code
_NO_MAILDIR, _NO_LIST = b"this user has no $HOME/Maildir", b"unable to scan $HOME/Maildir"


def _refuse(text: bytes) -> int:
    descriptors.write_all(_CLIENT, pop3.error(text))
    return EXIT[OK]


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    note = connection.log(b"qmail-pop3d")
    if identity.is_root():
        note(b"qmail-pop3d: fatal: root reads no mail by POP3: give the mail for root to a user, by ~alias/.qmail-root")
        return _ROOT
    try:
        posix.chdir(argv[1] if len(argv) > 1 else b"")
    except OSError:
        return _refuse(_NO_MAILDIR)
    try:
        drop = Maildrop(clock.now())
    except Die as death:
        note(b"qmail-pop3d: fatal: " + death.text)
        return _refuse(_NO_LIST)
    return hold(converse(Alone(home, _PATIENCE, note), drop))
