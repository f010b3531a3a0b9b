"""Dates as mail writes them: always UTC, always English, from a number of seconds by arithmetic alone.

No clock and no time module: the same second gives the same bytes everywhere. Any integer is a date; the calendar
is the Gregorian one, extended in both directions. Source: spec/00-common.md 4.
"""

MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
WEEKDAYS = (b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat")
_DAY = 86400  # seconds
_ERA = 146097  # days in 400 years, after which the calendar repeats
_TO_1970 = 719468  # days from 0000-03-01, where an era begins, to 1970-01-01


def civil(when: int) -> tuple[int, int, int, int, int, int, int]:
    """Year, month 1..12, day 1..31, hour, minute, second, weekday (0 is Sunday).

    when: seconds since the epoch, any integer.
    """
    days, second = divmod(when, _DAY)
    era, of_era = divmod(days + _TO_1970, _ERA)
    # years begin in March here, so that a leap day is a year's last
    of_era_year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * of_era_year + of_era_year // 4 - of_era_year // 100)
    from_march = (5 * of_year + 2) // 153
    month = from_march + 3 if from_march < 10 else from_march - 9
    year = of_era_year + era * 400 + (month <= 2)
    day = of_year - (153 * from_march + 2) // 5 + 1
    return year, month, day, second // 3600, second // 60 % 60, second % 60, (days + 4) % 7


def date822(when: int) -> bytes:
    """The value of a Date field with its LF, as 21 Nov 2026 02:27:41 -0000.  when: seconds since the epoch."""
    year, month, day, hour, minute, second, _ = civil(when)
    return b"%d %s %d %02d:%02d:%02d -0000\n" % (day, MONTHS[month - 1], year, hour, minute, second)


def date822_east(when: int, east: int) -> bytes:
    """The same in local time, as 21 Nov 2026 03:27:41 +0100.  east: seconds by which it is ahead of UTC."""
    year, month, day, hour, minute, second, _ = civil(when + east)
    sign, minutes = b"-" if east < 0 else b"+", (abs(east) + 30) // 60
    zone = b"%s%02d%02d" % (sign, minutes // 60, minutes % 60)
    return b"%d %s %d %02d:%02d:%02d %s\n" % (day, MONTHS[month - 1], year, hour, minute, second, zone)


def mbox_date(when: int) -> bytes:
    """The date of a From_ line with its LF, as Sat Nov 21 02:27:41 2026; the day has always two digits.

    when: seconds since the epoch.
    """
    year, month, day, hour, minute, second, weekday = civil(when)
    return b"%s %s %02d %02d:%02d:%02d %d\n" % (
        WEEKDAYS[weekday],
        MONTHS[month - 1],
        day,
        hour,
        minute,
        second,
        year,
    )


def parse_mbox_date(text: bytes) -> int | None:
    """The second that the date of a From_ line means, taken as UTC; None if it is no such date.

    text: Sat Nov 21 02:27:41 2026; seconds may be missing, a zone may stand before or after the year.
    """
    words = text.split()
    if len(words) < 5 or words[1] not in MONTHS:
        return None
    clock = words[3].split(b":")
    years = [word for word in words[4:] if len(word) == 4 and word.isdigit()]
    if (
        not years
        or not 2 <= len(clock) <= 3
        or not all(part.isdigit() and len(part) <= 2 for part in (words[2], *clock))
    ):
        return None
    hour, minute, second = (*map(int, clock), 0)[:3]
    day, year, month = int(words[2]), int(years[0]), MONTHS.index(words[1]) + 1
    if not 1 <= day <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    return _days(year, month, day) * _DAY + hour * 3600 + minute * 60 + second


def moment(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Seconds since the epoch of a date in UTC: what civil() takes apart."""
    return _days(year, month, day) * _DAY + hour * 3600 + minute * 60 + second


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01: what civil() takes apart."""
    from_march = (month + 9) % 12
    era, of_era_year = divmod(year - (month <= 2), 400)
    of_era = of_era_year * 365 + of_era_year // 4 - of_era_year // 100 + (153 * from_march + 2) // 5 + day - 1
    return era * _ERA + of_era - _TO_1970


def message_id_stamp(when: int) -> bytes:
    """What a Message-ID begins with: YYYYMMDDhhmmss.  when: seconds since the epoch."""
    year, month, day, hour, minute, second, _ = civil(when)
    return b"%04d%02d%02d%02d%02d%02d" % (year, month, day, hour, minute, second)
