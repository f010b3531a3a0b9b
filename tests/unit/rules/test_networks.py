"""Lists of addresses and networks."""

import pytest

from qmailpy.rules.networks import has


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        (b"192.0.2.7", b"192.0.2.7", b"192.0.2.70"),
        (b"192.0.2.", b"192.0.2.70", b"192.0.20.7"),
        (b"192.0.2.0/25", b"192.0.2.7", b"192.0.2.200"),
        (b"192.0.2.9/25", b"192.0.2.7", b"192.0.2.200"),
        (b"2001:db8:", b"2001:db8:1::1", b"2001:db80::1"),
        (b"2001:db8::/32", b"2001:db8::1", b"192.0.2.1"),
        (b"::1", b"::1", b"::12"),
        (b"nonsense/x", b"nonsense/x", b"192.0.2.1"),
    ],
)
def test_an_entry(entry: bytes, inside: bytes, outside: bytes) -> None:
    assert has([b"198.51.100.1", entry], inside)
    assert not has([b"198.51.100.1", entry], outside)
    assert not has([entry], b"")
    assert not has([], inside)
