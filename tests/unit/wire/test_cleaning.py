import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire.cleaning import MESSAGE, TODO, CommandReader, encode

COMMANDS = [
    (b"foop/1", (MESSAGE, 1)),
    (b"todo/2254860", (TODO, 2254860)),
    (b"foop/18446744073709551615", (MESSAGE, 18446744073709551615)),
    (b"foop/1x", None),
    (b"foop/x", None),
    (b"foop/", None),
    (b"foop/-1", None),
    (b"foop/ 1", None),
    (b"foop/1_0", None),
    (b"foop/\xd9\xa3", None),
    (b"todox1", None),
    (b"todo", None),
    (b"", None),
    (b"mess/12", None),
    (b"foop/../1", None),
    (b"foop/" + b"1" * 94, (MESSAGE, int("1" * 94))),
    (b"foop/" + b"1" * 95, None),
    (b"foop/" + b"1" * 5000, None),
]


@pytest.mark.parametrize(("command", "meaning"), COMMANDS)
def test_a_command_means_what_the_table_says(command: bytes, meaning: tuple[bytes, int] | None) -> None:
    assert CommandReader().feed(command + b"\0") == [meaning]


def test_commands_are_understood_in_pieces_of_any_size() -> None:
    stream = b"".join(command + b"\0" for command, _ in COMMANDS)
    meanings = [meaning for _, meaning in COMMANDS]
    assert CommandReader().feed(stream) == meanings
    reader = CommandReader()
    assert [each for byte in stream for each in reader.feed(bytes((byte,)))] == meanings


@given(st.lists(st.binary()))
def test_every_command_gets_exactly_one_meaning(pieces: list[bytes]) -> None:
    reader = CommandReader()
    assert sum(len(reader.feed(piece)) for piece in pieces) == b"".join(pieces).count(b"\0")


@given(st.sampled_from((MESSAGE, TODO)), st.integers(0, (1 << 64) - 1))
def test_what_is_encoded_is_decoded(word: bytes, number: int) -> None:
    if number < 10:  # C wants seven bytes, NUL included: one digit is just enough
        assert len(encode(word, number)) == 7
    assert CommandReader().feed(encode(word, number)) == [(word, number)]
