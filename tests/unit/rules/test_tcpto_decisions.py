"""The table of time-outs: what is skipped, for how long, and what must make room."""

import pytest

from qmailpy.rules import tcpto

NOW = 1_800_000_000
IP, OTHER = bytes((127, 0, 0, 9)), bytes((192, 0, 2, 1))
EMPTY = bytes(1024)


def record(ip: bytes, count: int, when: int) -> bytes:
    return ip + bytes((count, 0, 0, 0)) + when.to_bytes(4, "little") + bytes(4)


def applied(table: bytes, change: tuple[int, bytes] | None) -> bytes:
    if change is None:
        return table
    at, new = change
    assert len(new) == 16
    assert at % 16 == 0
    return table[:at] + new + table[at + 16 :]


def table_of(*records: bytes) -> bytes:
    return b"".join(records).ljust(1024, b"\0")


def test_the_first_timeout_as_c_writes_it() -> None:
    table = applied(EMPTY, tcpto.timed_out(EMPTY, IP, NOW))
    assert table[:16] == bytes.fromhex("7f000009 01000000") + NOW.to_bytes(4, "little") + bytes(4)
    assert table[16:] == EMPTY[16:]
    assert not tcpto.is_dead(table, IP, NOW, 0)


def test_timeouts_within_two_minutes_count_as_one() -> None:
    table = table_of(record(IP, 1, NOW))
    assert tcpto.timed_out(table, IP, NOW + 119) is None
    again = applied(table, tcpto.timed_out(table, IP, NOW + 200))
    assert again[:16] == record(IP, 2, NOW + 200)
    assert tcpto.is_dead(again, IP, NOW + 201, 0)


def test_ten_is_the_most() -> None:
    table = table_of(record(IP, 10, NOW))
    assert applied(table, tcpto.timed_out(table, IP, NOW + 1000))[:16] == record(IP, 10, NOW + 1000)


@pytest.mark.parametrize(("pid", "minutes_64"), [(0, 60), (31, 91), (32, 60), (1000, 60 + (1000 & 31))])
def test_a_dead_host_is_left_alone_for_an_hour_and_a_bit(pid: int, minutes_64: int) -> None:
    table = table_of(record(IP, 2, NOW))
    assert tcpto.is_dead(table, IP, NOW + minutes_64 * 64 - 1, pid)
    assert not tcpto.is_dead(table, IP, NOW + minutes_64 * 64, pid)


def test_an_answer_clears_the_count_and_nothing_else() -> None:
    table = table_of(record(OTHER, 3, NOW), record(IP, 2, NOW))
    cleared = applied(table, tcpto.answered(table, IP))
    assert cleared == table_of(record(OTHER, 3, NOW), record(IP, 0, NOW))
    assert tcpto.answered(cleared, IP) is None
    assert tcpto.answered(EMPTY, IP) is None


def test_a_new_address_takes_the_first_free_record() -> None:
    table = table_of(record(OTHER, 1, NOW), record(OTHER, 0, NOW + 5))
    assert applied(table, tcpto.timed_out(table, IP, NOW))[16:32] == record(IP, 1, NOW)


def test_in_a_full_table_the_oldest_makes_room_but_a_count_is_worth_seventeen_minutes() -> None:
    full = [record(bytes((10, 0, 0, at)), 1, NOW) for at in range(64)]
    full[7] = record(OTHER, 10, NOW - 5000)
    full[9] = record(OTHER, 1, NOW - 100)
    change = tcpto.timed_out(b"".join(full), IP, NOW)
    assert change == (9 * 16, record(IP, 1, NOW))


def test_a_table_without_room_turns_the_feature_off() -> None:
    for table in (b"", b"x" * 15):
        assert tcpto.timed_out(table, IP, NOW) is None
        assert not tcpto.is_dead(table, IP, NOW, 0)
        assert not tcpto.knows(table, IP)


def test_the_year_2106_passes() -> None:
    late = (1 << 32) + 50
    table = table_of(record(IP, 2, (1 << 32) - 50))
    assert tcpto.is_dead(table, IP, late, 0)
    assert applied(EMPTY, tcpto.timed_out(EMPTY, IP, late))[:16] == record(IP, 1, 50)


def test_the_listing_shows_what_is_in_use() -> None:
    table = table_of(record(OTHER, 0, NOW), record(IP, 2, NOW))
    assert tcpto.listing(table) == [(IP, 2, NOW)]


@pytest.mark.parametrize("longest", [0, tcpto.PATIENT])
@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("past", [-5, 0, 30, 59, 60, 61, 3839, 3840, 4500, 5823, 5824, 9999])
def test_what_is_told_of_a_silent_host_is_what_is_decided(past: int, count: int, longest: int) -> None:
    table = table_of(record(IP, count, NOW - past))
    said = tcpto.silent(table, IP, NOW, longest)
    assert said is not None
    assert said[:2] == (count, max(past, 0))
    dead = [tcpto.is_dead(table, IP, NOW, pid, longest) for pid in range(32)]
    assert (all(dead), any(dead)) == (said[2] > 0, said[3] > 0)
    if said[2]:
        assert all(tcpto.is_dead(table, IP, NOW + said[2] - 1, pid, longest) for pid in range(32))
        assert not any(tcpto.is_dead(table, IP, NOW + said[3], pid, longest) for pid in range(32))


def test_of_a_host_that_has_answered_nothing_is_told() -> None:
    table = table_of(record(IP, 0, NOW))
    assert tcpto.silent(table, IP, NOW) is None
    assert tcpto.silent(table, OTHER, NOW) is None
    assert tcpto.silent(b"", IP, NOW) is None


# IPv6: the same by its own table

IP6, OTHER6 = bytes.fromhex("20010db8") + bytes(11) + b"\1", bytes.fromhex("20010db8") + bytes(11) + b"\2"


def record6(ip: bytes, count: int, when: int) -> bytes:
    return ip + bytes((count, 0, 0, 0)) + when.to_bytes(8, "little") + bytes(4)


def test_an_ipv6_address_has_a_longer_record_and_a_longer_time() -> None:
    late = NOW + (1 << 40)
    assert tcpto.timed_out(bytes(2048), IP6, late) == (0, record6(IP6, 1, late))
    table = (record6(OTHER6, 1, late) + record6(IP6, 1, late)).ljust(2048, b"\0")
    at, again = tcpto.timed_out(table, IP6, late + 200) or (0, b"")
    assert (at, again) == (32, record6(IP6, 2, late + 200))
    table = table[:32] + again + table[64:]
    assert tcpto.is_dead(table, IP6, late + 201, 0)
    assert not tcpto.is_dead(table, OTHER6, late + 201, 0)
    assert tcpto.listing(table, tcpto.V6) == [(OTHER6, 1, late), (IP6, 2, late + 200)]
    assert tcpto.answered(table, IP6) == (32, record6(IP6, 0, late + 200))
    assert tcpto.age(late + 200, late + 201, tcpto.V6) == 1
    assert tcpto.silent(table, IP6, late + 300) == (2, 100, 3740, 5724)
