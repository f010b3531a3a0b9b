"""Lines of a log as loggers leave them: where the text begins, and when it was written.  Pure.

    @400000006740f5a21b2c3d4e text                          multilog, tai64n
    2026-11-21 18:12:27.123456500 text                      tai64nlocal, s6-log; with T or _ inside svlogd, in UTC
    Nov 21 18:12:27 host qmail: 1795284747.123456 text      syslog, with splogger's own stamp, or without it
    2026-11-21T18:12:27.123456+01:00 host qmail[7]: text    syslog of today
    1795284747.123456 text                                  splogger's stamp alone
    text                                                    qmail-send itself

A prefix is believed as far as it is one of these; a text begins where it ends. What a peer or a user can choose never
stands at the beginning of a line of ours, so that nobody can forge one; a syslog that takes lines from everybody can.
"""

from qmailpy.rules import date

_TAI = 25  # bytes of @ and 24 hexadecimal digits
_TAI_EPOCH = (1 << 62) + 10  # as daemontools count: ten seconds, whatever leaps there were
_FAR = 253_402_300_800  # seconds since the epoch: the year 10000; no kernel tells the local time of every number
_HEX = b"0123456789abcdef"
_DIGITS = b"0123456789"
_STAMP = 10, 6  # digits of splogger's: seconds, microseconds
WORDS = (  # what a line of ours begins with
    *(b"new ", b"info ", b"starting ", b"delivery ", b"bounce ", b"no ", b"success ", b"delay ", b"held ", b"busy "),
    *(b"order ", b"triple ", b"end ", b"status: ", b"alert: ", b"warning: ", b"trace: ", b"qmail-"),
)
NANO = 1_000_000_000


def split(raw: bytes) -> tuple[bytes, bytes, bool]:
    """What stands before a line's text, the text, and whether it continues the line before (splogger folds at 799).

    raw: without its LF.  The prefix of a piece is the same as that of its first line.
    """
    if raw[:1] == b"@" and raw[_TAI : _TAI + 1] == b" ":
        return raw[:_TAI], raw[_TAI + 1 :], False
    if raw.startswith(WORDS):
        return b"", raw, False
    at = 0
    if raw[4:5] == b"-" and raw[:1].isdigit():  # an ISO date; the time may stand behind a blank
        at = raw.find(b" ", 12) + 1
        while raw[at : at + 1] == b" ":  # of s6-log
            at += 1
        if raw[at:].startswith(WORDS) or raw[at : at + 1].isdigit():
            return _stamped(raw, at)
        at = _behind_tag(raw, at)
    elif raw[3:4] == b" " and raw[6:7] == b" " and raw[9:10] == b":":
        at = _behind_tag(raw, 16)
    return _stamped(raw, at)


def _behind_tag(raw: bytes, at: int) -> int:
    """Where the text begins that follows a host and a tag."""
    end = raw.find(b": ", at)
    return end + 2 if end >= 0 and raw.count(b" ", at, end) == 1 else at


def _stamped(raw: bytes, at: int) -> tuple[bytes, bytes, bool]:
    """Take splogger's stamp to the prefix, if it is there."""
    seconds, micros = _STAMP
    end = at + seconds + 1 + micros
    if raw[at + seconds : at + seconds + 1] == b"." and raw[end : end + 1] in (b" ", b"+"):
        digits = raw[at : at + seconds] + raw[at + seconds + 1 : end]
        if not digits.strip(_DIGITS):
            return raw[at:end], raw[end + 1 :], raw[end : end + 1] == b"+"
    return raw[: max(at - 1, 0)], raw[at:], False


def moment(prefix: bytes, now: int, east: int) -> int | None:
    """When a line with this prefix was written, in nanoseconds since the epoch; None where it does not say.

    now: seconds since the epoch, for the year that syslog leaves out; east: seconds by which the local time that a
    logger may have used is ahead of UTC.
    """
    if prefix[:1] == b"@" and len(prefix) == _TAI and not prefix[1:].strip(_HEX):
        seconds = int(prefix[1:17], 16) - _TAI_EPOCH
        return seconds * NANO + int(prefix[17:], 16) if 0 <= seconds < _FAR else None
    digits, dot, micros = prefix.partition(b".")
    if dot and not (digits + micros).strip(_DIGITS):
        return int(digits) * NANO + int(micros.ljust(9, b"0")[:9])
    if prefix[4:5] == b"-":
        return _iso(prefix, east)
    return _syslog(prefix, now, east)


def _iso(prefix: bytes, east: int) -> int | None:
    numbers = [prefix[:4], prefix[5:7], prefix[8:10], prefix[11:13], prefix[14:16], prefix[17:19]]
    if any(len(number) < 2 or number.strip(_DIGITS) for number in numbers):
        return None
    year, month, day, hour, minute, second = map(int, numbers)
    rest = prefix[19:].partition(b" ")[0]
    fraction = 0
    if rest[:1] in (b".", b","):
        length = len(rest) - 1 - len(rest[1:].lstrip(_DIGITS))
        fraction = int(rest[1 : 1 + length].ljust(9, b"0")[:9] or b"0")
        rest = rest[1 + length :]
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 62):
        return None
    ahead = _zone(rest, east if prefix[10:11] == b" " else 0)
    return (date.moment(year, month, day, hour, minute, second) - ahead) * NANO + fraction


def _zone(rest: bytes, otherwise: int) -> int:
    """Seconds ahead of UTC of Z, +01:00, +0100."""
    digits = rest[1:].replace(b":", b"")
    if rest[:1] not in (b"+", b"-") or len(digits) != 4 or digits.strip(_DIGITS):
        return 0 if rest[:1] == b"Z" else otherwise
    ahead = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -ahead if rest[:1] == b"-" else ahead


def _syslog(prefix: bytes, now: int, east: int) -> int | None:
    """Nov 21 18:12:27, in local time, of the last year in which that is not in the future."""
    month, day = prefix[:3], prefix[4:6].strip()
    numbers = [day, prefix[7:9], prefix[10:12], prefix[13:15]]
    if month not in date.MONTHS or any(not number or number.strip(_DIGITS) for number in numbers):
        return None
    year = date.civil(now + east)[0]
    at_day, hour, minute, second = map(int, numbers)
    if not (1 <= at_day <= 31 and hour < 24 and minute < 60 and second < 62):
        return None
    found = date.moment(year, date.MONTHS.index(month) + 1, at_day, hour, minute, second) - east
    if found > now + 86400:
        found = date.moment(year - 1, date.MONTHS.index(month) + 1, at_day, hour, minute, second) - east
    return found * NANO
