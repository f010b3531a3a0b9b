"""send/tracing: what other daemons tell is written by us, as theirs, and nothing that they say can be more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import trace
from qmailpy.send.tracing import Tracing
from qmailpy.wire.delivery import TRACE, Report


def heard(text: bytes, channel: int = 1) -> list[bytes]:
    lines: list[bytes] = []
    tracing = Tracing(lines.append)
    tracing.on = True
    tracing.written = lambda number: number * 10
    tracing.hear(7, 3, channel, Report(0, TRACE, text))
    return lines


def test_the_message_the_delivery_and_the_teller_are_our_words() -> None:
    text = trace.encode({"msg": b"1.1", "by": b"qmail-send", "event": b"end", "delivery": 99, "more": b"words"})
    assert heard(text) == [b"trace: msg=7.70 by=qmail-rspawn event=end delivery=3 more=words\n"]


@pytest.mark.parametrize(
    ("channel", "by", "shown"),
    [
        (0, b"qmail-local", b"qmail-local"),
        (1, b"qmail-remote", b"qmail-remote"),
        (0, b"joe", b"qmail-lspawn"),
        (0, b"qmail-remote", b"qmail-lspawn"),
        (1, b"qmail-local", b"qmail-rspawn"),
    ],
)
def test_a_spawner_may_speak_for_its_child_and_for_nobody_else(channel: int, by: bytes, shown: bytes) -> None:
    (line,) = heard(trace.encode({"by": by, "event": b"x"}), channel)
    assert line == b"trace: msg=7.70 by=%s event=x delivery=3\n" % shown


@given(st.binary(max_size=500))
def test_whatever_a_spawner_says_is_one_line_about_its_delivery(text: bytes) -> None:
    (line,) = heard(text)
    fields = trace.decode(line[7:-1])
    assert line.startswith(b"trace: msg=7.70 by=")
    assert fields is not None
    assert (fields["msg"], fields["delivery"]) == (b"7.70", b"3")
    assert line.count(b"\n") == 1


@given(st.binary(max_size=500))
def test_whatever_the_door_says_is_one_line_of_the_door(text: bytes) -> None:
    lines: list[bytes] = []
    Tracing(lines.append).hear_door(text)
    for line in lines:
        assert (trace.decode(line[7:-1]) or {})["by"] == b"qmail-queued"
        assert line.count(b"\n") == 1


def test_the_door_names_its_message_itself() -> None:
    lines: list[bytes] = []
    tracing = Tracing(lines.append)
    for msg in (b"5.6", b"5", b"x"):
        tracing.hear_door(trace.encode({"msg": msg, "by": b"qmail-send", "event": b"accepted", "qp": 4}))
    assert lines == [
        b"trace: msg=5.6 by=qmail-queued event=accepted qp=4\n",
        *[b"trace: msg=- by=qmail-queued event=accepted qp=4\n"] * 2,
    ]
