"""In which order the addresses of one host are tried."""

import pytest

from qmailpy.rules.address_order import in_order

V4, V6 = b"192.0.2.1", b"2001:db8::1"


@pytest.mark.parametrize(
    ("addresses", "sources", "expected"),
    [
        ([V4, V6], {V4: b"192.0.2.9", V6: b"2001:db8::9"}, [V6, V4]),
        ([V4, V6], {V4: b"192.0.2.9", V6: None}, [V4, V6]),
        ([V4, V6], {V4: None, V6: b"2001:db8::9"}, [V6, V4]),
        ([V4, V6], {V4: b"192.0.2.9", V6: b"fd00::9"}, [V4, V6]),
        ([V4, V6], {V4: b"192.0.2.9", V6: b"2002:c000:209::1"}, [V4, V6]),
        ([V4, V6], {V4: b"192.0.2.9", V6: b"2001:0:1::1"}, [V4, V6]),
        ([V4, b"fd00::1"], {V4: b"192.0.2.9", b"fd00::1": b"fd00::9"}, [b"fd00::1", V4]),
        ([V4, V6], {V4: None, V6: None}, [V4, V6]),
        (
            [V4, b"192.0.2.2", V6, b"2001:db8::2"],
            {V4: b"192.0.2.9", b"192.0.2.2": b"192.0.2.9", V6: b"2001:db8::9", b"2001:db8::2": b"2001:db8::9"},
            [V6, b"2001:db8::2", V4, b"192.0.2.2"],
        ),
    ],
)
def test_the_best_comes_first(
    addresses: list[bytes], sources: dict[bytes, bytes | None], expected: list[bytes]
) -> None:
    assert in_order(addresses, sources.__getitem__) == expected


@pytest.mark.parametrize("addresses", [[], [V4], [V4, b"192.0.2.2"], [V6, b"2001:db8::2"]])
def test_where_there_is_no_choice_of_families_nobody_is_asked(addresses: list[bytes]) -> None:
    def never(_: bytes) -> bytes:
        raise AssertionError

    assert in_order(addresses, never) == addresses
