"""The first line of every message in the queue: who brought it, and when (spec/02 3)."""

from qmailpy.rules.date import date822, date822_east


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


def received_line(qp: int, who: bytes, when: int, east: int | None = None) -> bytes:
    """The line, with its LF.

    qp: as in the log; who: of invoked_by; when: seconds since the epoch; east: seconds that local time is ahead of UTC,
    if the line shall tell it.
    """
    date = date822(when) if east is None else date822_east(when, east)
    return b"Received: (qmail %d invoked %s); %s" % (qp, who, date)


def invoker(line: bytes, alias: int, qmaild: int, qmails: int) -> int | None:
    """The uid that received_line() tells of; None where the line is none of those.  line: may go on after its LF."""
    start, found, rest = line.partition(b" invoked ")
    who, found_end, _ = rest.partition(b"); ")
    if not (start.startswith(b"Received: (qmail ") and found and found_end):
        return None
    roles = {b"by alias": alias, b"from network": qmaild, b"for bounce": qmails}
    if who in roles:
        return roles[who]
    digits = who.removeprefix(b"by uid ")
    return int(digits) if digits != who and digits.isdigit() and len(digits) < 20 else None
