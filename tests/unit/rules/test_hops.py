"""Hops: counted in the header only, at the beginnings of lines, however the message is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.hops import HopCounter


def count(*pieces: bytes) -> int:
    counter = HopCounter()
    for piece in pieces:
        counter.feed(piece)
    return counter.count


@pytest.mark.parametrize(
    ("message", "hops"),
    [
        (b"", 0),
        (b"\nReceived: x\n", 0),
        (b"Received: x\n\nReceived: x\n", 1),
        (b"RECEIVED\nreceivedx\nDelivered-To: x\n\n", 3),
        (b" Received: folded\nX-Received: x\nreceive\ndelivere\n\n", 0),
        (b"x" * 100_000 + b"\nReceived: x\n\n", 1),
        (b"Received" + b"x" * 100_000 + b"\nReceived: x\n", 2),
    ],
)
def test_hops_in_a_header(message: bytes, hops: int) -> None:
    assert count(message) == hops
    assert count(*[message[at : at + 7] for at in range(0, len(message), 7)]) == hops


LINES = st.lists(st.sampled_from([b"Received: x\n", b"delivered\n", b"X: y\n", b"\n", b" r\n"]), max_size=9).map(
    b"".join
)


@given(LINES, st.integers(1, 9))
def test_the_cuts_do_not_matter(message: bytes, size: int) -> None:
    assert count(*[message[at : at + size] for at in range(0, len(message), size)]) == count(message)
