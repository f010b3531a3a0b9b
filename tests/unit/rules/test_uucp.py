"""qmailpy/rules/uucp.py: who sent it, by the lines that each host has put before it (RFC 976)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.uucp import is_from_line, may_be_from_line, sender

PATHS = [
    ([], None),
    ([b"From joe Sat Nov 21 02:27:41 2026\n"], b"joe"),
    ([b"From joe date remote from a\n", b">From joe date remote from b\n"], b"a!b!joe"),
    ([b"From joe date remote from a\n", b">From joe date remote from b.example\n"], b"joe@b.example"),
    ([b"From a!b!joe date\n"], b"a!b!joe"),
    ([b"From c!joe date remote from a.b\n"], b"a.b!c!joe"),
    ([b"From x@y.z date remote from a.b\n"], b"x@y.z"),
    ([b"From a! date\n"], b""),
    ([b"From MAILER-DAEMON date\n"], b""),
    ([b"From <> date\n"], b""),
    ([b"From \n"], b""),
    ([b"From remote from x\n"], b"remote"),
]


@pytest.mark.parametrize(("lines", "expected"), PATHS)
def test_the_path_becomes_an_address(lines: list[bytes], expected: bytes | None) -> None:
    assert sender(lines) == expected


@given(st.lists(st.binary()))
def test_any_lines_have_a_sender_or_none(lines: list[bytes]) -> None:
    assert isinstance(sender(lines), bytes | None)


@given(st.binary())
def test_a_line_is_known_from_its_first_byte_on(line: bytes) -> None:
    if is_from_line(line):
        assert all(may_be_from_line(line[:end]) for end in range(len(line)))
    assert may_be_from_line(b"")
    assert not may_be_from_line(b"Fr0")
