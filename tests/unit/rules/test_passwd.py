"""Accounts become lines of users/assign."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.assign import Assignments
from qmailpy.rules.passwd import Account, Style, has_capitals, read_account, read_subuser

JOE = Account(b"joe", 60001, 60002, b"/home/joe")
ALIAS = Account(b"alias", 1001, 1001, b"/var/qmail/alias")


def test_a_line_of_passwd_is_an_account() -> None:
    account = read_account(b"joe:x:60001:60002:Joe,,,:/home/joe:/bin/sh")
    assert account is not None
    assert (account.name, account.uid, account.home) == (b"joe", 60001, b"/home/joe")
    assert account.fields == b"joe:60001:60002:/home/joe"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"root:x:0:0:root:/root:/bin/sh",
        b"toor:x:00:0:root:/root:/bin/sh",
        b"joe:x:60001:60002:Joe:/home/joe",  # five colons
        b"j\0e:x:60001:60002:Joe:/home/joe:/bin/sh",
        b"+::::::",
        b"+@group:x:1:1::/home:",
        b":x:1:1::/home:",
        b"joe:x:one:1::/home:",
        b"joe:x:-1:1::/home:",
        b"joe:x:1_0:1::/home:",
        b"joe:x:1::/home::",
        b"joe:x:1:1::home:",
        b"joe:x:%d:1::/home:" % 10**30,
    ],
)
def test_what_nobody_can_deliver_to_is_none(line: bytes) -> None:
    expected = line.startswith(b"+@")  # a name like another, whatever it once meant
    assert (read_account(line) is not None) == expected


def test_capitals_are_ascii() -> None:
    assert [has_capitals(name) for name in (b"joe", b"jOe", b"\xc3\x96", b"")] == [False, True, False, False]


@pytest.mark.parametrize(
    ("style", "names", "expected"),
    [
        (Style(), [b"joe"], b"=joe:F:::\n+joe-:F:-::\n"),
        (Style(slash=True), [b"joe"], b"=joe:F:::\n+joe-:F:-/::\n"),
        (Style(b"."), [b"joe"], b"=joe:F:::\n+joe.:F:-::\n"),
        (Style(b""), [b"joe"], b"=joe:F:::\n"),
        (Style(), [b"j.doe", b"Joe"], b"=j.doe:F:::\n+j.doe-:F:-::\n=Joe:F:::\n+Joe-:F:-::\n"),
        (Style(), [], b""),
    ],
)
def test_an_account_has_a_line_for_each_name_and_one_for_its_extensions(
    style: Style, names: list[bytes], expected: bytes
) -> None:
    assert style.of_account(JOE, names) == expected.replace(b"F", b"joe:60001:60002:/home/joe")


def test_alias_has_everything_else_first() -> None:
    fields = b"alias:1001:1001:/var/qmail/alias"
    assert Style(slash=True).of_account(ALIAS, [b"alias"]) == (
        b"+:%s:-/::\n=alias:%s:::\n+alias-:%s:-/::\n" % (fields, fields, fields)
    )


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (Style(), b"=sales:F:-:s:\n+sales-:F:-:s-:\n"),
        (Style(b".", slash=True), b"=sales:F:-/:s:\n+sales.:F:-/:s-:\n"),
        (Style(b""), b"=sales:F:-:s:\n"),
    ],
)
def test_a_subuser_is_a_part_of_an_account(style: Style, expected: bytes) -> None:
    assert style.of_subuser(b"sales", JOE.fields, b"s") == expected.replace(b"F", JOE.fields)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"sales:joe:s:", (b"sales", b"joe", b"s")),
        (b"sales:joe:::", (b"sales", b"joe", b"")),
        (b"sales:joe:s: more: of it", (b"sales", b"joe", b"s")),
        (b"sales:joe:s", None),
        (b":joe:s:", None),
        (b"sales::s:", None),
        (b"s\0les:joe:s:", None),
    ],
)
def test_a_line_of_subusers(line: bytes, expected: tuple[bytes, bytes, bytes] | None) -> None:
    assert read_subuser(line) == expected


@pytest.mark.hypothesis
@given(st.binary(max_size=60).map(lambda text: text.replace(b"\n", b"")))
def test_whatever_passwd_holds_becomes_lines_that_qmail_newu_takes(line: bytes) -> None:
    account = read_account(line + b":x:7:8::/h:") or read_account(line)
    if account is not None:
        for each in Style().of_account(account, [account.name]).split(b"\n")[:-1]:
            assert Assignments().record(each)[1].split(b"\0")[:4] == account.fields.split(b":")
