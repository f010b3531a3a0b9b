"""How often a password may be tried."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import throttle
from qmailpy.rules.throttle import LOGIN, NETWORK, Throttle


def test_ten_thousand_wrong_passwords_from_one_place_are_hardly_checked() -> None:
    judge = Throttle()
    checked = 0
    for attempt in range(10_000):
        if judge.refuses(b"192.0.2.1", b"ann%d" % attempt, attempt * 0.01) is None:
            checked += 1
            judge.failed(b"192.0.2.1", b"ann%d" % attempt, attempt * 0.01)
    assert checked <= throttle.NETWORK_MOST + 100 * throttle.NETWORK_LEAK + 1
    assert judge.refuses(b"192.0.2.2", b"ann", 100.0) is None


def test_the_place_is_heard_again_after_a_while() -> None:
    judge = Throttle()
    for _ in range(30):
        judge.failed(b"192.0.2.1", b"ann", 0.0)
    assert judge.refuses(b"192.0.2.1", b"bob", 1.0) == NETWORK
    assert judge.refuses(b"192.0.2.1", b"bob", 11 / throttle.NETWORK_LEAK) is None


def test_a_login_that_many_machines_guess_is_checked_slowly_but_its_owner_is_not_locked_out() -> None:
    judge = Throttle()
    judge.succeeded(b"203.0.113.7", b"ann", 0.0)
    for number in range(200):
        judge.failed(b"198.51.100.%d" % number, b"Ann", 1.0)
    assert judge.refuses(b"198.51.101.1", b"ann", 2.0) is None
    assert judge.refuses(b"198.51.101.2", b"ann", 3.0) == LOGIN
    assert judge.refuses(b"203.0.113.7", b"ANN", 3.0) is None
    assert judge.refuses(b"203.0.113.7", b"ann", 3.0) is None
    assert judge.refuses(b"198.51.101.3", b"ann", 2.0 + throttle.PAUSE) is None
    assert judge.refuses(b"198.51.101.1", b"bob", 3.0) is None


def test_a_refusal_is_held_back_longer_each_time() -> None:
    judge = Throttle()
    holds = [judge.failed(b"192.0.2.1", b"ann", 0.0) for _ in range(15)]
    assert holds == [*range(1, 11), *[10] * 5]


def test_logins_that_are_begun_and_never_ended_are_not_free() -> None:
    judge = Throttle()
    for _ in range(200):
        judge.begun(b"192.0.2.1", 0.0)
        judge.begun(b"192.0.2.2", 0.0)
        judge.finished(b"192.0.2.2", 0.0)
    assert judge.refuses(b"192.0.2.1", b"ann", 0.0) == NETWORK
    assert judge.refuses(b"192.0.2.2", b"ann", 0.0) is None


def test_memory_is_bounded() -> None:
    judge = Throttle(remembered=100)
    for number in range(10_000):
        login, address = b"u%d" % number, b"10.%d.%d.1" % divmod(number, 256)
        judge.failed(address, login, float(number))
        judge.succeeded(address, login, float(number))
        judge.refuses(address, login, float(number))
    assert judge.size <= 400


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (b"192.0.2.1", b"192.0.2.1"),
        (b"::ffff:192.0.2.1", b"192.0.2.1"),
        (b"2001:db8:1:2:3:4:5:6", b"2001:db8:1:2::"),
        (b"2001:DB8:0001:2::1", b"2001:db8:1:2::"),
        (b"2001:db8::1", b"2001:db8:0:0::"),
        (b"::1", b"0:0:0:0::"),
        (b"", b""),
    ],
)
def test_a_customer_of_ipv6_is_one_place(address: bytes, network: bytes) -> None:
    assert throttle.network(address) == network


@given(st.binary(max_size=50))
def test_no_address_is_too_strange(address: bytes) -> None:
    throttle.network(address)
