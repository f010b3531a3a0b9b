"""The six fields of a user: both ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire.getpw import User, decode, encode

JOE = b"joe\x001008\x001009\0/home/joe\0-\0Foo-bar\0"

words = st.binary(max_size=40).map(lambda word: word.replace(b"\0", b"x"))
ids = st.integers(min_value=0, max_value=0xFFFFFFFE)


def test_a_user_is_six_fields_each_ended_by_a_nul() -> None:
    assert encode(User(b"joe", 1008, 1009, b"/home/joe", b"-", b"Foo-bar")) == JOE


def test_the_reader_gets_what_the_writer_said() -> None:
    user = decode(JOE)
    assert user is not None
    assert (user.name, user.uid, user.gid) == (b"joe", 1008, 1009)
    assert (user.home, user.dash, user.ext) == (b"/home/joe", b"-", b"Foo-bar")


@given(words, ids, ids, words, words, words)
def test_every_user_survives_the_way(name: bytes, uid: int, gid: int, home: bytes, dash: bytes, ext: bytes) -> None:
    user = User(name, uid, gid, b"/" + home, dash, ext)
    assert decode(encode(user)) == user


@given(st.binary(max_size=80))
def test_any_bytes_are_a_user_or_none(content: bytes) -> None:
    user = decode(content)
    assert user is None or (0 <= user.uid < 2**32 - 1 and 0 <= user.gid < 2**32 - 1 and user.home[:1] == b"/")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"joe\x001\x001\0/home/joe\0-\0",  # five fields
        JOE[:-1],  # the last NUL is missing
        JOE + b"x",
        JOE + b"\0",
        JOE.replace(b"/home/joe", b"home/joe"),
        JOE.replace(b"/home/joe", b""),
        *(
            JOE.replace(b"1008", word)
            for word in (
                b"",
                b"-1",
                b"+1",
                b" 1",
                b"1 ",
                b"1_0",
                b"0x1",
                b"4294967295",
                b"99999999999",
                "٣".encode(),
                b"1" * 5000,
            )
        ),
        JOE.replace(b"1009", b"4294967295"),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    assert decode(content) is None


def test_the_largest_id_is_taken() -> None:
    user = decode(JOE.replace(b"1008", b"4294967294"))
    assert user is not None
    assert user.uid == 4294967294


def test_a_user_is_no_key_of_a_dict() -> None:
    with pytest.raises(TypeError):
        hash(decode(JOE))
    assert decode(JOE) != JOE
