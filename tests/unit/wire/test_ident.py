"""qmailpy/wire/ident.py: RFC 1413."""

import pytest

from qmailpy.wire import ident

REPLIES = [
    (b"6193, 23 : USERID : UNIX : stjohns\r\n", b"stjohns"),
    (b"6193,23:USERID:OTHER: a b\tc:d\r\nmore", b"abc:d"),
    (b"6195, 23 : ERROR : NO-USER\r\n", None),
    (b"1,2:USERID:UNIX:\n", b""),
    (b"1,2:USERID:UNIX:x", b"x"),
    (b"", None),
    (b"a:b:c:" + b"x" * 2000, b"x" * 998),
]


@pytest.mark.parametrize(("reply", "user"), REPLIES)
def test_the_text_after_the_third_colon_is_the_user(reply: bytes, user: bytes | None) -> None:
    assert ident.user(reply) == user


def test_the_query_names_both_ports() -> None:
    assert ident.query(6191, 23) == b"6191 , 23\r\n"
