"""Addresses in commands: quoted where they must be, refused where they would become another command."""

import pytest

from qmailpy.rules.smtp_address import is_clean_name, smtp_address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (b"", b""),
        (b"#@[]", b"#@[]"),
        (b"a@b", b"a@b"),
        (b"a b@c", b'"a b"@c'),
        (b"a@b@c", b'"a@b"@c'),
        (b'a"b\\@c', b'"a\\"b\\\\"@c'),
        (b"a>b@c", b'"a>b"@c'),
        (b".a@b", b'".a"@b'),
        (b"@b", b'""@b'),
        (b"\xff@b", b'"\xff"@b'),
        (b"a@\xc3\xbc.example", b"a@\xc3\xbc.example"),
        (b"nohost", b"nohost"),
        (b"a\tb@c", b'"a\tb"@c'),
    ],
)
def test_an_address_in_a_command(address: bytes, said: bytes) -> None:
    assert smtp_address(address) == said


@pytest.mark.parametrize(
    "address",
    [
        b"a\nb@c",
        b"a\rb@c",
        b"a\r\nRCPT TO:<x@y>@c",
        b"a@b\n",
        b"a@b> NOTIFY=NEVER",
        b"a@b c",
        b"a@<b",
        b"no\nhost",
        b"no host",
        b"a@b\x7f",
        b"a\0b@c",
    ],
)
def test_an_address_that_would_be_more_than_an_address_is_refused(address: bytes) -> None:
    assert smtp_address(address) is None


def test_a_name_for_helo_is_one_word() -> None:
    assert is_clean_name(b"mx.example.org")
    assert not any(is_clean_name(name) for name in (b"", b"a b", b"a\r", b"a\nb", b"a>"))
