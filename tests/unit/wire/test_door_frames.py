"""The door's protocol: both directions, whole and byte by byte, and everything that is not it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import door
from qmailpy.wire.door import Answer, DoorError, FrameReader, Incoming, Refusal
from qmailpy.wire.envelope import Envelope

ENVELOPE = Envelope(b"me@x", [b"you@y"]).encode()
cuts = st.lists(st.integers(min_value=0, max_value=9), max_size=20)


def whole(message: bytes, envelope: bytes = ENVELOPE, speaker: bytes = door.ONE_MESSAGE) -> bytes:
    return (
        door.greeting(speaker)
        + door.frames(b"m", message)
        + door.frame(b"M")
        + door.frames(b"e", envelope)
        + door.frame(b"E")
    )


def hear(content: bytes, pieces: list[int]) -> list[tuple[bytes, bytes]]:
    reader, found, at = FrameReader(), [], 0
    for size in [*pieces, len(content)]:
        reader.feed(content[at : at + size])
        at += size
        while (frame := reader.next()) is not None:
            found.append(frame)
    assert reader.is_between
    reader.forget()
    assert reader.size == 0
    return found


@given(st.binary(max_size=50), cuts)
def test_frames_are_heard_however_they_are_cut(message: bytes, pieces: list[int]) -> None:
    found = hear(whole(message), pieces)
    assert b"".join(content for letter, content in found if letter == b"m") == message
    assert b"".join(content for letter, content in found if letter == b"e") == ENVELOPE
    assert [letter for letter, _ in found][-1] == b"E"


def test_a_long_message_becomes_several_frames() -> None:
    message = bytes(3 * door.PIECE_LIMIT + 1)
    found = hear(whole(message), [100_000])
    assert [len(content) for letter, content in found if letter == b"m"] == [door.PIECE_LIMIT] * 3 + [1]


def test_the_speaker_is_known_after_the_greeting() -> None:
    reader = FrameReader()
    reader.feed(door.greeting(door.RESIDENT))
    assert reader.next() is None
    assert reader.speaker == door.RESIDENT


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n",
        b"qmailpy-door-2\n1",
        door.MAGIC + b"x",
        door.MAGIC + b"1x\0\0\0\0",
        door.MAGIC + b"1m\0\1\0\1",
        door.MAGIC + b"1m\xff\xff\xff\xff",
        door.MAGIC + b"1M\0\0\0\1x",
        door.MAGIC + b"1E\0\0\0\1x",
        bytes(100),
    ],
)
def test_what_is_not_the_protocol_is_refused(content: bytes) -> None:
    for pieces in ([], [1] * len(content)):
        with pytest.raises(DoorError):
            hear(content, pieces)


@given(st.binary(max_size=60))
def test_any_bytes_are_frames_or_refused(content: bytes) -> None:
    reader, message = FrameReader(), Incoming(100)
    reader.feed(door.greeting(door.ONE_MESSAGE) + content)
    try:
        while not message.done and (frame := reader.next()) is not None:
            message.take(*frame)
    except (DoorError, Refusal):
        return


@given(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=300), st.binary(max_size=20))
def test_an_answer_is_heard_as_soon_as_it_is_complete(code: int, qp: int, text: bytes, more: bytes) -> None:
    sent = Answer(code, qp, text).encode()
    for length in range(len(sent)):
        assert door.decode_answer(sent[:length]) is None
    decoded = door.decode_answer(sent + more)
    assert decoded is not None
    assert (decoded[0].code, decoded[0].qp, decoded[0].text, decoded[1]) == (code, qp, text[:255], len(sent))


def take(message: Incoming, *frames: tuple[bytes, bytes]) -> bytes:
    return b"".join(message.take(letter, content) for letter, content in frames)


def test_a_message_is_its_content_and_then_its_envelope() -> None:
    message = Incoming(0)
    assert take(message, (b"m", b"one "), (b"m", b""), (b"m", b"two"), (b"M", b"")) == b"one two"
    assert take(message, (b"e", ENVELOPE[:4]), (b"e", ENVELOPE[4:]), (b"E", b"")) == b""
    assert message.done
    assert message.records() == ENVELOPE[:-1]


@pytest.mark.parametrize("letters", [b"e", b"E", b"MM", b"Mm", b"MeM", b"Mem"])
def test_frames_out_of_order_are_refused(letters: bytes) -> None:
    message = Incoming(0)
    frames = [(bytes((letter,)), b"F" if letter == ord("e") else b"") for letter in letters]
    with pytest.raises(DoorError):
        take(message, *frames)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(b"M", b""), (b"E", b"")], 54),
        ([(b"M", b""), (b"e", b"Fa\0Tb\0"), (b"E", b"")], 54),
        ([(b"M", b""), (b"e", b"X")], 91),
        ([(b"M", b""), (b"e", b"F" + b"a" * 2000)], 11),
        ([(b"m", b"12345678901")], 82),
    ],
)
def test_a_message_that_will_not_be_taken_is_refused_early(frames: list[tuple[bytes, bytes]], code: int) -> None:
    with pytest.raises(Refusal) as caught:
        take(Incoming(10), *frames)
    assert caught.value.code == code
    assert caught.value.text


def test_the_limit_is_a_message_size_that_is_still_allowed() -> None:
    assert take(Incoming(10), (b"m", b"1234567890")) == b"1234567890"
    assert len(take(Incoming(0), *[(b"m", bytes(door.PIECE_LIMIT))] * 20)) == 20 * door.PIECE_LIMIT


def test_an_envelope_without_end_is_refused() -> None:
    more = [(b"e", bytes(door.PIECE_LIMIT))] * (door.ENVELOPE_LIMIT // door.PIECE_LIMIT)
    with pytest.raises(Refusal) as caught:
        take(Incoming(0), (b"M", b""), (b"e", ENVELOPE), *more)
    assert caught.value.code == 82


@given(st.binary(max_size=200_000))
def test_a_list_is_read_as_it_was_written(text: bytes) -> None:
    heard = door.List(text).encode()
    found = door.decode_list(heard)
    assert isinstance(found, door.List)
    assert found.text == text
    assert door.decode_list(heard[:-1]) is None


@given(st.binary())
def test_any_bytes_are_a_list_an_answer_or_not_whole(heard: bytes) -> None:
    try:
        assert isinstance(door.decode_list(heard), door.List | door.Answer | None)
    except door.DoorError:
        return


def test_who_asks_for_a_list_says_nothing_else() -> None:
    reader = door.FrameReader()
    reader.feed(door.greeting(door.LIST))
    assert reader.next() == (door.LIST, b"")
