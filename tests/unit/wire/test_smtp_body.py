"""BDAT's chunks: however a message is cut into pieces, they are that message, and only the last one says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import smtp_body
from qmailpy.wire.smtp_body import Body, WrongSizeError
from qmailpy.wire.smtp_table import BODY, CHUNK, DOT

PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def give(body: Body, pieces: list[bytes]) -> tuple[bytes, list[str]]:
    """All words, and the steps.  The last piece may be empty."""
    words = b""
    steps: list[str] = []
    for at, piece in enumerate(pieces or [b""]):
        step, more = body.give(piece, last=at >= len(pieces) - 1)
        words, steps = words + more, [*steps, step]
    return words, steps


def chunks(words: bytes) -> list[tuple[bytes, bool]]:
    """As a server takes them."""
    found = []
    while words:
        command, _, words = words.partition(b"\r\n")
        verb, size, *last = command.split(b" ")
        assert verb == b"BDAT"
        assert last in ([], [b"LAST"])
        assert len(words) >= int(size)
        found.append((words[: int(size)], bool(last)))
        words = words[int(size) :]
    return found


def is_complete(words: bytes) -> bool:
    """Whether a server that has this has a message."""
    while words:
        command, _, words = words.partition(b"\r\n")
        size = int(command.split(b" ")[1])
        if command.endswith(b" LAST"):
            return len(words) >= size
        words = words[size:]
    return False


@given(PIECES, st.booleans(), st.booleans(), st.integers(1, 50))
def test_the_chunks_are_the_message(pieces: list[bytes], ahead: bool, known: bool, size: int) -> None:
    message = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smtp_body, "CHUNK_SIZE", size)
        body = Body(in_chunks=True, ahead=ahead, size=len(message) if known else None)
        words, steps = give(body, pieces)
    found = chunks(words)
    assert b"".join(content for content, _ in found) == message
    assert [last for _, last in found] == [False] * (len(found) - 1) + [True]
    assert all(content for content, last in found if not last)
    assert body.unanswered == (len(found) - 1 if ahead else 0)
    assert steps == [CHUNK if not ahead and not known else BODY] * (len(steps) - 1) + [DOT]
    if known:
        assert all(len(content) <= size for content, _ in found) or not ahead
        assert ahead or len(found) == 1


@given(PIECES, st.booleans(), st.integers(1, 50), st.integers(-60, 60).filter(bool))
def test_a_message_of_another_size_is_never_complete(pieces: list[bytes], ahead: bool, size: int, wrong: int) -> None:
    message = b"".join(pieces)
    if len(message) + wrong < 0:
        return
    heard: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smtp_body, "CHUNK_SIZE", size)
        body = Body(in_chunks=True, ahead=ahead, size=len(message) + wrong)
        with pytest.raises(WrongSizeError):
            heard.extend(body.give(each, last=at >= len(pieces) - 1)[1] for at, each in enumerate(pieces or [b""]))
    assert not is_complete(b"".join(heard))


def test_after_data_pieces_go_as_they_are() -> None:
    body = Body()
    assert body.give(b"abc", last=False) == (BODY, b"abc")
    assert body.give(b".\r\n", last=True) == (DOT, b".\r\n")
    assert (body.failed_at, body.commands) == (DOT, [])
