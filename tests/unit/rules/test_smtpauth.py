"""control/smtpauth: which line is the login, and what in one cannot be used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.smtpauth import BadLogin, find

TEXT = b"# logins\n\nisp:joe@isp.example:a:b c #d \nother:ann:x\nisp2:joe:\nnone\nisp3::x\nisp4:joe:x\r\nother:bob:y\n"


def test_the_password_is_the_rest_of_the_line() -> None:
    found = find(TEXT, b"isp")
    assert (found.user, found.password) == (b"joe@isp.example", b"a:b c #d ")


def test_the_last_of_equal_names_wins() -> None:
    assert find(TEXT, b"other").user == b"bob"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"nobody", b"there is no line for this name"),
        (b"isp2", b"line 5 is not name:user:password"),
        (b"none", b"line 6 is not name:user:password"),
        (b"isp3", b"line 7 is not name:user:password"),
        (b"isp4", b"line 8 has a CR or NUL"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_line(name: bytes, reason: bytes) -> None:
    with pytest.raises(BadLogin) as caught:
        find(TEXT, name)
    assert caught.value.reason == reason


@given(st.binary(max_size=200), st.binary(max_size=3))
def test_any_file_has_a_login_or_has_not(text: bytes, name: bytes) -> None:
    try:
        found = find(text, name)
    except BadLogin:
        return
    assert found.user
    assert found.password
