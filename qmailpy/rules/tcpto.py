"""Which hosts do not answer: decisions about the tables of time-outs, lock/tcpto (spec/06 4) and lock/tcpto6.

A table is a string of records: address, count, three NUL, time (little-endian), four NUL. Of IPv4 they have 16 bytes
and a time of 32 bits, as C programs want it; of IPv6, whose table is ours alone, 32 bytes and 64 bits. A record with
count 0 is free. The size of an address (4 or 16 bytes) says which table is meant. Functions get the whole table and
answer (where, record) for what is to be written; disk/tcpto keeps it.
"""

V4, V6 = 4, 16  # bytes of an address
_TIME = {V4: 4, V6: 8}  # bytes of a record's time; the first field ends in 2106, differences go on working
_CROSS = 2  # time-outs after which a host is left alone
_AGAIN = 120  # seconds in which several time-outs count as one
_MOST = 10
PATIENT = 60  # seconds that a relay of the administrator's is left alone: there is no other
_UNIT = 64  # seconds; a host is left alone for 60 to 91 of them
_COUNT_WEIGHT = 1024  # seconds that one count is worth when a record must make room


def record_size(address: int) -> int:
    """Bytes of a record.  address: V4 or V6."""
    return address + 8 + _TIME[address]


def _wrap(address: int) -> int:
    return 1 << 8 * _TIME[address]


def _record(ip: bytes, count: int, when: int) -> bytes:
    size = len(ip)
    return ip + bytes((count, 0, 0, 0)) + (when % _wrap(size)).to_bytes(_TIME[size], "little") + bytes(4)


def _time(record: bytes, address: int) -> int:
    return int.from_bytes(record[address + 4 : address + 4 + _TIME[address]], "little")


def _places(table: bytes, address: int) -> range:
    size = record_size(address)
    return range(0, len(table) - size + 1, size)


def _find(table: bytes, ip: bytes) -> int:
    """Where the first record of this address begins; -1 if there is none."""
    for at in _places(table, len(ip)):
        if table.startswith(ip, at):
            return at
    return -1


def age(when: int, now: int, address: int = V4) -> int:
    """Seconds since a record's time; never negative."""
    past = (now - when) % _wrap(address)
    return past if past < _wrap(address) // 2 else 0  # the clock was set back


def knows(table: bytes, ip: bytes) -> bool:
    """Whether there is a record of this address.  ip: its bytes."""
    return _find(table, ip) >= 0


def is_dead(table: bytes, ip: bytes, now: int, pid: int, longest: int = 0) -> bool:
    """Whether to leave this address alone: it timed out more than once, and not long ago.

    ip: its bytes; now: seconds since the epoch; pid: ours, so that not all try again at the same moment; longest:
    seconds, if it is not for an hour.
    """
    at = _find(table, ip)
    if at < 0:
        return False
    size = len(ip)
    record = table[at : at + record_size(size)]
    return record[size] >= _CROSS and (now - _time(record, size)) % _wrap(size) < (longest or (60 + (pid & 31)) * _UNIT)


def silent(table: bytes, ip: bytes, now: int, longest: int = 0) -> tuple[int, int, int, int] | None:
    """What the table says of an address; None: nothing, or it has answered since.

    Result: how often it timed out; seconds since the last time; seconds from now in which is_dead() holds for whatever
    pid, and after which it does for none (0: it does not).
    """
    at, size = _find(table, ip), len(ip)
    if at < 0 or table[at + size] == 0:
        return None
    count, when = table[at + size], _time(table[at : at + record_size(size)], size)
    past = (now - when) % _wrap(size)
    least, most = (longest, longest) if longest else (60 * _UNIT, 91 * _UNIT)
    if count < _CROSS:
        least = most = 0
    return count, age(when, now, size), max(0, least - past), max(0, most - past)


def answered(table: bytes, ip: bytes) -> tuple[int, bytes] | None:
    """It answered, or failed in another way: its count becomes 0."""
    at, size = _find(table, ip), len(ip)
    if at < 0 or table[at + size] == 0:
        return None
    record = table[at : at + record_size(size)]
    return at, record[:size] + b"\0" + record[size + 1 :]


def timed_out(table: bytes, ip: bytes, now: int) -> tuple[int, bytes] | None:
    """It timed out now.  A new address takes a free record, else the one that matters least."""
    at, size = _find(table, ip), len(ip)
    if at >= 0:
        count, when = table[at + size], _time(table[at : at + record_size(size)], size)
        if count and (now - when) % _wrap(size) < _AGAIN:
            return None
        return at, _record(ip, min(count + 1, _MOST), now)
    places = _places(table, size)
    if not places:
        return None
    free = (at for at in places if table[at + size] == 0)
    at = next(free, -1)
    if at < 0:
        at = min(places, key=lambda at: _time(table[at:], size) + table[at + size] * _COUNT_WEIGHT)
    return at, _record(ip, 1, now)


def listing(table: bytes, address: int = V4) -> list[tuple[bytes, int, int]]:
    """(address in bytes, count, time) of each record that is in use, in the table's order; for qmail-tcpto."""
    size = record_size(address)
    records = [table[at : at + size] for at in _places(table, address)]
    return [(record[:address], record[address], _time(record, address)) for record in records if record[address]]
