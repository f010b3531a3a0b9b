"""maildir2mbox: moves a Maildir's messages into an mbox, for a mail reader that knows nothing else.

Runs as: the caller.
Descriptors: 2 one line if it fails, one for each message that will come twice.
Exit codes: 0 moved, or there was nothing to move; 111 something failed, and the mbox is as it was.
Environment: MAILDIR, MAIL (the mbox), MAILTMP (a name in the same file system).  Control files: none.
Trusts: nobody. Killed at any point it loses nothing; killed while it removes what it has moved, the rest comes twice.
"""

import posix

from qmailpy.disk import maildir_list
from qmailpy.disk.home import Home
from qmailpy.disk.mbox_held import hold
from qmailpy.local import boxing
from qmailpy.local.surroundings import required
from qmailpy.system import clock, descriptors
from qmailpy.verdict import EXIT, OK, TEMP, words

_PARTS = (b"new", b"cur")


def _remove(folder: bytes, mails: list[maildir_list.Mail]) -> None:
    """They are in the mbox now."""
    for mail in mails:
        try:
            posix.unlink(folder + mail.path)
        except OSError as error:
            text = b"maildir2mbox: warning: $MAILDIR/%s will be delivered twice; unable to unlink: %s"
            descriptors.say(text % (mail.path, words(error)))


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del argv, home
    posix.umask(0o077)
    box, draft = required(b"MAIL", TEMP), required(b"MAILTMP", TEMP)
    folder = required(b"MAILDIR", TEMP) + b"/"
    now = clock.now()
    maildir_list.clean(folder, now)
    if not maildir_list.listing(folder, _PARTS, now):
        return EXIT[OK]
    held = hold(box, create=True)
    try:
        moved: list[maildir_list.Mail] = []
        held.replace(draft, boxing.pieces(folder, maildir_list.listing(folder, _PARTS, now), moved))
        _remove(folder, moved)
    finally:
        held.release()
    return EXIT[OK]
