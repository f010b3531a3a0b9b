"""What a server hears of SMTP, taken apart: lines, addresses, parameters, numbers; and what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import smtp_server
from qmailpy.wire.dots import ChunkDecoder

TEXT = st.text(alphabet='ab<>@:." \\,', max_size=30).map(str.encode)


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        (b"", b"", b""),
        (b"mail from:<a>", b"MAIL", b"from:<a>"),
        (b"MAIL   x y ", b"MAIL", b"x y "),
        (b" MAIL", b"", b"MAIL"),
        (b"MAIL\tx", b"MAIL\tX", b""),
    ],
)
def test_a_command_line_is_split_at_its_first_blank(line: bytes, verb: bytes, argument: bytes) -> None:
    assert smtp_server.split(line) == (verb, argument)


@pytest.mark.parametrize(
    ("argument", "address", "behind"),
    [
        (b"FROM:<a@b> SIZE=1 X", b"a@b", b" SIZE=1 X"),
        (b"FROM: a@b SIZE=1 X", b"a@b", b"SIZE=1 X"),
        (b'FROM:<"a>b"@c>x', b"a>b@c", b"x"),
        (b'FROM:<"a', b"a", b""),
        (b"FROM:<a\\", b"a", b""),
        (b"a@b", b"a@b", b""),
        (b"", b"", b""),
        (b"<@a:@b:c@d>", b"@b:c@d", b""),
    ],
)
def test_what_stands_behind_an_address_is_its_parameters(argument: bytes, address: bytes, behind: bytes) -> None:
    assert smtp_server.path(argument) == (address, behind)


def by_the_byte(argument: bytes) -> bytes:
    """The address, as the specification says it, byte by byte."""
    at, end = argument.find(b"<"), b">"
    if at >= 0:
        rest = argument[at + 1 :]
    else:
        end = b" "
        rest = argument[argument.find(b":") + 1 :].lstrip(b" ")
    if rest[:1] == b"@":
        rest = rest[rest.index(b":") + 1 :] if b":" in rest else b""
    address, quoted, escaped = b"", False, False
    for code in rest:
        byte = bytes((code,))
        if escaped:
            address, escaped = address + byte, False
        elif byte == end and not quoted:
            break
        elif byte == b"\\":
            escaped = True
        elif byte == b'"':
            quoted = not quoted
        else:
            address += byte
    return address


@given(TEXT)
def test_any_argument_is_read_as_by_the_byte(argument: bytes) -> None:
    assert smtp_server.path(argument)[0] == by_the_byte(argument)


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"0", 0), (b"007", 7), (b"9" * 19, 10**19 - 1), (b"9" * 20, None), (b"1_0", None), (b" 1", None), (b"", None)],
)
def test_a_number_has_digits_only(text: bytes, value: int | None) -> None:
    assert smtp_server.number(text) == value


def test_the_variable_is_read_as_qmail_reads_it() -> None:
    assert [smtp_server.leading_number(text) for text in (b"", b"x1", b"12k", b"9" * 30)] == [0, 0, 12, 10**19 - 1]


@pytest.mark.parametrize(
    ("reply", "with_status"),
    [
        (b"250 ok", b"250 2.0.0 ok"),
        (b"553 sorry (#5.7.1)", b"553 5.7.1 sorry"),
        (b"451 sorry (#5.7.1)", b"451 4.0.0 sorry (#5.7.1)"),
        (b"354 go ahead", b"354 go ahead"),
        (b"554 no (#5.x)", b"554 5.0.0 no (#5.x)"),
        (b"554 a (#5.1.1) b (#5.7.1)", b"554 5.7.1 a (#5.1.1) b"),
    ],
)
def test_a_status_code_comes_from_the_end_of_the_reply(reply: bytes, with_status: bytes) -> None:
    assert smtp_server.with_status(reply) == with_status


@given(st.binary(max_size=40))
def test_words_of_others_stay_on_one_line(text: bytes) -> None:
    line = smtp_server.one_line(text)
    assert not any(byte < 32 or byte == 127 for byte in line)


def test_a_reply_of_several_lines_marks_all_but_the_last() -> None:
    assert smtp_server.reply_lines(b"250", [b"a", b"b"]) == b"250-a\r\n250 b\r\n"
    assert smtp_server.reply_lines(b"250", [b"a"]) == b"250 a\r\n"


@given(st.lists(st.lists(st.sampled_from([b"\r", b"\n", b"x"]), max_size=5).map(b"".join), max_size=5))
def test_where_chunks_are_cut_does_not_matter(chunks: list[bytes]) -> None:
    text = b"".join(chunks)
    decoder = ChunkDecoder()
    stored = b"".join([decoder.feed(chunk) for chunk in chunks]) + decoder.finish()
    expected = text.replace(b"\r\n", b"\n")
    assert stored == expected + (b"" if not expected or expected.endswith(b"\n") else b"\n")
