"""The lines of a .qmail file and the steps they mean: the table of spec/05-local.md 5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.instructions import (
    BLANK,
    CR,
    FILE_WITH_X,
    FORWARD,
    MAILDIR,
    MBOX,
    PROGRAM,
    PROGRAM_WITH_X,
    REFUSE,
    parse,
)

Steps = list[tuple[bytes, bytes]]


def steps(text: bytes, *, forward_only: bool = False) -> Steps:
    return [(step.kind, step.argument) for step in parse(text, forward_only=forward_only)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"./Maildir/", [(MAILDIR, b"./Maildir/")]),
        (b"/var/spool/joe/", [(MAILDIR, b"/var/spool/joe/")]),
        (b"./Mailbox", [(MBOX, b"./Mailbox")]),
        (b"/dev/null", [(MBOX, b"/dev/null")]),
        (b".", [(MBOX, b".")]),
        (b"./a b \t ", [(MBOX, b"./a b")]),
        (b"|cat > x", [(PROGRAM, b"cat > x")]),
        (b"|  cat", [(PROGRAM, b"  cat")]),
        (b"|", [(PROGRAM, b"")]),
        (b"&joe@x.org", [(FORWARD, b"joe@x.org")]),
        (b"& joe@x.org", [(FORWARD, b" joe@x.org")]),
        (b"joe", [(FORWARD, b"joe")]),
        (b" joe", [(FORWARD, b" joe")]),
        (b"\tjoe", [(FORWARD, b"\tjoe")]),
        (b"&", [(FORWARD, b"")]),
        (b"#", []),
        (b"# a comment | & ./", []),
        (b"+list", []),
        (b"+anything", []),
        (b"jo\re", [(FORWARD, b"jo\re")]),
        (b"#joe\r", []),
        (b"\xff\xfe", [(FORWARD, b"\xff\xfe")]),
    ],
)
def test_the_first_byte_says_what_a_line_is(line: bytes, expected: Steps) -> None:
    assert steps(line) == expected
    assert steps(line + b"\n") == expected


def test_lines_keep_their_order() -> None:
    assert [kind for kind, _ in steps(b"a\n|b\n./c\n./d/\n&e")] == [FORWARD, PROGRAM, MBOX, MAILDIR, FORWARD]


@pytest.mark.parametrize("text", [b"", b"\n", b" \t\n./x\n", b"\0x\n"])
def test_a_blank_first_line_is_refused(text: bytes) -> None:
    assert steps(text)[0] == (REFUSE, BLANK)


@pytest.mark.parametrize("line", [b"./Maildir/", b"./Mailbox", b"|cat", b"&joe", b"joe", b"+list", b""])
def test_a_line_that_ends_with_cr_is_refused(line: bytes) -> None:
    assert steps(b"#\r\n" + line + b"\r\n") == [(REFUSE, CR)]
    assert steps(line + b"\r \t\n", forward_only=True) == [(REFUSE, CR)]


def test_later_blank_lines_are_ignored() -> None:
    assert steps(b"#\n\n \t\n./x\n\n") == [(MBOX, b"./x")]


def test_a_nul_ends_a_line() -> None:
    assert steps(b"|echo \0rm -rf\n&joe\0@x\n") == [(PROGRAM, b"echo "), (FORWARD, b"joe")]


@pytest.mark.parametrize(
    ("line", "sentence"), [(b"./M", FILE_WITH_X), (b"./M/", FILE_WITH_X), (b"/M", FILE_WITH_X), (b"|x", PROGRAM_WITH_X)]
)
def test_forward_only_refuses_files_and_programs(line: bytes, sentence: bytes) -> None:
    assert steps(line, forward_only=True) == [(REFUSE, sentence)]
    assert steps(b"&a@b\n" + line, forward_only=True) == [(FORWARD, b"a@b"), (REFUSE, sentence)]


def test_a_list_line_makes_the_rest_forward_only() -> None:
    assert steps(b"./a\n+list\n&b\n./c\n") == [(MBOX, b"./a"), (FORWARD, b"b"), (REFUSE, FILE_WITH_X)]
    assert steps(b"+list \t\n|x\n") == [(REFUSE, PROGRAM_WITH_X)]
    assert steps(b"+lists\n|x\n") == [(PROGRAM, b"x")]


def test_a_hundred_thousand_members_are_a_list() -> None:
    text = b"".join(b"&member%d@example.org\n" % number for number in range(100_000))
    assert len(steps(text)) == 100_000


@given(st.binary(max_size=200))
def test_any_bytes_are_instructions_without_nul(text: bytes) -> None:
    for kind, argument in steps(text):
        assert kind in (MAILDIR, MBOX, PROGRAM, FORWARD, REFUSE)
        assert b"\0" not in argument
        assert b"\n" not in argument
