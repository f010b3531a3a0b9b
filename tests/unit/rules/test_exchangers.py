"""Which exchanger first, and when it would be a loop."""

from collections import Counter

from qmailpy.rules.exchangers import LIMIT, NULL, Address, Exchanger, in_order, is_null, usable


def names(exchangers: list[Exchanger]) -> list[bytes]:
    return [exchanger.name for exchanger in exchangers]


def ips(addresses: list[Address]) -> list[bytes]:
    return [address.ip for address in addresses]


RECORDS = [Exchanger(20, b"c"), Exchanger(10, b"a"), Exchanger(30, b"d"), Exchanger(10, b"b")]


def test_lower_preferences_come_first() -> None:
    assert names(in_order(RECORDS, lambda count: count - 1))[2:] == [b"c", b"d"]


def test_equals_are_chosen_at_random_each_as_often() -> None:
    equal = [Exchanger(0, name) for name in (b"a", b"b", b"c")]
    seen: Counter[bytes] = Counter()
    for first in range(3):
        for second in range(2):
            choices = [second, first]
            seen[b"".join(names(in_order(equal, lambda _, choices=choices: choices.pop())))] += 1  # type: ignore[misc]
    assert seen == dict.fromkeys((b"abc", b"acb", b"bac", b"bca", b"cab", b"cba"), 1)


def test_the_records_of_the_dns_stay_as_they_are() -> None:
    before = list(RECORDS)
    in_order(RECORDS, lambda _: 0)
    assert before == RECORDS


def test_thousands_of_exchangers_are_not_all_looked_up() -> None:
    many = [Exchanger(at, b"%d" % at) for at in range(10000, 0, -1)]
    assert names(in_order(many, lambda _: 0)) == [b"%d" % at for at in range(1, LIMIT + 1)]


def test_one_empty_exchanger_means_no_mail() -> None:
    assert is_null([Exchanger(0, NULL)])
    assert not is_null([])
    assert not is_null([Exchanger(0, NULL), Exchanger(10, b"a")])
    assert names(in_order([Exchanger(0, NULL), Exchanger(10, b"a")], lambda _: 0)) == [b"a"]


ADDRESSES = [Address(10, b"192.0.2.1"), Address(20, b"192.0.2.2"), Address(20, b"192.0.2.3"), Address(30, b"192.0.2.4")]


def test_only_hosts_that_are_nearer_than_we_are() -> None:
    assert ips(usable(ADDRESSES, lambda ip: ip == b"192.0.2.3")) == [b"192.0.2.1"]
    assert ips(usable(ADDRESSES, lambda ip: ip == b"192.0.2.4")) == [b"192.0.2.1", b"192.0.2.2", b"192.0.2.3"]
    assert ips(usable(ADDRESSES, lambda ip: ip == b"192.0.2.1")) == []


def test_all_hosts_if_we_are_none_of_them() -> None:
    assert ips(usable(ADDRESSES, lambda _: False)) == ips(ADDRESSES)


def test_an_address_is_tried_once() -> None:
    twice = [Address(10, b"192.0.2.1"), Address(20, b"192.0.2.1"), Address(20, b"192.0.2.2")]
    assert ips(usable(twice, lambda _: False)) == [b"192.0.2.1", b"192.0.2.2"]
