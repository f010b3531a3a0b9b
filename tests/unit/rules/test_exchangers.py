"""Which exchanger first, and when it would be a loop."""

from collections import Counter

from qmailpy.rules import exchangers
from qmailpy.rules import exchangers as rule
from qmailpy.rules.exchangers import LIMIT, NULL, Address, Exchanger, in_order, is_null, nearest_own, usable


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


def test_no_more_than_so_many_addresses_are_tried_and_the_best_ones_of_them() -> None:
    many = [Address(at, b"192.0.2.%d" % at) for at in range(250)]
    assert ips(usable(many, lambda _: False)) == ips(many[: exchangers.ADDRESSES])


def test_of_thousands_of_addresses_the_best_are_tried() -> None:
    many = [Address(at, b"10.0.%d.%d" % (at // 250, at % 250), b"m%d" % at) for at in range(3000)]
    assert ips(usable(many, lambda _: False)) == ips(many[: rule.ADDRESSES])


def test_one_exchanger_does_not_take_the_place_of_the_others_nor_one_family_that_of_the_other() -> None:
    six = [Address(10, b"2001:db8::%x" % at, b"a") for at in range(1000)]
    four = [Address(10, b"10.0.0.%d" % at, b"a") for at in range(250)]
    other = [Address(20, b"192.0.2.1", b"b")]
    most = rule.MOST_OF_ONE
    assert ips(usable([*six, *four, *other], lambda _: False)) == ips([*six[:most], *four[:most], *other])


def test_we_are_found_among_those_that_would_not_be_tried() -> None:
    many = [Address(10, b"10.0.0.%d" % at, b"a") for at in range(100)]
    assert usable(many, lambda ip: ip == b"10.0.0.99") == []
    assert nearest_own(many, lambda ip: ip == b"10.0.0.99") == 10
    assert nearest_own(many, lambda _: False) > 65535
