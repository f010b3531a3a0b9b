"""The Received line of the queue."""

import pytest

from qmailpy.rules.received import invoked_by, received_line

ALIAS, QMAILD, QMAILS = 101, 102, 103


@pytest.mark.parametrize(
    ("uid", "words"),
    [
        (ALIAS, b"by alias"),
        (QMAILD, b"from network"),
        (QMAILS, b"for bounce"),
        (0, b"by uid 0"),
        (4294967294, b"by uid 4294967294"),
    ],
)
def test_roles_have_their_words_and_others_their_number(uid: int, words: bytes) -> None:
    assert invoked_by(uid, ALIAS, QMAILD, QMAILS) == words


def test_one_uid_for_all_roles_is_just_that_uid() -> None:
    assert invoked_by(1000, 1000, 1000, 1000) == b"by uid 1000"


def test_the_line_is_byte_exact() -> None:
    assert (
        received_line(14372, b"by uid 0", 1795228061)
        == b"Received: (qmail 14372 invoked by uid 0); 21 Nov 2026 02:27:41 -0000\n"
    )
