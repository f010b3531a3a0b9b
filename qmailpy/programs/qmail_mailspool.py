"""qmail-mailspool: delivers to the user's box in /var/mail, from his .qmail or as the default delivery.

qmail-mailspool [directory]
`|qmail-mailspool` in a .qmail appends the message to DIRECTORY/$USER, an mbox, under all locks that mail readers know.

Runs as: the user.  Started by qmail-local (ours or C qmail's), by /bin/sh.
Descriptors: 0 message (a file), 2 errors.
Environment: USER, and the three lines of a mailbox: UFLINE, RPLINE, DTLINE (spec/05-local.md 2).
Exit codes: 0 delivered; 111 not, the box is as it was.
Control files: mailspool: the directory; qmail-lspawn makes missing boxes in it. Without it /var/mail, /var/spool/mail.
Trusts: its environment. It writes with the rights of the user and no other.
"""

import posix

from qmailpy.disk import mailspool
from qmailpy.disk.home import Home
from qmailpy.local import mailboxes
from qmailpy.local.message import Message
from qmailpy.rules import options
from qmailpy.rules.environment import DTLINE, RPLINE, UFLINE
from qmailpy.system import process, signals
from qmailpy.verdict import TEMP, Die

USER = b"USER"


def _folder(argv: list[bytes], home: Home) -> bytes:
    """The directory of the boxes.  Errors: Die TEMP: a slip in a .qmail bounces nothing."""
    try:
        _, words = options.parse(argv[1:], b"")
    except options.UsageError as error:
        raise Die(TEMP, error.text) from None
    if len(words) > 1 or not all(word.startswith(b"/") for word in words):
        raise Die(TEMP, b"usage: qmail-mailspool [ directory ]")
    return words[0] if words else mailspool.directory(home)


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    posix.umask(0o077)
    signals.ignore(signals.SIGPIPE, signals.SIGXFSZ)  # both are errors of a write here, not deaths
    folder = _folder(argv, home)
    environment = process.environment()
    for name in (USER, UFLINE, RPLINE, DTLINE):
        if not environment.get(name):
            raise Die(TEMP, b"$" + name + b" is not set: qmail-mailspool belongs into a .qmail. (#4.3.5)")
    mailboxes.into_mbox(mailspool.box(folder, environment[USER]), Message(0), environment)
    return 0
