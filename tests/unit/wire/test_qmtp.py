"""QMTP's and QMQP's bytes, both ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.wire import netstring, qmqp, qmtp


@given(st.lists(st.text("\r\nx", max_size=5).map(str.encode), max_size=8))
def test_line_ends_are_decoded_the_same_however_they_are_cut(pieces: list[bytes]) -> None:
    decoder = qmtp.LineDecoder()
    stored = b"".join([*map(decoder.feed, pieces), decoder.finish()])
    assert stored == b"".join(pieces).replace(b"\r\n", b"\n")


@given(st.binary(max_size=50), st.binary(max_size=20), st.lists(st.binary(max_size=20), max_size=4))
def test_the_clients_frame_is_a_netstring_of_netstrings(message: bytes, sender: bytes, recipients: list[bytes]) -> None:
    before, behind = qmqp.frame(len(message), sender, recipients)
    (inside,) = netstring.unpack(before + message + behind)
    assert netstring.unpack(inside) == [message, sender, *recipients]


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        (b"22:Kok 1 qp 2,", b"K"),
        (b"4:Dbad,", b"D"),
        (b"5:Zlate,", b"Z"),
        (b"xyzK", b"K"),
        (b"k", b""),
        (b"", b""),
        (b"123:", b""),
    ],
)
def test_the_verdict_is_the_first_of_its_letters(answer: bytes, letter: bytes) -> None:
    assert qmqp.verdict(answer) == letter
