"""CR, LF and dots: exactly one end of data on the wire, whatever is stored and however it is cut."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmailpy.wire.dots import BareLineFeed, ChunkDecoder, ChunkEncoder, Decoder, Encoder, Measure

ALPHABET = (b"\r", b"\n", b".", b"\0", b"x")
PIECES = st.lists(st.lists(st.sampled_from(ALPHABET), max_size=9).map(b"".join), max_size=9)


def encode(*pieces: bytes) -> bytes:
    encoder = Encoder()
    return b"".join([*(encoder.feed(piece) for piece in pieces), encoder.finish()])


def one_by_one(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


def decode(*pieces: bytes) -> tuple[bytes, bytes, bool]:
    """What is stored, what comes after the end, and whether there was one."""
    decoder = Decoder()
    stored = []
    left = list(pieces)
    while left and not decoder.done:
        stored.append(decoder.feed(left.pop(0)))
    return b"".join(stored), decoder.rest + b"".join(left), decoder.done


def as_lines(text: bytes) -> bytes:
    """What a stored message means, byte by byte: lines that end LF, every other run of CRs a space."""
    result = bytearray()
    run = False
    for byte in text:
        if byte == 0x0D:
            run = True
            continue
        if run and byte != 0x0A:
            result += b" "
        run = False
        result.append(byte)
    if run or (result and result[-1] != 0x0A):
        result += b"\n"
    return bytes(result)


def check(text: bytes) -> None:
    """Whole and byte by byte the same; one end of data; nothing that any receiver could take for another."""
    wire = encode(text)
    encoder = Encoder()
    pieces = b"".join([encoder.feed(text[at : at + 1]) for at in range(len(text))])
    assert pieces + encoder.finish() == wire
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    bare = wire.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare
    decoder = Decoder()
    assert decoder.feed(wire) == as_lines(text)
    assert decoder.done
    assert decoder.rest == b""


def check_all(longest: int) -> None:
    for length in range(longest + 1):
        for letters in itertools.product(ALPHABET, repeat=length):
            check(b"".join(letters))


def test_every_string_of_six_has_exactly_one_end_of_data_and_comes_back() -> None:
    check_all(6)


@pytest.mark.slow
def test_every_string_of_eight_has_exactly_one_end_of_data_and_comes_back() -> None:
    for letters in itertools.chain(itertools.product(ALPHABET, repeat=7), itertools.product(ALPHABET, repeat=8)):
        check(b"".join(letters))


@pytest.mark.parametrize(
    ("stored", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\n", b"..\r\n.\r\n"),
        (b"..\n.x\n", b"...\r\n..x\r\n.\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n.\r\n"),
        (b"a\r\r\nb\r\n", b"a\r\nb\r\n.\r\n"),
        (b"a\rb\n", b"a b\r\n.\r\n"),
        (b"a\r\r\rb\n", b"a b\r\n.\r\n"),
        (b"a\r", b"a\r\n.\r\n"),
        (b"\r", b"\r\n.\r\n"),
        (b"\n\n", b"\r\n\r\n.\r\n"),
        (b"Subject: x\rBcc: y\n", b"Subject: x Bcc: y\r\n.\r\n"),
        (b"x\r.\nMAIL FROM:<evil@x>\n", b"x .\r\nMAIL FROM:<evil@x>\r\n.\r\n"),
        (b"foo\r.\r\nMAIL\n", b"foo .\r\nMAIL\r\n.\r\n"),
        (b"a\0\xff\n", b"a\0\xff\r\n.\r\n"),
    ],
)
def test_a_stored_message_on_the_wire(stored: bytes, wire: bytes) -> None:
    assert encode(stored) == wire
    assert encode(*one_by_one(stored)) == wire


@settings(deadline=None)  # the machine may be busy
@given(PIECES)
def test_the_cuts_between_pieces_do_not_matter(pieces: list[bytes]) -> None:
    assert encode(*pieces) == encode(b"".join(pieces))


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_come_back_as_lines(text: bytes, size: int) -> None:
    wire = encode(text)
    pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
    assert decode(*pieces) == (as_lines(text), b"", True)


def test_a_run_of_a_million_crs_costs_no_more_than_other_bytes() -> None:
    pieces = [b"\r" * 65536] * 16
    assert encode(*pieces, b"x\n") == b" x\r\n.\r\n"
    assert encode(*pieces, b"\n") == b"\r\n.\r\n"


# what a client may send after 354, the end, and what must not be one (spec/11 1.2)


@pytest.mark.parametrize(
    ("wire", "stored"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\n"),
        (b"a\r\n.\r\n", b"a\n"),
        (b"..\r\n.\r\n", b".\n"),
        (b".a\r\n.\r\n", b"a\n"),
        (b"...\r\n.\r\n", b"..\n"),
        (b"a\r.\r\nb\r\n.\r\n", b"a\r.\nb\n"),
        (b"a\r.\rb\r\n.\r\n", b"a\r.\rb\n"),
        (b"a\r\n.\rb\r\n.\r\n", b"a\n\rb\n"),
        (b"a\r\r\n.\r\n", b"a\r\n"),
        (b"a\r\n.\r\r\nb\r\n.\r\n", b"a\n\r\nb\n"),
        (b"a\r\n\0.\r\n.\r\n", b"a\n\0.\n"),
        (b"a\r\n.\0\r\n.\r\n", b"a\n\0\n"),
    ],
)
def test_data_as_it_is_stored(wire: bytes, stored: bytes) -> None:
    assert decode(wire + b"QUIT\r\n") == (stored, b"QUIT\r\n", True)
    assert decode(*one_by_one(wire)) == (stored, b"", True)


@pytest.mark.parametrize("end", [b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n..\r\n", b"\r\n.\0\r\n", b"\r\n\0.\r\n"])
def test_what_is_not_the_end_of_data(end: bytes) -> None:
    assert not decode(b"text" + end)[2]
    assert not decode(*one_by_one(b"text" + end))[2]


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\n.\r", b"\n", b"\n\r\n.\r\n", b"\r.\n"])
def test_a_lone_lf_is_refused(end: bytes) -> None:
    with pytest.raises(BareLineFeed):
        decode(b"text" + end + b"x\r\n.\r\n")
    with pytest.raises(BareLineFeed):
        decode(*one_by_one(b"text" + end + b"x\r\n.\r\n"))


def test_a_lone_lf_at_the_very_beginning_is_refused() -> None:
    with pytest.raises(BareLineFeed):
        decode(b"\n.\r\n")


def test_a_lone_lf_after_the_end_belongs_to_the_next_command() -> None:
    assert decode(b"a\r\n.\r\nQUIT\n") == (b"a\n", b"QUIT\n", True)


def by_the_byte(wire: bytes) -> tuple[bytes, bytes, bool] | None:
    """The same, as slowly as it can be written down; None for a lone LF."""
    stored = bytearray()
    line = bytearray()
    for at, byte in enumerate(wire):
        line.append(byte)
        if byte != 0x0A:
            continue
        if not line.endswith(b"\r\n"):
            return None
        if line == b".\r\n":
            return bytes(stored), wire[at + 1 :], True
        stored += line[1:-2] + b"\n" if line.startswith(b".") else line[:-2] + b"\n"
        line.clear()
    return bytes(stored), b"", False


def test_every_string_of_six_is_decoded_as_by_the_byte() -> None:
    for length in range(7):
        for letters in itertools.product((b"\r\n", b"\r", b"\n", b".", b"x"), repeat=length):
            wire = b"".join(letters) + b"\r\n.\r\n"
            expected = by_the_byte(wire)
            for pieces in ([wire], one_by_one(wire)):
                try:
                    stored, rest, done = decode(*pieces)
                except BareLineFeed:
                    assert expected is None, wire
                    continue
                assert expected is not None, wire
                assert (stored, rest, done) == expected, wire


# in chunks


def chunks(*pieces: bytes) -> bytes:
    encoder = ChunkEncoder()
    return b"".join([*(encoder.feed(piece) for piece in pieces), encoder.finish()])


@given(PIECES)
def test_in_chunks_goes_what_goes_after_data_without_its_dots(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    sent = chunks(*pieces)
    assert sent == as_lines(text).replace(b"\n", b"\r\n")
    stored, rest, done = decode(encode(text))
    assert (stored.replace(b"\n", b"\r\n"), rest, done) == (sent, b"", True)


@given(PIECES)
def test_a_message_is_as_long_as_it_was_measured(pieces: list[bytes]) -> None:
    measure = Measure()
    for piece in pieces:
        measure.feed(piece)
    assert measure.finish() == len(chunks(*pieces))


@given(PIECES)
def test_what_goes_in_chunks_arrives_as_it_would_after_data(pieces: list[bytes]) -> None:
    decoder = ChunkDecoder()
    encoder = ChunkEncoder()
    arrived = [decoder.feed(encoder.feed(piece)) for piece in pieces]
    arrived += [decoder.feed(encoder.finish()), decoder.finish()]
    assert b"".join(arrived) == decode(encode(*pieces))[0]
