"""Addresses in digits."""

import pytest

from qmailpy.rules import literal


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (b"127.0.0.1", b"127.0.0.1"),
        (b"[127.0.0.1]", b"127.0.0.1"),
        (b"010.0.0.09", b"10.0.0.9"),
        (b"[::1]", b"::1"),
        (b"[IPv6:2001:DB8:0::1]", b"2001:db8::1"),
        (b"[ipv6:::1]", b"::1"),
        (b"[::ffff:127.0.0.1]", b"127.0.0.1"),
        (b"256.1.1.1", None),
        (b"1.2.3", None),
        (b"1.2.3.4.5", None),
        (b"1.2.3.", None),
        (b"1.2.3.4a", None),
        (b"0001.2.3.4", None),
        (b"1.2.3.-4", None),
        (b"1.2.3. 4", None),
        (b"::1", None),
        (b"[::1", None),
        (b"[fe80::1%eth0]", None),
        (b"[IPv6:127.0.0.1]", None),
        (b"[]", None),
        (b"[x]", None),
        (b"[\xd9\xa3.1.1.1]", None),
        (b"", None),
        (b"mx.example.org", None),
    ],
)
def test_a_name_that_is_an_address(name: bytes, address: bytes | None) -> None:
    assert literal.literal(name) == address


def test_addresses_pack_and_come_back() -> None:
    for address in (b"127.0.0.1", b"::1", b"2001:db8::1"):
        assert literal.text_of(literal.pack(address)) == address


@pytest.mark.parametrize(
    ("address", "own"),
    [
        (b"0.0.0.0", True),
        (b"0.1.2.3", True),
        (b"127.0.0.2", True),
        (b"::", True),
        (b"::1", True),
        (b"10.0.0.1", False),
        (b"128.0.0.1", False),
        (b"2001:db8::1", False),
    ],
)
def test_addresses_that_always_mean_oneself(address: bytes, own: bool) -> None:
    assert literal.is_always_own(address) == own
