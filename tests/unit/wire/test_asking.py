import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import asking

NUMBERS = st.integers(0, (1 << 64) - 1)
QUESTION = asking.Question(asking.TELL, 1000, [457, 1, 1 << 63])


@given(st.sampled_from((asking.TELL, asking.NOW)), NUMBERS, st.lists(NUMBERS, max_size=asking.MOST))
def test_a_question_is_understood_when_it_is_whole_and_not_before(verb: bytes, uid: int, numbers: list[int]) -> None:
    said = asking.Question(verb, uid, numbers).encode()
    found = asking.decode_question(said)
    assert found is not None
    assert (found.verb, found.uid, found.numbers) == (verb, uid, numbers)
    assert all(asking.decode_question(said[:end]) is None for end in range(len(said)))


PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=asking.MOST)


@given(st.sampled_from(asking.ORDERS), PAIRS, st.binary(max_size=asking.REASON_LIMIT + 5))
def test_an_order_is_understood_when_it_is_whole_and_not_before(
    verb: bytes, pairs: list[tuple[int, int]], text: bytes
) -> None:
    numbers, keys = [number for number, _ in pairs], [key for _, key in pairs]
    said = asking.Question(verb, asking.ANYBODY, numbers, keys, text).encode()
    found = asking.decode_question(said)
    assert found is not None
    assert (found.verb, found.numbers, found.keys, found.text) == (verb, numbers, keys, text[: asking.REASON_LIMIT])
    assert all(asking.decode_question(said[:end]) is None for end in range(len(said)))
    with pytest.raises(asking.AskingError):
        asking.decode_question(said + b"x")


@pytest.mark.parametrize(
    "said",
    [
        asking.MAGIC + asking.DELETE + bytes(10) + b"\xff\xff",
        b"GET / HTTP/1.0\r\n",
        b"qmailpy-send-2\n",
        QUESTION.encode() + b"x",
        QUESTION.encode().replace(b"\nl", b"\nx"),
        asking.MAGIC + asking.TELL + bytes(8) + (asking.MOST + 1).to_bytes(2, "big"),
    ],
)
def test_anything_else_is_refused_as_soon_as_it_shows(said: bytes) -> None:
    with pytest.raises(asking.AskingError):
        asking.decode_question(said)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_server(said: bytes) -> None:
    for bytes_ in (said, asking.MAGIC + said):
        try:
            asking.decode_question(bytes_)
        except asking.AskingError:
            continue


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 7))
def test_texts_come_out_as_they_were_put_in(texts: list[bytes], step: int) -> None:
    said = b"".join(map(asking.encode_text, texts))
    reader = asking.TextReader(len(texts))
    for at in range(0, len(said), step):
        reader.feed(said[at : at + step])
    assert reader.texts == texts
    assert reader.done


@pytest.mark.parametrize("said", [b"\xff\xff\xff\xff", asking.encode_text(b"x") + b"y"])
def test_a_strange_answer_is_refused(said: bytes) -> None:
    with pytest.raises(asking.AskingError):
        asking.TextReader(1).feed(said)


@given(st.integers(0, 5), st.lists(st.binary(max_size=20), max_size=10))
def test_no_bytes_break_the_client(count: int, pieces: list[bytes]) -> None:
    reader = asking.TextReader(count)
    try:
        for piece in pieces:
            reader.feed(piece)
    except asking.AskingError:
        return
    assert len(reader.texts) <= count


def test_a_text_of_any_length_is_cut() -> None:
    said = asking.encode_text(b"x" * (asking.TEXT_LIMIT + 5))
    reader = asking.TextReader(1)
    reader.feed(said)
    assert len(reader.texts[0]) == asking.TEXT_LIMIT
