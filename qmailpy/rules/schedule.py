"""When a message is tried again, and when it is too old (spec/04 5)."""

from math import isqrt

from qmailpy.wire.delivery import LOCAL

SKIP = (10, 20)  # indexed by channel: the first wait is its square, 100 and 400 seconds


def next_try(birth: int, now: int, channel: int) -> int:
    """When to attempt this message again on this channel.

    birth, now, result: seconds since the epoch, UTC; result > now.
    birth + (isqrt(now - birth) + skip)**2, skip = 10 local, 20 remote; a birth in the future counts as now.
    Errors: none.  Source: spec/04-send.md 5.
    """
    birth = min(birth, now)
    return birth + (isqrt(now - birth) + SKIP[channel]) ** 2


def is_expired(birth: int, now: int, lifetime: int) -> bool:
    """Whether the attempts that begin now are a message's last: temporary failures become permanent.

    birth, now: seconds since the epoch; lifetime: control/queuelifetime in seconds.
    """
    return now > birth + lifetime


def attempts(channel: int = LOCAL, lifetime: int = 604800) -> list[int]:
    """Seconds after its birth at which a message that always fails at once is tried; the last one is final."""
    found = [0]
    while found[-1] <= lifetime:
        found.append(next_try(0, found[-1], channel))
    return found
