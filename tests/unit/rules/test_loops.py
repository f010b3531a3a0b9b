"""Loop detection: spec/05-local.md 3."""

import pytest

from qmailpy.rules.loops import HeaderSearch

LINE = b"Delivered-To: joe@example.org\n"


def found(text: bytes, size: int = 65536) -> bool:
    search = HeaderSearch(LINE)
    for at in range(0, len(text), size):
        search.feed(text[at : at + size])
    return search.found


LOOPING = [
    LINE,
    LINE + b"\nbody",
    b"Received: x\n" + LINE + b"Subject: y\n\nbody\n",
    b"\r\n" + LINE + b"\n",  # a line of CR LF does not end a header here
    b"x" * 100 + b"\n" + LINE,
]
NOT_LOOPING = [
    b"",
    b"\n" + LINE,
    b"Subject: x\n\n" + LINE,
    LINE[:-1],  # a line without an end
    b"X" + LINE,
    b" " + LINE,
    LINE.lower() + b"\n",
    LINE[:-1] + b" \n",
    LINE[:-1] + b"\r\n",
    b"Subject: " + LINE,
    LINE[:-1] + b"x" * 200000 + b"\n",
    b"x" * 200000 + LINE,
]


@pytest.mark.parametrize("size", [1, 7, len(LINE), 65536])
def test_the_very_line_in_the_header_is_a_loop(size: int) -> None:
    assert all(found(text, size) for text in LOOPING)


@pytest.mark.parametrize("size", [1, 7, len(LINE), 65536])
def test_nothing_else_is(size: int) -> None:
    assert not any(found(text, size) for text in NOT_LOOPING)


def test_the_body_is_not_read() -> None:
    search = HeaderSearch(LINE)
    search.feed(b"A: b\n\n")
    assert search.done
    search.feed(LINE)
    assert not search.found


def test_a_line_without_end_costs_no_memory() -> None:
    search = HeaderSearch(LINE)
    for _ in range(100):
        search.feed(b"x" * 65536)
    assert len(search._carry) <= len(LINE) + 1
    search.feed(b"\n" + LINE)
    assert search.found
