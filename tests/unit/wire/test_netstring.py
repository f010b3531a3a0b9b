"""Netstrings: written, and read strictly, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import netstring
from qmailpy.wire.netstring import Decoder, NetstringError, TooLong

FORMS = [
    (b"", b"0:,"),
    (b"x", b"1:x,"),
    (b"hello world!", b"12:hello world!,"),
    (b"1:x,", b"4:1:x,,"),
    (b"\0\n,", b"3:\0\n,,"),
]
NONSENSE = [
    *(b":,", b":", b"00:,", b"01:x,", b"000000000", b"-1:x,", b"+1:x,", b" 1:x,", b"1 :x,", b"1_0:0123456789,"),
    *(b"x", b",", b"1;x,", b"1:x;", b"0:x", b"0x1:x,", b"1\n:x,", "٣:abc,".encode(), b"1:xx,", b"1.0:x,"),
]
TOO_LONG = [b"11:", b"11", b"99:", b"200000001:", b"200000000", b"1" * 4301 + b":", b"9" * 100_000, b"4294967297:x,"]


def one_by_one(decoder: Decoder, content: bytes) -> list[bytes]:
    return [item for at in range(len(content)) for item in decoder.feed(content[at : at + 1])]


@pytest.mark.parametrize(("content", "written"), FORMS)
def test_what_is_written_is_read(content: bytes, written: bytes) -> None:
    assert netstring.encode(content) == written
    assert Decoder(100).feed(written) == [content]
    assert one_by_one(Decoder(100), written) == [content]


@pytest.mark.parametrize("content", NONSENSE)
def test_anything_else_is_refused_whole_and_byte_by_byte(content: bytes) -> None:
    with pytest.raises(NetstringError):
        Decoder(100).feed(content)
    with pytest.raises(NetstringError):
        one_by_one(Decoder(100), content)
    with pytest.raises(NetstringError):
        netstring.unpack(content)


@pytest.mark.parametrize("content", TOO_LONG)
def test_a_length_above_the_limit_is_refused_before_anything_of_it_comes(content: bytes) -> None:
    with pytest.raises(TooLong):
        Decoder(10).feed(content)
    with pytest.raises(TooLong):
        one_by_one(Decoder(10), content)


def test_a_length_at_the_limit_is_fine() -> None:
    assert Decoder(10).feed(b"10:0123456789,") == [b"0123456789"]
    assert netstring.head(b"200000000:") == (200_000_000, 10)
    with pytest.raises(TooLong):
        netstring.head(b"200000001:", 1 << 60)


@pytest.mark.parametrize("content", [b"1", b"1:", b"1:x", b"0:", b"1:x,1"])
def test_a_list_that_is_cut_off_is_refused(content: bytes) -> None:
    with pytest.raises(NetstringError):
        netstring.unpack(content)


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 60)))
def test_a_list_survives_however_it_is_cut(items: list[bytes], cuts: list[int]) -> None:
    packed = netstring.pack(items)
    assert netstring.unpack(packed) == items
    decoder, found, at = Decoder(40), [], 0
    for length in cuts:
        found += decoder.feed(packed[at : at + length])
        at += length
    assert found + decoder.feed(packed[at:]) == items
    assert decoder.idle


@given(st.text("0123456789:,x", max_size=30).map(str.encode))
def test_any_bytes_are_a_list_or_refused_and_a_list_has_one_form(content: bytes) -> None:
    try:
        items = netstring.unpack(content)
    except NetstringError:
        return
    assert netstring.pack(items) == content


def test_a_large_one_in_small_pieces_costs_no_more_than_reading_it() -> None:
    content = b"x" * 1_000_000
    decoder = Decoder(len(content))
    written = netstring.encode(content)
    found = [item for at in range(0, len(written), 7) for item in decoder.feed(written[at : at + 7])]
    assert found == [content]
