"""Which hosts do not answer: decisions about the table of time-outs, lock/tcpto (spec/06 4).

The table is a string of records of 16 bytes: IPv4 address, count, three NUL, time (32 bits, little-endian), four NUL.
A record with count 0 is free. Functions get the whole table and answer (where, record) for what is to be written;
disk/tcpto keeps it. IPv6 addresses have no place in this format and are never remembered.
"""

RECORD = 16  # bytes
ADDRESS = 4  # bytes
_WRAP = 1 << 32  # the time's field ends in 2106; differences go on working
_CROSS = 2  # time-outs after which a host is left alone
_AGAIN = 120  # seconds in which several time-outs count as one
_MOST = 10
PATIENT = 60  # seconds that a relay of the administrator's is left alone: there is no other
_UNIT = 64  # seconds; a host is left alone for 60 to 91 of them
_COUNT_WEIGHT = 1024  # seconds that one count is worth when a record must make room


def _record(ip: bytes, count: int, when: int) -> bytes:
    return ip + bytes((count, 0, 0, 0)) + (when % _WRAP).to_bytes(4, "little") + bytes(4)


def _time(record: bytes) -> int:
    return int.from_bytes(record[8:12], "little")


def _find(table: bytes, ip: bytes) -> int:
    """Where the first record of this address begins; -1 if there is none."""
    for at in range(0, len(table) - RECORD + 1, RECORD):
        if table[at : at + ADDRESS] == ip:
            return at
    return -1


def age(when: int, now: int) -> int:
    """Seconds since a record's time, which has 32 bits; never negative."""
    past = (now - when) % _WRAP
    return past if past < _WRAP // 2 else 0  # the clock was set back


def knows(table: bytes, ip: bytes) -> bool:
    """Whether there is a record of this address.  ip: its 4 bytes."""
    return _find(table, ip) >= 0


def is_dead(table: bytes, ip: bytes, now: int, pid: int, longest: int = 0) -> bool:
    """Whether to leave this address alone: it timed out more than once, and not long ago.

    ip: its 4 bytes; now: seconds since the epoch; pid: ours, so that not all try again at the same moment; longest:
    seconds, if it is not for an hour.
    """
    at = _find(table, ip)
    if at < 0:
        return False
    record = table[at : at + RECORD]
    return record[4] >= _CROSS and (now - _time(record)) % _WRAP < (longest or (60 + (pid & 31)) * _UNIT)


def answered(table: bytes, ip: bytes) -> tuple[int, bytes] | None:
    """It answered, or failed in another way: its count becomes 0."""
    at = _find(table, ip)
    if at < 0 or table[at + 4] == 0:
        return None
    record = table[at : at + RECORD]
    return at, record[:4] + b"\0" + record[5:]


def timed_out(table: bytes, ip: bytes, now: int) -> tuple[int, bytes] | None:
    """It timed out now.  A new address takes a free record, else the one that matters least."""
    at = _find(table, ip)
    if at >= 0:
        count, when = table[at + 4], _time(table[at : at + RECORD])
        if count and (now - when) % _WRAP < _AGAIN:
            return None
        return at, _record(ip, min(count + 1, _MOST), now)
    places = range(0, len(table) - RECORD + 1, RECORD)
    if not places:
        return None
    free = (at for at in places if table[at + 4] == 0)
    at = next(free, -1)
    if at < 0:
        at = min(places, key=lambda at: _time(table[at : at + RECORD]) + table[at + 4] * _COUNT_WEIGHT)
    return at, _record(ip, 1, now)


def listing(table: bytes) -> list[tuple[bytes, int, int]]:
    """(IPv4 address as 4 bytes, count, time) of each record that is in use, in the table's order; for qmail-tcpto."""
    records = [table[at : at + RECORD] for at in range(0, len(table) - RECORD + 1, RECORD)]
    return [(record[:ADDRESS], record[4], _time(record)) for record in records if record[4]]
