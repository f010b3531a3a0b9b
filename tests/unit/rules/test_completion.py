"""A message gets what its header lacks, wherever it is cut, and keeps every byte that it has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules.completion import Completer

FIELDS = {b"date": b"Date: now\n", b"from": b"From: me\n"}
ADDED = b"Date: now\nFrom: me\n"


def complete(*pieces: bytes) -> bytes:
    completer = Completer(FIELDS)
    return b"".join([*(completer.feed(piece) for piece in pieces), completer.finish()])


@pytest.mark.parametrize(
    ("message", "completed"),
    [
        (b"", ADDED),
        (b"\n", ADDED + b"\n"),
        (b"\nbody\n", ADDED + b"\nbody\n"),
        (b"body without a header\n", ADDED + b"\nbody without a header\n"),
        (b"Subject: x\n", b"Subject: x\n" + ADDED),
        (b"Subject: x\n\nDate: y\n", b"Subject: x\n" + ADDED + b"\nDate: y\n"),
        (b"DATE : y\nSubject: x\n folded: y\n\nz\n", b"DATE : y\nSubject: x\n folded: y\nFrom: me\n\nz\n"),
        (b"Subject: x\n From: folded\n\n", b"Subject: x\n From: folded\n" + ADDED + b"\n"),
        (b" From: no header\n\nz\n", ADDED + b"\n From: no header\n\nz\n"),
        (b"Date: y\nFrom: z\n\nb\n", b"Date: y\nFrom: z\n\nb\n"),
        (b"Subject: x\nno field\n", b"Subject: x\n" + ADDED + b"\nno field\n"),
        (b"X: " + b"x" * 5000 + b"\nFrom: a\n\nb\n", b"X: " + b"x" * 5000 + b"\nFrom: a\nDate: now\n\nb\n"),
    ],
)
def test_what_is_missing_stands_at_the_end_of_the_header(message: bytes, completed: bytes) -> None:
    assert complete(message) == completed
    assert complete(*[message[at : at + 1] for at in range(len(message))]) == completed


LINE = st.sampled_from(
    [b"\n", b"Date: x\n", b"From: y\n", b" more\n", b"word\n", b"X:\n", b"\r\n", b"Y: " + b"y" * 2000 + b"\n"]
)


@given(st.lists(LINE, max_size=8), st.integers(1, 3000))
def test_the_cuts_do_not_matter_and_nothing_is_lost(lines: list[bytes], size: int) -> None:
    message = b"".join(lines)
    whole = complete(message)
    assert complete(*[message[at : at + size] for at in range(0, len(message), size)]) == whole
    for line in FIELDS.values():
        whole = whole.replace(line, b"", 1)
    assert (
        whole in (message, message.replace(b"word\n", b"\nword\n", 1))
        or message.startswith((b" ", b"\r"))
        or b"\r" in message
    )


def test_a_header_of_a_hundred_megabytes_is_not_kept() -> None:
    completer = Completer(FIELDS)
    assert completer.feed(b"X: ") == b""
    assert sum(len(completer.feed(b"x" * 65536)) for _ in range(1600)) == 3 + 1600 * 65536
    assert completer.finish() == b"\n" + ADDED
