"""Replies of an SMTP server, honest and hostile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmailpy.wire.smtp_reply import LIMIT, TEXT_LIMIT, Reply, ReplyError, ReplyReader


def read(*pieces: bytes) -> list[Reply]:
    reader = ReplyReader()
    found = []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next()) is not None:
            found.append(reply)
    return found


def codes_and_texts(*pieces: bytes) -> list[tuple[int, bytes]]:
    return [(reply.code, reply.text) for reply in read(*pieces)]


@pytest.mark.parametrize(
    ("said", "replies"),
    [
        (b"250 ok\r\n", [(250, b"250 ok\n")]),
        (b"250 ok\n", [(250, b"250 ok\n")]),
        (b"250\r\n", [(250, b"250\n")]),
        (b"250 \r\n", [(250, b"250 \n")]),
        (b"220*****\r\n", [(220, b"220*****\n")]),
        (b"550-5.1.1 no\r\n550 bye\r\n", [(550, b"550-5.1.1 no\n550 bye\n")]),
        (b"250-\r\n250-x\r\n250\r\n", [(250, b"250-\n250-x\n250\n")]),
        (b"250-a\r\n251 b\r\n", [(250, b"250-a\n251 b\n")]),
        (b"250 a\0b\r\r\n", [(250, b"250 a?b\n")]),
        (b"250 \xff\xfe\r\n", [(250, b"250 \xff\xfe\n")]),
        (b"220 a\r\n250 b\r\n", [(220, b"220 a\n"), (250, b"250 b\n")]),
        (b"599 x\r\n", [(599, b"599 x\n")]),
        (b"250 no end yet", []),
        (b"250-more\r\n", []),
    ],
)
def test_a_reply_whole_and_byte_by_byte(said: bytes, replies: list[tuple[int, bytes]]) -> None:
    assert codes_and_texts(said) == replies
    assert codes_and_texts(*(said[at : at + 1] for at in range(len(said)))) == replies


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"2",
        b"25",
        b"ok",
        b"-250 x",
        b" 250 x",
        b"25x y",
        b"150 x",
        b"650 x",
        b"050 x",
        b"2500 x",
        b"\xb2\xb5\xb0 x",
    ],
)
def test_a_line_that_is_no_reply_is_an_error_that_keeps_its_text(line: bytes) -> None:
    with pytest.raises(ReplyError) as caught:
        read(line + b"\r\n")
    assert caught.value.text == line + b"\n"


@pytest.mark.parametrize("second", [b"550 no", b"xyz", b"", b"2"])
def test_a_reply_that_says_yes_and_then_something_else_is_an_error(second: bytes) -> None:
    with pytest.raises(ReplyError) as caught:
        read(b"250-yes\r\n" + second + b"\r\n")
    assert caught.value.text == b"250-yes\n" + second + b"\n"


def test_a_reply_keeps_five_thousand_bytes() -> None:
    [reply] = read(b"550-" + b"x" * 100 + b"\r\n", b"550-" + b"y" * 6000 + b"\r\n", b"550 end\r\n")
    assert len(reply.text) == TEXT_LIMIT
    assert reply.text.startswith(b"550-" + b"x" * 100 + b"\n550-yyy")


def give_up(piece: bytes) -> tuple[int, bytes]:
    """How many bytes are heard of a reply that is made of this piece, and what is kept of them."""
    reader = ReplyReader()
    heard = 0
    try:
        while heard < 2 * LIMIT:
            reader.feed(piece)
            heard += len(piece)
            reader.next()
    except ReplyError as error:
        return heard, error.text
    raise AssertionError("not given up")


@pytest.mark.parametrize("line", [b"250-forever\r\n", b"250-\n", b"250-" + b"x" * 1000 + b"\r\n"])
def test_a_reply_without_end_is_given_up(line: bytes) -> None:
    heard, text = give_up(line)
    assert heard <= LIMIT + len(line)
    assert len(text) == TEXT_LIMIT


def test_a_line_without_end_is_given_up_even_byte_by_byte() -> None:
    assert give_up(b"2") == (LIMIT + 1, b"2" * TEXT_LIMIT)


def test_what_was_said_too_early_is_pending() -> None:
    reader = ReplyReader()
    pending = [reader.pending]
    reader.feed(b"220 a\r\n250")
    for _ in range(2):
        reader.next()
        pending.append(reader.pending)
    assert pending == [False, True, True]


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_give_replies_or_an_error_the_same_in_any_pieces(said: bytes, size: int) -> None:
    def outcome(*pieces: bytes) -> list[tuple[int, bytes]]:
        reader = ReplyReader()
        found = []
        try:
            for piece in pieces:
                reader.feed(piece)
                while (reply := reader.next()) is not None:
                    found.append((reply.code, reply.text))
        except ReplyError as error:
            found.append((0, error.text))
        return found

    assert outcome(said) == outcome(*(said[at : at + size] for at in range(0, len(said), size)))
