"""rules/tracestory: whose line is it, where numbers come back, lines are early or late, and memory is bounded."""

import pytest

from qmailpy.rules import trace, tracestory
from qmailpy.rules.tracemessage import Early, Query
from qmailpy.rules.tracestory import MOST_LINES, MOST_STORIES, Tracker


def told(word: str, *lines: str, budget: int = 1 << 20) -> list[list[str]]:
    """The lines of each story."""
    tracker = Tracker(Query(word.encode()), budget)
    for line in lines:
        tracker.take(b"", line.encode())
    return [[text.decode() for _, _, text in message.lines] for message in tracker.stories]


def life(
    number: int, delivery: int, to: str, report: str = "success: ok/", qp: int = 50, sender: str = "s@x"
) -> list[str]:
    return [
        f"new msg {number}",
        f"info msg {number}: bytes 9 from <{sender}> qp {qp} uid 1",
        f"starting delivery {delivery}: msg {number} to remote {to}",
        f"delivery {delivery}: {report}",
        f"end msg {number}",
    ]


def key(number: int, incarnation: int) -> str:
    return f"trace: msg={number}.{incarnation} by="


def test_a_message_by_number_sender_recipient_and_domain() -> None:
    joe, ann = life(7, 1, "joe@x.example", sender="root@y"), life(8, 2, "ann@z.example", qp=51)
    for word in ("7", "joe@x.example", "JOE@X.example", "root@y", "@x.example"):
        assert told(word, *joe, *ann) == [joe], word
    assert told("nobody@x.example", *joe, *ann) == []


def test_a_number_that_comes_back_is_another_message() -> None:
    first, second = life(7, 1, "joe@x"), life(7, 2, "ann@x", qp=51)
    assert told("joe@x", *first, *second) == [first]
    assert told("ann@x", *first, *second) == [second]
    assert told("7", *first, *second) == [first, second]


def test_a_number_that_comes_back_without_its_end_is_another_message_too() -> None:
    first, second = life(7, 1, "joe@x")[:-1], life(7, 2, "ann@x", qp=51)
    assert told("7", *first, *second) == [first, second]


def test_deliveries_that_are_mixed_go_to_their_messages() -> None:
    a, b = life(7, 1, "joe@x"), life(8, 2, "ann@x", qp=51)
    mixed = [a[0], a[1], b[0], b[1], a[2], b[2], b[3], a[3], b[4], a[4]]
    assert told("7", *mixed) == [a]
    assert told("ann@x", *mixed) == [b]


def test_a_bounce_is_followed_to_the_message_that_it_became_and_on() -> None:
    failed = life(7, 1, "joe@x", "failure: no/")
    failed.insert(4, "bounce msg 7 qp 60")
    bounce = life(8, 2, "s@x", "failure: no/", qp=60, sender="")
    bounce.insert(4, "bounce msg 8 qp 61")
    double = life(9, 3, "postmaster@x", qp=61, sender="#@[]")
    other = life(10, 4, "else@x", qp=62)
    assert told("joe@x", *failed, *bounce, *double, *other) == [failed, bounce, double]


def test_a_forward_is_followed_though_it_comes_before_the_line_that_names_it() -> None:
    listed = life(7, 1, "list@x", "success: did_0+1+0/qp_70/")
    forward = life(8, 2, "far@y", qp=70)
    lines = [*listed[:3], *forward, *listed[3:]]
    assert told("list@x", *lines) == [listed, forward]
    assert told("far@y", *lines) == [forward]


def test_what_a_users_program_says_is_no_forward() -> None:
    fooled = life(7, 1, "joe@x", "success: did_1+0+0/x/qp_70/")
    other = life(8, 2, "far@y", qp=70)
    assert told("joe@x", *other, *fooled) == [fooled]


def test_a_log_that_begins_later_tells_what_is_left() -> None:
    lines = life(7, 1, "joe@x")[2:]
    assert told("7", *lines) == [lines]
    assert told("joe@x", *lines) == [lines]


def test_trace_lines_are_joined_by_number_and_incarnation() -> None:
    first = [*life(7, 1, "joe@x")[:2], key(7, 111) + "qmail-send event=new qp=50", key(7, 111) + "qmail-send event=end"]
    second = [*life(7, 2, "ann@x", qp=51)[:2], key(7, 222) + "qmail-send event=new qp=51"]
    late = key(7, 111) + "qmail-remote event=answer"
    assert told("7.111", *first, "end msg 7", *second, late) == [[*first, "end msg 7", late]]
    assert told("7.222", *first, "end msg 7", *second, late) == [second]


def test_the_door_may_be_quicker_than_the_line_of_the_message() -> None:
    door = key(7, 111) + "qmail-queued event=accepted qp=50 id=<name@x>"
    other = life(7, 1, "joe@x", qp=49)
    mine = [*life(7, 2, "ann@x"), key(7, 111) + "qmail-send event=new qp=50"]
    mine = [mine[0], mine[1], mine[5], *mine[2:5]]
    assert told("<name@x>", *other[:4], door, other[4], *mine) == [[*mine[:2], door, *mine[2:]]]


def test_the_door_may_be_slower_too() -> None:
    mine = [*life(7, 2, "ann@x")[:4], key(7, 111) + "qmail-queued event=accepted qp=50 id=<name@x>"]
    assert told("<name@x>", *mine) == [mine]
    assert told("<other@x>", *mine) == []


def test_a_server_is_joined_by_qp() -> None:
    server = "trace: msg=- by=qmail-smtpd event=received qp=50 client=192.0.2.7"
    mine = life(7, 1, "joe@x")
    assert told("joe@x", server, *mine) == [[*mine[:2], server, *mine[2:]]]
    assert told("joe@x", *mine[:3], server, *mine[3:]) == [[*mine[:3], server, *mine[3:]]]


def test_a_refusal_of_a_server_is_told_for_an_address() -> None:
    tracker = Tracker(Query(b"c@d.example"))
    for reply in (b"no", b"to=<c@d.example>"):
        tracker.take(
            b"", b'qmail-smtpd: refused 192.0.2.7 rule=x helo=h from=<a@b> to=<c@d.example> reply="%s"' % reply
        )
        tracker.take(
            b"", b'qmail-smtpd: refused 192.0.2.7 rule=x helo=h from=<a@b> to=<e@d.example> reply="%s"' % reply
        )
    assert len(tracker.refusals) == 2


def test_lines_of_messages_that_nobody_asked_for_take_bounded_memory() -> None:
    tracker = Tracker(Query(b"wanted@x"), budget=20000)
    for number in range(1, 1001):
        for line in life(number, number, "joe@x", qp=number)[:4]:
            tracker.take(b"", line.encode())
    held = sum(len(text) for message in tracker._live.values() for _, _, text in message.lines)
    assert held < 20000
    tracker.take(b"", b"starting delivery 2000: msg 1 to remote wanted@x")
    tracker.take(b"", b"starting delivery 2001: msg 1000 to remote wanted@x")
    first, last = tracker.stories
    assert first.cut
    assert len(first.lines) == 1
    assert len(last.lines) == 5
    assert not last.cut


def test_messages_and_deliveries_that_never_end_are_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracestory, "MOST_LIVE", 100)
    for word in ("5", "joe@x"):
        tracker = Tracker(Query(word.encode()))
        for number in range(1, 30001):
            tracker.take(b"", b"new msg %d" % number)
            tracker.take(b"", b"starting delivery %d: msg %d to local joe@x" % (number, number))
        assert len(tracker._live) == 100
        assert len(tracker._order) <= 2100
        assert len(tracker._deliveries) == 20000
        assert len(tracker.stories) == (1 if word == "5" else MOST_STORIES)


def test_lines_that_come_before_their_message_take_bounded_memory() -> None:
    early = Early(10000)
    for at in range(1000):
        early.keep(("key", b"%d.5" % (at % 50)), (at, b"", b"x" * 500))
    assert sum(len(text) for key in range(50) for _, _, text in early.take(("key", b"%d.5" % key))) < 10000
    assert early._held == 0
    early.keep(("qp", 7), (1, b"", b"x" * 20000), most=0)
    assert early.take(("qp", 7)) == []


def test_long_lines_of_what_is_wanted_take_bounded_memory() -> None:
    tracker = Tracker(Query(b"@x"), budget=20000)
    for number in range(1, 101):
        for line in (*life(number, number, "joe@x", qp=number)[:3], "held msg %d to remote %s" % (number, "x" * 999)):
            tracker.take(b"", line.encode())
    assert sum(len(text) for message in tracker.stories for _, _, text in message.lines) < 20000
    assert tracker.stories[-1].number == 100
    assert tracker.dropped == 100 - len(tracker.stories)


def test_a_chain_of_messages_may_be_long() -> None:
    chain = [line for number in range(2, 4000) for line in (
        f"info msg {number}: bytes 1 from <a@b> qp {number} uid 0",
        f"bounce msg {number} qp {number + 1}",
    )]  # fmt: skip
    tracker = Tracker(Query(b"joe@x"))
    for line in (*chain, "starting delivery 1: msg 2 to local joe@x"):
        tracker.take(b"", line.encode())
    assert len(tracker.stories) == MOST_STORIES
    assert [message.because for message in list(tracker.stories)[-2:]] == [3997, 3998]


def test_what_ends_unwanted_is_forgotten() -> None:
    tracker = Tracker(Query(b"wanted@x"), budget=1 << 30)
    for number in range(1, 10001):
        for line in life(number, number, "joe@x", qp=number):
            tracker.take(b"", line.encode())
    assert not tracker._live
    assert len(tracker._order) <= 2000
    assert not tracker._deliveries


@pytest.mark.parametrize("word", ["", "abc", "<>", "<", "@", "-1", "1" * 30])
def test_what_is_no_query(word: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        Query(word.encode())


@pytest.mark.parametrize(
    "line",
    [
        "new msg", "new msg x", "new msg " + "9" * 50, "info msg 7", "info msg 7: bytes", "info msg : from <> qp uid",
        "starting delivery", "starting delivery 1: msg", "delivery", "delivery 1", "delivery x: y", "bounce msg 7 qp",
        "bounce msg x qp 5", "end msg", "held msg", "order for msg", "triple bounce: discarding bounce/", "trace: ",
        "trace: msg=7", "trace: msg=7.7", "trace: msg=- by=x", "trace: x", "status: ", "no bounce for msg ",
    ],
)  # fmt: skip
def test_a_line_that_is_cut_off_breaks_nothing(line: str) -> None:
    told("7", *life(7, 1, "joe@x"), line, *life(8, 2, "ann@x"))


def test_an_address_of_strange_bytes_is_found_as_the_log_shows_it() -> None:
    shown = (
        trace.line({"msg": b"7.1", "by": b"qmail-send", "event": b"new", "sender": b'"a\nb%"@x'}).decode().rstrip("\n")
    )
    lines = life(7, 1, "joe@x", sender='"a/b_"@x')
    lines.insert(2, shown)
    assert told('"a/b_"@x', *lines) == [lines]
    assert told('"a\nb%"@x', *lines) == [lines]


def test_what_is_told_is_bounded_too_and_what_is_left_out_is_counted() -> None:
    tracker = Tracker(Query(b"joe@x"))
    for number in range(1, MOST_STORIES + 51):
        for line in life(number, number, "joe@x", qp=number):
            tracker.take(b"", line.encode())
    assert (len(tracker.stories), tracker.dropped) == (MOST_STORIES, 50)
    assert tracker.stories[0].number == 51
    for _ in range(MOST_LINES + 10):
        tracker.take(b"", b"held msg 9999 to remote x: this domain is held")
    tracker.take(b"", b"starting delivery 77777: msg 9999 to remote joe@x")
    assert len(tracker.stories[-1].lines) == MOST_LINES
    assert tracker.stories[-1].cut


def test_the_summary_of_a_delivery_is_its_last_word() -> None:
    listed = life(7, 1, "list@x", "success: did_0+1+0/qp_69/did_0+1+1/qp_70/")
    forward, other = life(8, 2, "far@y", qp=70), life(9, 3, "else@y", qp=69)
    lines = [*listed[:3], *other, *forward, *listed[3:]]
    assert told("list@x", *lines) == [listed, forward]
