"""control/smtpplugins, and what a plugin says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import plugins
from qmailpy.wire import plugin


def test_commands_belong_to_the_section_above_them() -> None:
    lines = [b"lost", b"[Mail]", b"plugins/a", b":echo E550 no", b"[rcpt]", b"[data]", b" plugins/b", b"[mail]", b"c"]
    assert plugins.sections(lines) == {b"mail": (b"plugins/a", b":echo E550 no", b"c"), b"data": (b"plugins/b",)}


def test_a_colon_means_the_shell() -> None:
    assert plugins.argv(b"plugins/a b") == [b"plugins/a b"]
    assert plugins.argv(b":echo a b") == [b"/bin/sh", b"-c", b"echo a b"]


def test_orders_are_lines() -> None:
    said = b"E553 no\r\n\nLR450 later\nA\nno end"
    assert list(plugin.orders(said)) == [(b"E", b"553 no"), (b"L", b"R450 later"), (b"A", b""), (b"n", b"o end")]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (b"553 no", b"553 no"),
        (b" 450 later ", b"450 later"),
        (b"250 ok", b"250 ok"),
        (b"no", b"550 no"),
        (b"", b"550 sorry, refused (#5.7.1)"),
        (b"5530", b"550 5530"),
        (b"553-no", b"550 553-no"),
        (b"553 a\r\n250 b\0", b"553 a??250 b?"),
        (b"553 " + b"x" * 1000, b"553 " + b"x" * 496),
    ],
)
def test_a_reply_has_a_code_and_is_one_line(text: bytes, reply: bytes) -> None:
    assert plugin.reply(text) == reply


@given(st.binary(max_size=600))
def test_nothing_that_a_plugin_says_is_two_lines(text: bytes) -> None:
    assert not plugin.reply(text).translate(None, bytes(range(32, 256))).strip(b"\x7f")
    assert plugin.printed(text).count(b"\n") == 1
    assert not plugin.header(text).translate(None, bytes(range(32, 256)))
    assert plugin.reply(text)[:1] in b"2345"
    list(plugin.orders(text))
