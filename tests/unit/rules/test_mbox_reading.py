"""An mbox taken apart again."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import mbox
from qmailpy.rules.mbox_reading import LONGEST, NotAnMbox, Splitter, date_of, flags, from_line, return_path


def split(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    """(From_ line, message) of each."""
    splitter = Splitter()
    found: list[tuple[bytes, bytes]] = []
    for is_beginning, text in itertools.chain(*map(splitter.feed, pieces), splitter.end()):
        if is_beginning:
            found.append((text, b""))
        else:
            found[-1] = (found[-1][0], found[-1][1] + text)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"From a", [(b"From a", b"")]),
        (b"From a\n", [(b"From a", b"")]),
        (b"From a\n\n", [(b"From a", b"")]),
        (b"From a\n\n\n", [(b"From a", b"\n")]),
        (b"From a\nx", [(b"From a", b"x")]),
        (b"From a\nx\n", [(b"From a", b"x\n")]),
        (b"From a\nx\n\n", [(b"From a", b"x\n")]),
        (b"From a\nx\n\n\n", [(b"From a", b"x\n\n")]),
        (b"From a\n\nFrom b\n", [(b"From a", b""), (b"From b", b"")]),
        (b"From a\n\nFrom b", [(b"From a", b""), (b"From b", b"")]),
        (b"From a\nx\nFrom b\n\nFrom c\ny\n", [(b"From a", b"x\nFrom b\n"), (b"From c", b"y\n")]),
        (b"From a\n>From b\n>>From c\n> From d\n>Fro\n", [(b"From a", b"From b\n>From c\n> From d\n>Fro\n")]),
        (b"From a\n\n>From b\n\nx>From c\n", [(b"From a", b"\nFrom b\n\nx>From c\n")]),
        (b"From a\n\nFrom: b\n\nxFrom c\n", [(b"From a", b"\nFrom: b\n\nxFrom c\n")]),
        (b"From \n\nFrom \n", [(b"From ", b""), (b"From ", b"")]),
        (b"\n", []),
        (b"\n\n\n", []),
        (b"\nFrom a\nx\n", [(b"From a", b"x\n")]),
        (b"From a\r\nx\r\n\r\nFrom b\r\n", [(b"From a\r", b"x\r\n\r\nFrom b\r\n")]),
    ],
)
def test_a_message_begins_after_an_empty_line(text: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    assert split(*([text] if text else [])) == expected
    assert split(*(text[at : at + 1] for at in range(len(text)))) == expected


@pytest.mark.parametrize("text", [b"x", b"\nx", b"From", b">From a\n", b"x" * 2 * LONGEST, b" \nFrom a\n"])
def test_any_other_file_is_refused(text: bytes) -> None:
    with pytest.raises(NotAnMbox):
        split(text)
    with pytest.raises(NotAnMbox):
        split(*(text[at : at + 1000] for at in range(0, len(text), 1000)))


WORDS = st.lists(st.sampled_from([b"From ", b"From", b" ", b">", b"\n", b"\n\n", b"x", b"F", b"\n>From "]), max_size=20)


@given(st.lists(WORDS, max_size=5), st.data())
def test_what_was_put_into_an_mbox_comes_out(letters: list[list[bytes]], choice: st.DataObject) -> None:
    messages = [b"".join(words) for words in letters]
    text = b"".join(b"".join(mbox.message(b"From a x\n", b"", [one] if one else [])) for one in messages)
    cuts = sorted(choice.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    whole = [one if not one or one.endswith(b"\n") else one + b"\n" for one in messages]
    assert split(*filter(None, pieces)) == [(b"From a x", one) for one in whole]


@given(WORDS, st.data())
def test_the_cut_into_pieces_does_not_matter(words: list[bytes], choice: st.DataObject) -> None:
    text = b"From " + b"".join(words)
    cuts = sorted(choice.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    assert split(*filter(None, pieces)) == split(text)


def test_no_line_of_any_length_is_held() -> None:
    splitter = Splitter()
    splitter.feed(b"From a\n")
    given_away = 0
    for _ in range(100):
        given_away += sum(len(text) for _, text in splitter.feed(b"x" * LONGEST))
    assert given_away >= 99 * LONGEST
    rest = [*splitter.feed(b"\nFrom b\n\nFrom c\n"), *splitter.end()]
    assert rest[-1] == (True, b"From c")
    assert sum(len(text) for is_beginning, text in rest if not is_beginning) + given_away == 100 * LONGEST + 8


def test_the_end_of_a_long_line_is_no_empty_line() -> None:
    text = b"From a\n" + b"x" * 2 * LONGEST
    assert split(text, b"\nFrom b\n") == [(b"From a", text[7:] + b"\nFrom b\n")]
    assert split(text, b"\n", b"From b\n") == [(b"From a", text[7:] + b"\nFrom b\n")]
    assert split(text, b"\n", b"\n", b"From b\n") == [(b"From a", text[7:] + b"\n"), (b"From b", b"")]


def test_time_is_linear_in_what_comes() -> None:
    start = time.process_time()
    for nasty in (b"From " * 13000, b"\nFrom " * 11000, b">" * 65536, b"x" + b">From " * 11000, b"\n" * 65536):
        split(b"From a\n", *[nasty] * 16)
    assert time.process_time() - start < 10  # a quadratic one takes minutes


@pytest.mark.parametrize(
    ("beginning", "sender"),
    [
        (b"Return-Path: <a@b>\nx", b"a@b"),
        (b"Return-Path: <>\n", b"MAILER-DAEMON"),
        (b'Return-Path: <"a \tb"@c>\n', b'"a--b"@c'),
        (b"Return-Path: <a>b>\n", b"a>b"),
        (b"Return-Path: a@b\n", b"XXX"),
        (b"return-path: <a@b>\n", b"XXX"),
        (b"X: y\nReturn-Path: <a@b>\n", b"XXX"),
        (b"", b"XXX"),
    ],
)
def test_a_from_line_names_who_the_return_path_names(beginning: bytes, sender: bytes) -> None:
    assert from_line(beginning, 0) == b"From " + sender + b" Thu Jan 01 00:00:00 1970\n"


@pytest.mark.parametrize(
    ("line", "header", "expected"),
    [
        (b"From a@b Thu", b"X: y", b"Return-Path: <a@b>\n"),
        (b"From MAILER-DAEMON Thu", b"", b"Return-Path: <>\n"),
        (b"From XXX Thu", b"", b""),
        (b"From ", b"", b""),
        (b"From  Thu", b"", b""),
        (b"From a@b Thu", b"Return-Path: <c@d>", b""),
        (b"From a@b Thu", b"X: y\nreturn-path: <>", b""),
        (b"From a@b Thu", b"X: Return-Path: <>", b"Return-Path: <a@b>\n"),
    ],
)
def test_a_sender_that_only_the_from_line_has_is_kept(line: bytes, header: bytes, expected: bytes) -> None:
    assert return_path(line, header) == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (b"Sat Nov 21 02:27:41 2026", 1795228061),
        (b"Sat Nov 21 02:27:41 2026\r", 1795228061),
        (b"Sat Nov 21 02:27 2026", 1795228020),
        (b" Thu Jan  1 00:00:00 1970", 0),
        (b"Thu Jan 01 00:00:00 UTC 1970", 0),
        (b"Thu Jan 01 00:00:00 1970 +0100", 0),
        (b"Thu Feb 29 12:00:00 2024", 1709208000),
        (b"Wed Dec 31 23:59:60 1969", 0),
        (b"Thu Foo 01 00:00:00 1970", None),
        (b"Thu Jan 32 00:00:00 1970", None),
        (b"Thu Jan 1 24:00:00 1970", None),
        (b"Thu Jan 1 00:60:00 1970", None),
        (b"Thu Jan 1 1:2:3:4 1970", None),
        (b"Thu Jan 1 00:00:00 70", None),
        (b"Thu Jan 1 00:00:00 99999", None),
        (b"Thu Jan 1 -1:00:00 1970", None),
        (b"Thu Jan \xb2 00:00:00 1970", None),
        (b"", None),
        (b"Thu Jan 1", None),
    ],
)
def test_the_date_of_a_from_line(date: bytes, expected: int | None) -> None:
    assert date_of(b"From a@b " + date) == expected


@given(st.integers(0, 253402300799))
def test_a_date_that_we_write_we_can_read(when: int) -> None:
    assert date_of(from_line(b"", when).rstrip(b"\n")) == when


@given(st.binary(max_size=60))
def test_any_bytes_are_a_date_or_none(text: bytes) -> None:
    date_of(b"From " + text)
    date_of(b"From a Thu Jan " + text)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"", None),
        (b"Subject: RO", None),
        (b"Status: ", None),
        (b"Status: O", b""),
        (b"Status: RO", b"S"),
        (b"Status: R", b"S"),
        (b"status: U\nX-STATUS: AFD", b"FRT"),
        (b"X-Status: A\nStatus: OR", b"RS"),
        (b"Status:RO\nStatus: ", None),
    ],
)
def test_what_a_reader_has_noted(header: bytes, expected: bytes | None) -> None:
    assert flags(header) == expected
