"""The message on descriptor 0: lines that end with CR LF, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.inject.message import Message
from qmailpy.system.descriptors import READ_SIZE


def taken(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Header and body, from a descriptor that gives these pieces."""
    left = [piece for piece in pieces if piece]
    monkeypatch.setattr("qmailpy.inject.message.posix.read", lambda *_: left.pop(0) if left else b"")
    fields: list[bytes] = []
    found: list[bytes] = []
    one = Message()
    one.header(fields.append)
    one.body(b"".join(fields), found.append)
    return b"".join(found)


TABLE = [
    (b"To: a\nCc: b\n\nx\n", b"To: a\nCc: b\n\nx\n"),
    (b"To: a\r\nCc: b\r\n\r\nx\r\ny", b"To: a\nCc: b\n\nx\ny\n"),
    (b"To: a\r\n\r\nphp writes\nboth\r\n", b"To: a\n\nphp writes\nboth\n"),
    (b"To: a\n\nx\r\n", b"To: a\n\nx\r\n"),
    (b"To: a\r\n\r\nlone\rcr\r\r\n\r", b"To: a\n\nlone\rcr\r\n\r\n"),
    (b"To: a\r\n", b"To: a\n"),
    (b"To: a\r", b"To: a\r\n"),
    (b"\r\nx\r\n", b"\nx\n"),
    (b"", b""),
]


@pytest.mark.parametrize(("text", "result"), TABLE)
def test_the_first_line_says_how_lines_end(text: bytes, result: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert taken([text], monkeypatch) == result
    assert taken([text[at : at + 1] for at in range(len(text))], monkeypatch) == result


@given(st.lists(st.sampled_from([b"To: a", b"\r", b"\n", b"x", b"\r\n"]), max_size=20))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert taken(pieces, patch) == taken([b"".join(pieces)], patch)


def test_a_first_line_without_end_is_not_kept_for_ever() -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = b"x" * READ_SIZE
        assert taken([whole, whole, b"\r\n"], patch) == b"\n" + 2 * whole + b"\r\n"
