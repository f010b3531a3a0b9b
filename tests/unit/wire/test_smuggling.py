"""One message is one message: every short string of the bytes that matter, through what receives and what sends."""

import itertools
from collections.abc import Iterator

from qmailpy.wire.dots import BareLineFeed, Decoder, Encoder

ALPHABET = (b"\r", b"\n", b".", b"\0", b"x")
END = b"\r\n.\r\n"


def strings(longest: int) -> Iterator[bytes]:
    for length in range(longest + 1):
        for letters in itertools.product(ALPHABET, repeat=length):
            yield b"".join(letters)


def check_received(text: bytes) -> None:
    """The end is CR LF . CR LF and nothing else, and what comes before a LF without a CR is all that is looked at."""
    came = b"\r\n" + text
    end = came.find(END)
    lines = came if end < 0 else came[: end + 2]
    bare = lines.replace(b"\r\n", b"").find(b"\n") >= 0
    decoder = Decoder()
    try:
        decoder.feed(text)
    except BareLineFeed:
        assert bare, text
        return
    assert not bare, text
    assert decoder.done == (end >= 0), text
    assert not decoder.done or decoder.rest == came[end + 5 :], text


def check_sent(text: bytes) -> None:
    """One end, at the end; no CR and no LF but in pairs, for who takes either for a line end."""
    encoder = Encoder()
    wire = encoder.feed(text) + encoder.finish()
    assert (b"\r\n" + wire).find(END) == len(wire) - 3, text
    bare = wire.replace(b"\r\n", b"")
    assert b"\r" not in bare, text
    assert b"\n" not in bare, text


def test_every_string_up_to_eight_has_one_end_when_it_is_received() -> None:
    for text in strings(8):
        check_received(text)


def test_every_string_up_to_eight_has_one_end_when_it_is_sent() -> None:
    for text in strings(8):
        check_sent(text)
