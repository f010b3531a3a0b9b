import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.rules import logline
from tests.logs import Line

# the grammar of spec/04 8, line by line
LINES = [
    (logline.new_message(457), b"new msg 457\n"),
    (logline.message(457, 2345, b"me@x", 14372, 1000), b"info msg 457: bytes 2345 from <me@x> qp 14372 uid 1000\n"),
    (logline.message(1, 2, b"", 3, 4), b"info msg 1: bytes 2 from <> qp 3 uid 4\n"),
    (logline.message(1, 2, b"l-@h-@[]", 3, 4), b"info msg 1: bytes 2 from <l-@h-@[]> qp 3 uid 4\n"),
    (logline.starting(1, 457, 0, b"joe@x"), b"starting delivery 1: msg 457 to local joe@x\n"),
    (logline.starting(20, 457, 1, b"a b%c@x"), b"starting delivery 20: msg 457 to remote a_b_c@x\n"),
    (logline.status(0, 10, 0, 20, exiting=False), b"status: local 0/10 remote 0/20\n"),
    (logline.status(1, 10, 2, 20, exiting=True), b"status: local 1/10 remote 2/20 exitasap\n"),
    (logline.verdict(1, b"K", b"did 1+0+0\n"), b"delivery 1: success: did_1+0+0/\n"),
    (logline.verdict(2, b"D", b"no (#5.1.1)\n"), b"delivery 2: failure: no_(#5.1.1)/\n"),
    (logline.verdict(3, b"Z", b""), b"delivery 3: deferral: \n"),
    (logline.verdict(4, b"Q", b"x"), b"delivery 4: report mangled, will defer\n"),
    (logline.verdict(4, b"", b""), b"delivery 4: report mangled, will defer\n"),
    (logline.bounced(457, 99), b"bounce msg 457 qp 99\n"),
    (logline.triple_bounce(457), b"triple bounce: discarding bounce/457\n"),
    (logline.end(457), b"end msg 457\n"),
    (logline.EXITING, b"status: exiting\n"),
    (logline.alert(logline.LOST_SPAWN), b"alert: oh no! lost spawn connection! dying...\n"),
    (logline.alert(logline.LOST_CLEAN), b"alert: oh no! lost qmail-clean connection! dying...\n"),
    (logline.alert(logline.START_SPAWN), b"alert: cannot start: hath the daemon spawn no fire?\n"),
    (logline.alert(logline.APPEND), b"alert: unable to append to bounce message; HELP! sleeping...\n"),
    (logline.alert_directory(b"todo"), b"alert: unable to opendir todo, sleeping...\n"),
    (
        logline.warning("mark", b"local/3/26"),
        b"warning: trouble marking local/3/26; message will be delivered twice!\n",
    ),
    (
        logline.warning("utime", b"local/3/26"),
        b"warning: unable to utime local/3/26; message will be retried too soon\n",
    ),
    (logline.warning("clean", b"foop/26"), b"warning: qmail-clean unable to clean up foop/26\n"),
    (logline.warning("record", b"todo/26"), b"warning: unknown record type in todo/26\n"),
    (logline.warning("record later", b"local/3/26"), b"warning: unknown record type in local/3/26!\n"),
    (logline.unwanted_bounce(26, b"joe@a\n%", b"NEVER"), b"no bounce for msg 26 to joe@a/_: NOTIFY=NEVER\n"),
    (logline.reported(26, b"delivered", 27), b"success report msg 26 qp 27\n"),
    (logline.reported(26, b"relayed", 27), b"success report msg 26 qp 27\n"),
    (logline.reported(26, b"delayed", 27), b"delay report msg 26 qp 27\n"),
    (
        logline.over_budget(b"a b@c", 100),
        b"bounce budget of 100 in an hour used up: further bounces to <a_b@c> are collected\n",
    ),
    (logline.held_domain(26, b"x.example"), b"held msg 26 to remote x.example: this domain is held\n"),
    (logline.busy_domain(b"x.example", 5), b"busy domain x.example: 5 deliveries at once, further mail waits\n"),
    (logline.OUT_OF_RANGE, b"warning: internal error: delivery report out of range\n"),
    (logline.NO_BOUNCE, b"warning: trouble injecting bounce message, will try later\n"),
    (logline.NO_QUEUE_PROGRAM, b"warning: unable to start qmail-queue, will try later\n"),
    (logline.internal_error(b"KeyError at send/todo.py:1"), b"alert: internal error KeyError at send/todo.py:1\n"),
]


@pytest.mark.parametrize(("line", "literal"), LINES)
def test_a_line_is_byte_exact(line: bytes, literal: bytes) -> None:
    assert line == literal
    assert Line(line[:-1].decode()).kind != "?"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"a\nb", b"a/b"),
        (b"a%b", b"a_b"),
        (b"\x00\t \x1f", b"____"),
        (b"\x7f\x80\xff", b"___"),
        (b"!~()#<>", b"!~()#<>"),
    ],
)
def test_what_comes_from_outside_is_made_safe(text: bytes, shown: bytes) -> None:
    assert logline.safe(text) == shown


@given(st.binary(), st.binary())
def test_nobody_can_forge_a_line(sender: bytes, report: bytes) -> None:
    for line in (
        logline.message(1, 2, sender, 3, 4),
        logline.verdict(5, b"K", report),
        logline.starting(6, 7, 0, sender),
        logline.unwanted_bounce(8, sender, b"NEVER"),
    ):
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert all(32 <= byte <= 126 for byte in line[:-1])


def test_the_text_of_an_expired_message_is_the_one_that_senders_know() -> None:
    assert logline.TOO_LONG == b"I'm not going to try again; this message has been in the queue too long.\n"
