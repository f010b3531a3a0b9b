"""The variables that a user's programs see (spec/05-local.md 2).

Pure. The values are raw: an address may hold any byte but NUL, quotes and semicolons too. Only the three that are lines
of a mailbox (DTLINE, RPLINE, UFLINE) are one line each, whatever the addresses hold.
"""

from qmailpy.rules.date import mbox_date
from qmailpy.rules.quote import quote2

DTLINE, RPLINE, UFLINE, DEFAULT, NEWSENDER = b"DTLINE", b"RPLINE", b"UFLINE", b"DEFAULT", b"NEWSENDER"


def variables(
    user: bytes, homedir: bytes, local: bytes, ext: bytes, domain: bytes, sender: bytes, when: int
) -> dict[bytes, bytes]:
    """All but DEFAULT and NEWSENDER, which the .qmail files decide.

    when: seconds since the epoch, of the delivery.
    """
    ext2 = _after_dash(ext)
    ext3 = _after_dash(ext2)
    host2 = _before_dot(domain)
    host3 = _before_dot(host2)
    return {
        b"HOST": domain,
        b"HOME": homedir,
        b"USER": user,
        b"LOCAL": local,
        b"RECIPIENT": local + b"@" + domain,
        DTLINE: delivered_to(local, domain),
        b"SENDER": sender,
        RPLINE: b"Return-Path: <" + quote2(sender).replace(b"\n", b"_") + b">\n",
        UFLINE: b"From " + _mbox_sender(sender) + b" " + mbox_date(when),
        b"EXT": ext,
        b"EXT2": ext2,
        b"EXT3": ext3,
        b"EXT4": _after_dash(ext3),
        b"HOST2": host2,
        b"HOST3": host3,
        b"HOST4": _before_dot(host3),
    }


def delivered_to(local: bytes, domain: bytes) -> bytes:
    """The line that a delivery leaves in a message, and by which a loop is known; its LF included."""
    return b"Delivered-To: " + (local + b"@" + domain).replace(b"\n", b"_") + b"\n"


def _mbox_sender(sender: bytes) -> bytes:
    return sender.translate(_ONE_WORD) or b"MAILER-DAEMON"


def _after_dash(ext: bytes) -> bytes:
    return ext.partition(b"-")[2]


def _before_dot(domain: bytes) -> bytes:
    head, dot, _ = domain.rpartition(b".")
    return head if dot else domain


_ONE_WORD = bytes.maketrans(b" \t\n", b"---")
