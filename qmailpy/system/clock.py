"""The clock: the only file that asks the kernel what time it is.

Everything that decides by time takes the time as an argument; tests give it any they like.
"""

import time as _time


def now() -> int:
    """Seconds since the epoch, UTC."""
    return int(_time.time())


def now_ns() -> int:
    """Nanoseconds since the epoch, UTC."""
    return _time.time_ns()


def monotonic() -> float:
    """Seconds on a clock that nobody sets back: for time-outs only."""
    return _time.monotonic()


def sleep(seconds: float) -> None:
    """Wait; only where nothing else can go on (an alarm that must be repeated)."""
    _time.sleep(seconds)


def local(when: int) -> tuple[int, int, int, int, int]:
    """Local month 1..12, day, hour, minute, second at when (seconds since the epoch)."""
    parts = _time.localtime(when)
    return parts.tm_mon, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec


def east_of_utc(when: int) -> int:
    """How far local time is ahead of UTC at when (seconds since the epoch), in seconds; west of it negative."""
    return _time.localtime(when).tm_gmtoff


def utc_digits(when: int) -> bytes:
    """A moment (seconds since the epoch) as YYYYMMDDhhmmss in UTC."""
    return _time.strftime("%Y%m%d%H%M%S", _time.gmtime(when)).encode("ascii")
