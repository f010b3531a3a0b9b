"""qmailpy/rules/header.py: where fields and the header end, whatever pieces they come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import header
from qmailpy.rules.header import HeaderReader, HeaderTooLong, name_of

MESSAGES = [
    (b"", [], b""),
    (b"\n", [], b"\n"),
    (b"To: a\n", [b"To: a\n"], b""),
    (b"To: a", [b"To: a\n"], b""),
    (b"To: a\n\nbody", [b"To: a\n"], b"\nbody"),
    (b"To: a\n b\n\tc\nCc: d\n\n", [b"To: a\n b\n\tc\n", b"Cc: d\n"], b"\n"),
    (b"To: a\n \n\n", [b"To: a\n \n"], b"\n"),
    (b"To: a\nno field\nbody", [b"To: a\n"], b"\nno field\nbody"),
    (b"no field", [], b"\nno field\n"),
    (b" To: a\nbody", [], b"\n To: a\nbody"),
    (b"From a@b Sat\nTo: a\n\n", [b"MBOX-Line: From a@b Sat\n", b"To: a\n"], b"\n"),
    (b"To: a\nFrom b\n c\n\n", [b"To: a\n", b"MBOX-Line: From b\n c\n"], b"\n"),
    (b"T o: a\n", [], b"\nT o: a\n"),
    (b"To \t: a\n\n", [b"To \t: a\n"], b"\n"),
    (b": a\n", [], b"\n: a\n"),
    (b"T\xc3\xb6: a\n", [], b"\nT\xc3\xb6: a\n"),
    (b"To: a\r\n\r\nbody", [b"To: a\r\n"], b"\n\r\nbody"),
]


def read(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    fields: list[bytes] = []
    reader = HeaderReader(fields.append)
    for at, piece in enumerate(pieces):
        if reader.feed(piece):
            return fields, reader.rest + b"".join(pieces[at + 1 :])
    reader.finish()
    return fields, reader.rest


@pytest.mark.parametrize(("message", "fields", "body"), MESSAGES)
def test_a_message_is_fields_and_a_body(message: bytes, fields: list[bytes], body: bytes) -> None:
    assert read([message]) == (fields, body)
    bytewise = [message[at : at + 1] for at in range(len(message))]
    assert read(bytewise) == (fields, body)


@given(st.lists(st.one_of(st.binary(), st.sampled_from([b"To: a\n", b"\n", b" b", b":", b"From "]))))
def test_pieces_make_no_difference_and_nothing_is_lost(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    fields, body = read([piece for piece in pieces if piece])
    assert (fields, body) == read([whole] if whole else [])
    kept = b"".join(fields).replace(b"MBOX-Line: From ", b"From ") + body
    for expected in (whole, whole + b"\n"):
        if kept == expected.replace(b"MBOX-Line: From ", b"From "):
            return
    # the one empty line that was missing
    start = len(b"".join(fields).replace(b"MBOX-Line: From ", b"From "))
    assert kept[start : start + 1] == b"\n"
    assert kept[:start] + kept[start + 1 :] in (
        whole.replace(b"MBOX-Line: From ", b"From "),
        whole.replace(b"MBOX-Line: From ", b"From ") + b"\n",
    )


def test_a_header_without_measure_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "LIMIT", 1000)
    reader = HeaderReader(lambda _: None)
    assert not reader.feed(b"a" * 1000)
    with pytest.raises(HeaderTooLong):
        reader.feed(b"a")
    many = HeaderReader(lambda _: None)
    assert not any(many.feed(b"a:b\n") for _ in range(250))
    with pytest.raises(HeaderTooLong):
        many.feed(b"a:b\n")


def test_a_long_body_in_the_same_piece_is_not_a_long_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "LIMIT", 1000)
    assert HeaderReader(lambda _: None).feed(b"To: a\n\n" + b"x" * 2000)


def test_names_are_lower_cased_without_their_trailing_blanks() -> None:
    assert name_of(b"Resent-TO \t: x\n") == b"resent-to"
    assert name_of(b"no colon\n") == b""
    assert name_of(b"a\x7fb: c\n") == b""
