"""The Received line of the queue."""

import pytest

from qmailpy.rules.received import invoked_by, invoker, received_line

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


def test_the_line_may_tell_local_time() -> None:
    line = received_line(1, b"by uid 0", 1795228061, -28800)
    assert line == b"Received: (qmail 1 invoked by uid 0); 20 Nov 2026 18:27:41 -0800\n"


@pytest.mark.parametrize("uid", [0, 1000, ALIAS, QMAILD, QMAILS, 4294967294])
def test_the_line_tells_who_brought_the_message(uid: int) -> None:
    line = received_line(77, invoked_by(uid, ALIAS, QMAILD, QMAILS), 0)
    assert invoker(line + b"Received: (qmail 1 invoked by uid 5); x\n", ALIAS, QMAILD, QMAILS) == uid


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Received: from x by y; date\n",
        b"Received: (qmail 1 invoked by uid ); x\n",
        b"Received: (qmail 1 invoked by uid -1); x\n",
        b"Received: (qmail 1 invoked by uid 1x); x\n",
        b"Received: (qmail 1 invoked by uid 99999999999999999999); x\n",
        b"Received: (qmail 1 invoked by uid 1",
        b"X: (qmail 1 invoked by uid 1); x\n",
    ],
)
def test_another_line_tells_nobody(line: bytes) -> None:
    assert invoker(line, ALIAS, QMAILD, QMAILS) is None
