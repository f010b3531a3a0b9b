"""rules/trace: both ends of the notation, whatever the bytes are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import trace

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=30)
FIELDS = st.dictionaries(NAMES, st.binary(max_size=60), min_size=1, max_size=8)


@given(FIELDS)
def test_what_is_encoded_is_decoded_whatever_the_bytes_are(fields: dict[str, bytes]) -> None:
    text = trace.encode(fields)
    assert trace.decode(text) == fields
    assert list(trace.decode(text) or ()) == list(fields)
    assert all(32 <= byte <= 126 for byte in text)
    assert b"%" not in text


@given(st.binary(max_size=300))
def test_no_bytes_at_all_are_more_than_the_decoder_can_take(text: bytes) -> None:
    found = trace.decode(text)
    assert found is None or trace.decode(trace.encode(found)) == found


@given(st.dictionaries(NAMES, st.binary(max_size=3000), min_size=1, max_size=30))
def test_a_line_is_one_write_that_no_other_one_interrupts(fields: dict[str, bytes]) -> None:
    line = trace.line(fields)
    assert len(line) < 4096
    assert line.startswith(b"trace: ")
    assert line.count(b"\n") == 1
    assert trace.decode(line[7:-1]) is not None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"joe+list@example.org", b"joe+list@example.org"),
        (b"", b'""'),
        (b"250 ok", b'"250 ok"'),
        (b"a\ntrace: msg=1.1", b'"a\\x0atrace: msg=1.1"'),
        (b'say "no"', b'"say \\x22no\\x22"'),
        (b"50%", b'"50\\x25"'),
        (b"back\\slash", b'"back\\x5cslash"'),
        (b"k\xc3\xb6nig", b'"k\\xc3\\xb6nig"'),
        (b"key=value", b"key=value"),
    ],
)
def test_how_a_value_looks(value: bytes, text: bytes) -> None:
    assert trace.encode({"v": value}) == b"v=" + text


def test_numbers_are_their_digits_and_the_order_stays() -> None:
    assert trace.line({"msg": b"7.9", "by": b"qmail-send", "size": 12}) == b"trace: msg=7.9 by=qmail-send size=12\n"


def test_a_long_value_ends_in_dots_and_a_long_line_says_that_it_was_cut() -> None:
    assert (trace.decode(trace.encode({"v": b"x" * 9000})) or {})["v"] == b"x" * (trace.VALUE - 3) + b"..."
    cut = trace.decode(trace.encode({f"v{number}": b"\n" * 500 for number in range(9)}))
    assert cut is not None
    assert cut["cut"] == b"1"


@pytest.mark.parametrize(
    "text",
    [b"", b"a", b"=b", b"a=", b"a=b ", b" a=b", b"a=b  c=d", b"A=b", b"a=b a=c", b'a="b', b'a="b"c', b'a="\\x4"',
     b'a="\\n"', b"a=b\n", b'a="%"', b"a=%", b'a=b"c', b'a="\\xAA"', b"a=\xff", b"x" * 31 + b"=1"],
)  # fmt: skip
def test_what_nobody_encodes_is_not_decoded(text: bytes) -> None:
    assert trace.decode(text) is None


@pytest.mark.parametrize(
    ("word", "split"),
    [(b"12.34", (12, 34)), (b"12", None), (b"12.", None), (b".3", None), (b"1.2.3", None), (b"1" * 20 + b".1", None),
     (b"-1.2", None), (b"1.+2", None)],
)  # fmt: skip
def test_which_message_it_is_about(word: bytes, split: "tuple[int, int] | None") -> None:
    assert trace.split_key(word) == split
    if split is not None:
        assert trace.key(*split) == word
