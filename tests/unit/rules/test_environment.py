"""The variables of a user's programs: the table of spec/05-local.md 2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.environment import delivered_to, variables

WHEN = 1795228061  # Sat Nov 21 02:27:41 2026, UTC


def of(
    local: bytes = b"joe", ext: bytes = b"", domain: bytes = b"mail.example.com", sender: bytes = b"a@b"
) -> dict[bytes, bytes]:
    return variables(b"joe", b"/home/joe", local, ext, domain, sender, WHEN)


def test_all_are_there_in_their_order() -> None:
    assert of(b"joe-x-y", b"x-y") == {
        b"HOST": b"mail.example.com",
        b"HOME": b"/home/joe",
        b"USER": b"joe",
        b"LOCAL": b"joe-x-y",
        b"RECIPIENT": b"joe-x-y@mail.example.com",
        b"DTLINE": b"Delivered-To: joe-x-y@mail.example.com\n",
        b"SENDER": b"a@b",
        b"RPLINE": b"Return-Path: <a@b>\n",
        b"UFLINE": b"From a@b Sat Nov 21 02:27:41 2026\n",
        b"EXT": b"x-y",
        b"EXT2": b"y",
        b"EXT3": b"",
        b"EXT4": b"",
        b"HOST2": b"mail.example",
        b"HOST3": b"mail",
        b"HOST4": b"mail",
    }
    assert list(of())[:4] == [b"HOST", b"HOME", b"USER", b"LOCAL"]


@pytest.mark.parametrize(
    ("ext", "expected"),
    [
        (b"", [b"", b"", b""]),
        (b"a", [b"", b"", b""]),
        (b"a-b", [b"b", b"", b""]),
        (b"a-b-c-d-e", [b"b-c-d-e", b"c-d-e", b"d-e"]),
        (b"--", [b"-", b"", b""]),
    ],
)
def test_ext2_to_ext4_lose_a_word_each(ext: bytes, expected: list[bytes]) -> None:
    found = of(ext=ext)
    assert [found[b"EXT2"], found[b"EXT3"], found[b"EXT4"]] == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (b"localhost", [b"localhost"] * 3),
        (b"a.b", [b"a", b"a", b"a"]),
        (b"a.b.c.d.e", [b"a.b.c.d", b"a.b.c", b"a.b"]),
        (b".com", [b"", b"", b""]),
        (b"", [b"", b"", b""]),
    ],
)
def test_host2_to_host4_lose_a_label_each(domain: bytes, expected: list[bytes]) -> None:
    found = of(domain=domain)
    assert [found[b"HOST2"], found[b"HOST3"], found[b"HOST4"]] == expected


@pytest.mark.parametrize(
    ("sender", "return_path", "from_line"),
    [
        (b"", b"Return-Path: <>\n", b"From MAILER-DAEMON "),
        (b"#@[]", b"Return-Path: <#@[]>\n", b"From #@[] "),
        (b"a b@c", b'Return-Path: <"a b"@c>\n', b"From a-b@c "),
        (b"a\tb\nc@d", b'Return-Path: <"a\tb\\_c"@d>\n', b"From a-b-c@d "),
        (b"\xe9@d", b'Return-Path: <"\xe9"@d>\n', b"From \xe9@d "),
        (b"$(id)`x`@d", b'Return-Path: <"$(id)`x`"@d>\n', b"From $(id)`x`@d "),
    ],
)
def test_the_sender_is_raw_in_sender_and_one_line_elsewhere(
    sender: bytes, return_path: bytes, from_line: bytes
) -> None:
    found = of(sender=sender)
    assert found[b"SENDER"] == sender
    assert found[b"RPLINE"] == return_path
    assert found[b"UFLINE"] == from_line + b"Sat Nov 21 02:27:41 2026\n"


def test_delivered_to_is_not_quoted_and_one_line() -> None:
    assert delivered_to(b"a b\nX: y", b"h\nt") == b"Delivered-To: a b_X: y@h_t\n"


@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30))
def test_the_lines_of_a_mailbox_are_one_line_each(local: bytes, ext: bytes, domain: bytes, sender: bytes) -> None:
    found = of(local, ext, domain, sender)
    for name in (b"DTLINE", b"RPLINE", b"UFLINE"):
        assert found[name].index(b"\n") == len(found[name]) - 1
