"""qmailpy/rules/quote.py: which local parts need quotes, and that quoting can be undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.quote import needs_quote, quote, quote2

ADDRESSES = [
    (b"", b""),
    (b"joe", b"joe"),
    (b"joe@example.com", b"joe@example.com"),
    (b"a,b@c", b'"a,b"@c'),
    (b"a@b@c", b'"a@b"@c'),
    (b"a b", b'"a b"'),
    (b"@host", b'""@host'),
    (b".a@h", b'".a"@h'),
    (b"a.@h", b'"a."@h'),
    (b"a..b@h", b'"a..b"@h'),
    (b"a.b@h", b"a.b@h"),
    (b'a"b\\c@h', b'"a\\"b\\\\c"@h'),
    (b"a\nb\rc@h", b'"a\\\nb\\\rc"@h'),
    (b"<r@h>", b'"<r"@h>'),
    (b"m\xc3\xbcller@h", b'"m\xc3\xbcller"@h'),
    (b"a\x7f@h", b'"a\x7f"@h'),
    (b"user@do main", b"user@do main"),
    (b"#@[]", b"#@[]"),
]


@pytest.mark.parametrize(("address", "quoted"), ADDRESSES)
def test_only_the_local_part_is_quoted_and_only_where_it_must(address: bytes, quoted: bytes) -> None:
    assert quote2(address) == quoted


def test_every_byte_is_safe_or_quoted() -> None:
    safe = {byte for byte in range(256) if not needs_quote(b"a%cb" % byte)}
    letters = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    assert safe == letters | set(b"!#$%&'*+-./=?^_`{|}~")
    assert needs_quote(b"")


@given(st.binary())
def test_quoting_can_be_undone(box: bytes) -> None:
    quoted = quote(box)
    if quoted == box:
        assert not needs_quote(box)
        return
    assert quoted.startswith(b'"')
    assert quoted.endswith(b'"')
    inner, plain, at = quoted[1:-1], bytearray(), 0
    while at < len(inner):
        assert inner[at : at + 1] != b'"'
        at += inner[at] == 0x5C
        plain.append(inner[at])
        at += 1
    assert plain == box
