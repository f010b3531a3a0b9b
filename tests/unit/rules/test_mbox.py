"""A message as an mbox keeps it."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.mbox import Quoter, message


def quoted(*pieces: bytes) -> bytes:
    quoter = Quoter()
    return b"".join([*map(quoter.feed, pieces), quoter.end()])


def by_the_book(text: bytes) -> bytes:
    """Line by line, as spec/00-common.md 6 says it."""
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return b"".join((b">" if line.lstrip(b">").startswith(b"From ") else b"") + line + b"\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", b""),
        (b"x\n", b"x\n"),
        (b"x", b"x\n"),
        (b"From x\n", b">From x\n"),
        (b">From x\n", b">>From x\n"),
        (b">>>From x", b">>>>From x\n"),
        (b"From\n", b"From\n"),
        (b"From: x\n", b"From: x\n"),
        (b" From x\n", b" From x\n"),
        (b"> From x\n", b"> From x\n"),
        (b"a\nFrom b\nc\n>From d", b"a\n>From b\nc\n>>From d\n"),
        (b"xFrom From \nFrom From \n", b"xFrom From \n>From From \n"),
        (b"Fro", b"Fro\n"),
        (b">>>", b">>>\n"),
        (b"\n\n", b"\n\n"),
        (b"a\rFrom b\0\xff\r\n", b"a\rFrom b\0\xff\r\n"),
    ],
)
def test_lines_that_look_like_a_beginning_are_quoted(text: bytes, expected: bytes) -> None:
    assert by_the_book(text) == expected
    assert quoted(*([text] if text else [])) == expected
    assert quoted(*(text[at : at + 1] for at in range(len(text)))) == expected


@given(st.lists(st.sampled_from([b"From ", b"From", b" ", b">", b"\n", b"x", b"F"]), max_size=40), st.data())
def test_the_cut_into_pieces_does_not_matter(words: list[bytes], choice: st.DataObject) -> None:
    text = b"".join(words)
    cuts = sorted(choice.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    assert quoted(*filter(None, pieces)) == by_the_book(text)


def test_a_gigantic_row_of_marks_is_not_kept_in_memory() -> None:
    quoter = Quoter()
    for _ in range(100):
        assert len(quoter.feed(b">" * 65536)) == 65536
    assert quoter.feed(b"From ") == b">From "


def test_time_is_linear_in_what_comes() -> None:
    start = time.process_time()
    for nasty in (b"From " * 13000, b"\nFrom " * 11000, b">" * 65536, b"x" + b">From " * 11000):
        quoted(*[nasty] * 16)
    assert time.process_time() - start < 10  # a quadratic one takes minutes


def test_a_message_ends_with_an_empty_line() -> None:
    assert b"".join(message(b"From a x\n", b"H: 1\n", [b"body"])) == b"From a x\nH: 1\nbody\n\n"
    assert b"".join(message(b"From a x\n", b"H: 1\n", [b"b", b"c\n"])) == b"From a x\nH: 1\nbc\n\n"
    assert b"".join(message(b"From a x\n", b"H: 1\n", [])) == b"From a x\nH: 1\n\n"
