"""POP3's lines, and a message as a reply: whole and however it is cut."""

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import pop3

PIECES = st.lists(st.text("\r\n.x\0", max_size=6).map(str.encode), max_size=8)


def send(pieces: list[bytes], body: int | None) -> bytes:
    sending = pop3.Sending(body)
    sent = []
    for piece in pieces:
        if sending.done:
            break
        sent.append(sending.feed(piece))
    return b"".join(sent) + sending.finish()


def top(message: bytes, body: int | None) -> bytes:
    """What is to be sent, line by line: stored, without dots."""
    lines = message.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if body is None:
        return b"".join(line + b"\n" for line in lines)
    head = next((number + 1 for number, line in enumerate(lines) if not line.strip(b"\r")), len(lines))
    return b"".join(line + b"\n" for line in lines[: head + body])


@given(PIECES, st.one_of(st.none(), st.integers(0, 4)))
def test_a_message_is_sent_the_same_however_it_is_cut_and_has_one_end(pieces: list[bytes], body: int | None) -> None:
    message = b"".join(pieces)
    sent = send(pieces, body)
    assert sent == send([message], body) == send([message[at : at + 1] for at in range(len(message))], body)
    assert (b"\r\n" + sent).index(b"\r\n.\r\n") == len(sent) - 3
    assert sent.endswith(b"\r\n.\r\n")
    bare = sent.replace(b"\r\n", b"")
    assert not set(bare) & set(b"\r\n")


@given(st.text("\n.xy", max_size=40).map(str.encode), st.one_of(st.none(), st.integers(0, 4)))
def test_it_is_header_blank_line_and_so_many_lines_of_the_body(message: bytes, body: int | None) -> None:
    expected = top(message, body).replace(b"\n", b"\r\n")
    if expected.startswith(b"."):
        expected = b"." + expected
    assert send([message], body) == expected.replace(b"\n.", b"\n..") + b"\r\n.\r\n"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b"user  a b ", (b"USER", b"a b ")),
        (b"QUIT", (b"QUIT", b"")),
        (b"", (b"", b"")),
        (b" QUIT", (b"", b"QUIT")),
        (b"PASS a\0b", (b"PASS", b"a")),
    ],
)
def test_a_line_is_a_verb_and_the_rest(line: bytes, parts: tuple[bytes, bytes]) -> None:
    assert pop3.split(line) == parts


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (b"1", (1, b"")),
        (b"12  3", (12, b"3")),
        (b"0007x", (7, b"x")),
        (b"", (None, b"")),
        (b"x1", (None, b"x1")),
        (b"9" * 18, (10**18 - 1, b"")),
        (b"9" * 19, (10**18, b"")),
        (b"9" * 5000 + b" 1", (10**18, b"1")),
        (b"0" * 5000, (0, b"")),
    ],
)
def test_a_number_is_its_digits_and_never_too_large_to_count(argument: bytes, found: tuple[int | None, bytes]) -> None:
    assert pop3.number(argument) == found


@pytest.mark.parametrize(
    ("response", "found"),
    [
        (b"\0joe\0secret", (b"joe", b"secret")),
        (b"joe\0joe\0 s ", (b"joe", b" s ")),
        (b"ann\0joe\0secret", None),
        (b"\0joe\0", None),
        (b"\0\0secret", None),
        (b"joe\0secret", None),
        (b"\0joe\0sec\0ret", None),
    ],
)
def test_plain_is_two_words(response: bytes, found: tuple[bytes, bytes] | None) -> None:
    assert pop3.plain(binascii.b2a_base64(response, newline=False)) == found


@given(st.binary(max_size=60))
def test_any_bytes_are_plain_or_refused(response: bytes) -> None:
    found = pop3.plain(response)
    assert found is None or all(found)


def test_a_name_that_no_file_should_have_breaks_no_line() -> None:
    assert pop3.unique_id(b"1.M2 \r\n.\xff:2,S") == b"1.M2___._"
