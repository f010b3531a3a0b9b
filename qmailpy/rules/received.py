"""The first line of every message in the queue: who brought it, and when (spec/02 3)."""

from qmailpy.rules.date import date822


def invoked_by(uid: int, alias: int, qmaild: int, qmails: int) -> bytes:
    """Who that uid is, in the line's words.  alias, qmaild, qmails: uids of these roles.

    Where one uid has all roles (the embedded way) they tell nothing: then it is just that uid.
    """
    if alias == qmaild == qmails:
        return b"by uid %d" % uid
    if uid == alias:
        return b"by alias"
    if uid == qmaild:
        return b"from network"
    if uid == qmails:
        return b"for bounce"
    return b"by uid %d" % uid


def received_line(qp: int, who: bytes, when: int) -> bytes:
    """The line, with its LF.  qp: as in the log; who: of invoked_by; when: seconds since the epoch."""
    return b"Received: (qmail %d invoked %s); %s" % (qp, who, date822(when))
