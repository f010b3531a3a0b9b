"""What sessions and qmail-authd say to each other: both ways, whole and by the byte, and what makes no sense."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import authd
from qmailpy.wire.authd import Answer, AuthdError, Question

QUESTION = Question(b"password", b"ann@example.org", b"s\xc3\xb6: ,", b"<1@x>", b"2001:db8::1", b"587")


def test_a_question_comes_back_whole_and_not_before() -> None:
    encoded = QUESTION.encode()
    assert [at for at in range(len(encoded)) if authd.decode_question(encoded[:at]) is not None] == []
    found = authd.decode_question(encoded)
    assert found is not None
    assert found.for_program == b"ann@example.org\0s\xc3\xb6: ,\0<1@x>\0"
    assert (found.method, found.remote, found.port) == (b"password", b"2001:db8::1", b"587")


@given(st.sampled_from([authd.YES, authd.NO, authd.LATER]), st.integers(0, 60), st.binary(max_size=2048))
def test_an_answer_comes_back_whole_and_not_before(verdict: bytes, hold: int, said: bytes) -> None:
    encoded = Answer(verdict, hold, said).encode()
    found = authd.decode_answer(encoded)
    assert found is not None
    assert (found.verdict, found.hold, found.said) == (verdict, hold, said)
    assert authd.decode_answer(encoded[:-1]) is None


@pytest.mark.parametrize(
    "fields",
    [
        (b"guess", b"ann", b"x", b"", b"", b""),
        (b"password", b"", b"x", b"", b"", b""),
        (b"password", b"a\0n", b"x", b"", b"", b""),
        (b"password", b"ann", b"x\0", b"", b"", b""),
        (b"password", b"ann", b"x", b"\0", b"", b""),
        (b"password", b"a" * 256, b"x", b"", b"", b""),
        (b"password", b"ann", b"x" * 1021, b"", b"", b""),
        (b"password", b"ann", b"x", b"x" * 9000, b"", b""),
        (b"password", b"ann", b"x", b"", b"host name", b""),
        (b"password", b"ann", b"x", b"", b"1" * 46, b""),
        (b"password", b"ann", b"x", b"", b"", b"-1"),
        (b"password", b"ann", b"x", b"", b"", b"123456"),
    ],
)
def test_what_cannot_be_asked_is_not(fields: tuple[bytes, ...]) -> None:
    with pytest.raises(AuthdError):
        Question(*fields)


@given(st.binary(max_size=300))
def test_no_question_is_too_strange(received: bytes) -> None:
    for start in (b"", authd.MAGIC):
        with contextlib.suppress(AuthdError):
            authd.decode_question(start + received)


@given(st.binary(max_size=300))
def test_no_answer_is_too_strange(received: bytes) -> None:
    with contextlib.suppress(AuthdError):
        authd.decode_answer(received)
    authd.heard(received)


def test_more_than_one_question_is_none() -> None:
    with pytest.raises(AuthdError):
        authd.decode_question(QUESTION.encode() + b"x")


def test_a_program_of_others_says_nothing_that_counts() -> None:
    assert authd.heard(authd.said(b"ann", b"data")) == (b"ann", b"data")
    for words in (b"", b"hello\n", b"3:ann,", b"3:ann,0:,0:,"):
        assert authd.heard(words) == (b"", b"")
