"""What senders are told by qmail-send: bounces in both layouts, what they asked for, and how many they get."""

import email.policy
import os
import signal
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path

import pytest

from qmailpy.wire.parameters import MessageParameters, Parameters, RecipientParameters
from tests.queue_support import INTERPRETER, LIBRARY
from tests.send_support import LOCAL, MESSAGE, REMOTE, SENDER, Sender, Store, senders
from tests.support import RecordingQueue, bare_home, wait_for, write

Start = Callable[..., Sender]
NO_USER = b"192.0.2.7 does not like recipient.\nRemote host said: 550 5.1.1 no such user\nGiving up on 192.0.2.7.\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(f"{tmp_path}/home")


@pytest.fixture
def store(home: str) -> Store:
    return Store(home)


@pytest.fixture
def told(tmp_path: Path) -> RecordingQueue:
    return RecordingQueue(f"{tmp_path}/told")


@pytest.fixture
def start(home: str, told: RecordingQueue) -> Iterator[Start]:
    """Starts a qmail-send that is up when this returns, and ends them all after the test."""
    with senders(home, environment=told.environment) as start:
        yield start


def control(store: Store, **files: str) -> None:
    for name, content in files.items():
        write(f"{store.home}/control/{name}", content + "\n")


def wishes(*recipients: bytes, message: bytes = b"") -> Parameters:
    each = [RecipientParameters.parse(text) if text else None for text in recipients]
    return Parameters(MessageParameters.parse(message), each)


def the_only(told: RecordingQueue) -> tuple[EmailMessage, list[EmailMessage], bytes]:
    """The one report: its parts, and its envelope."""
    [(text, envelope)] = told.messages
    message = message_from_bytes(text, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message, [part for part in message.iter_parts() if isinstance(part, EmailMessage)], envelope


def fields(status: EmailMessage) -> list[dict[str, str]]:
    """The groups of fields of a message/delivery-status."""
    assert status.get_content_type() == "message/delivery-status"
    return [dict(group.items()) for group in status.iter_parts()]


def gone(store: Store) -> None:
    wait_for(lambda: not store.files(), "an empty queue")


def has_heard(sender: Sender, count: int) -> None:
    """Wait until so many deliveries have ended."""
    wait_for(lambda: sum(line.kind == "delivery" for line in sender.log.lines) == count, "the reports")


# bounces


def test_a_bounce_for_mail_programs(start: Start, store: Store, told: RecordingQueue) -> None:
    control(store, bounceformat="dsn")
    sender = start()
    number = store.put(
        [REMOTE, LOCAL],
        parameters=wishes(b"ORCPT=rfc822;you+2Bold@there.example", message=b"ENVID=job+207"),
    )
    sender.remote.serve(b"D", NO_USER)
    sender.local.serve(b"D", b"Sorry, no mailbox here by that name. (#5.1.1)\n")
    sender.log.wait("end", msg=str(number))
    message, [text, status, original], envelope = the_only(told)
    assert envelope == b"F\0T" + SENDER + b"\0\0"
    assert message["Auto-Submitted"] == "auto-replied"
    assert "550 5.1.1 no such user" in str(text.get_content())
    all_of_it, *each = fields(status)
    assert all_of_it["Original-Envelope-Id"] == "job 7"
    assert all_of_it["Reporting-MTA"] == "dns; mx.example.org"
    assert sorted(each, key=str) == sorted(
        [
            {
                "Original-Recipient": "rfc822; you+old@there.example",
                "Final-Recipient": "rfc822; you@there.example",
                "Action": "failed",
                "Status": "5.1.1",
                "Remote-MTA": "dns; [192.0.2.7]",
                "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
            },
            {"Final-Recipient": "rfc822; joe@mx.example.org", "Action": "failed", "Status": "5.1.1"},
        ],
        key=str,
    )
    [inner] = original.iter_parts()
    assert (inner["Return-Path"], inner["Subject"]) == ("<me@here.example>", "a test")
    assert MESSAGE.partition(b"\n\n")[2].decode() in inner.as_string()


def test_a_double_bounce_for_mail_programs(start: Start, store: Store, told: RecordingQueue) -> None:
    control(store, bounceformat="dsn", bouncecontent="headers")
    sender = start()
    number = store.put([REMOTE], b"")
    sender.remote.serve(b"D", NO_USER)
    sender.log.wait("end", msg=str(number))
    message, [text, _, original], envelope = the_only(told)
    assert original.get_content_type() == "message/rfc822", "in its body stands why it was sent"
    assert envelope == b"F#@[]\0Tpostmaster@mx.example.org\0\0"
    assert message["To"] == "postmaster@mx.example.org"
    assert "the bounce bounced!" in str(text.get_content())


@pytest.mark.parametrize(
    ("layout", "content", "wished", "whole"),
    [
        ("qsbmf", "headers", b"", False),
        ("qsbmf", "headers", b"RET=FULL", False),
        ("qsbmf", "full", b"RET=HDRS", False),
        ("dsn", "full", b"", True),
        ("dsn", "full", b"RET=HDRS", False),
        ("dsn", "headers", b"RET=FULL", False),
    ],
)
def test_a_bounce_has_no_body_if_either_of_us_wishes_so(
    start: Start, store: Store, told: RecordingQueue, layout: str, content: str, wished: bytes, whole: bool
) -> None:
    control(store, bounceformat=layout, bouncecontent=content)
    sender = start()
    number = store.put([REMOTE], text=b"Subject: x\n\nthe secret body\n", parameters=wishes(message=wished))
    sender.remote.serve(b"D", NO_USER)
    sender.log.wait("end", msg=str(number))
    [(text, _)] = told.messages
    assert (b"the secret body" in text) == whole
    assert (b"\nContent-Type: text/rfc822-headers\n" in text) == (layout == "dsn" and not whole)


@pytest.mark.parametrize(
    "text", [b"Subject: x\r\n\r\nthe secret body\n\nmore\n", b"\nthe secret body\n", b"", b"\r\nthe secret body"]
)
@pytest.mark.parametrize("layout", ["qsbmf", "dsn"])
def test_a_header_ends_where_the_message_says(
    start: Start, store: Store, told: RecordingQueue, layout: str, text: bytes
) -> None:
    control(store, bounceformat=layout, bouncecontent="headers")
    sender = start()
    number = store.put([REMOTE], text=text)
    sender.remote.serve(b"D", NO_USER)
    sender.log.wait("end", msg=str(number))
    [(bounce, _)] = told.messages
    assert b"Received: (qmail 1 invoked by uid 77)" in bounce
    assert b"the secret body" not in bounce


# what was asked for


@pytest.mark.parametrize(("recipient", "channel", "action"), [(LOCAL, 0, "delivered"), (REMOTE, 1, "relayed")])
@pytest.mark.parametrize("straight", [True, False])
def test_who_asked_for_it_hears_of_a_success(
    start: Start, store: Store, told: RecordingQueue, recipient: bytes, channel: int, action: str, straight: bool
) -> None:
    sender = start()
    wished = wishes(b"NOTIFY=SUCCESS ORCPT=rfc822;old@x.example", message=b"ENVID=e1 RET=FULL")
    number = store.put([recipient, *([] if straight else [b"z@z.example"])], parameters=wished)
    sender.spawner(channel).serve(b"K", b"did 1+0+0\n")
    if not straight:
        sender.remote.serve(b"K", b"192.0.2.7 accepted message.\n")
    line = sender.log.wait("report", msg=str(number), what="success")
    sender.log.wait("end", msg=str(number))
    gone(store)
    message, [text, status, original], envelope = the_only(told)
    assert envelope == b"F\0T" + SENDER + b"\0\0"
    assert message["Subject"] == "delivery notice"
    assert "has got through" in str(text.get_content())
    [about_all, about_him] = fields(status)
    assert about_all["Original-Envelope-Id"] == "e1"
    assert about_him["Action"] == action
    assert (about_him["Status"], about_him["Original-Recipient"]) == ("2.0.0", "rfc822; old@x.example")
    assert original.get_content_type() == "text/rfc822-headers", "he has the message"
    assert line.qp


@pytest.mark.parametrize("notify", [b"NOTIFY=FAILURE,DELAY", b"NOTIFY=NEVER", b""])
def test_who_did_not_ask_hears_nothing_of_a_success(
    start: Start, store: Store, told: RecordingQueue, notify: bytes
) -> None:
    sender = start()
    number = store.put([LOCAL], parameters=wishes(notify, message=b"ENVID=e1"))
    sender.local.serve()
    sender.log.wait("end", msg=str(number))
    gone(store)
    assert told.messages == []


@pytest.mark.parametrize("address", [b"", b"#@[]"])
def test_bounces_have_no_sender_to_be_told_of_a_success(
    start: Start, store: Store, told: RecordingQueue, address: bytes
) -> None:
    sender = start()
    number = store.put([LOCAL], address, parameters=wishes(b"NOTIFY=SUCCESS"))
    sender.local.serve()
    sender.log.wait("end", msg=str(number))
    gone(store)
    assert told.messages == []


@pytest.mark.parametrize("notify", ["SUCCESS", "DELAY", "SUCCESS,DELAY", "NEVER"])
def test_who_asked_for_other_things_gets_no_bounce(
    start: Start, store: Store, told: RecordingQueue, notify: str
) -> None:
    sender = start()
    number = store.put([REMOTE], parameters=wishes(b"NOTIFY=" + notify.encode()))
    sender.remote.serve(b"D", NO_USER)
    sender.log.wait("end", msg=str(number))
    gone(store)
    assert told.messages == []
    assert f"no bounce for msg {number} to you@there.example: NOTIFY={notify}" in sender.lines()


EVENTS = ("NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE", "SUCCESS,DELAY", "FAILURE,DELAY")


def test_each_wish_with_each_outcome(start: Start, store: Store, told: RecordingQueue) -> None:
    """RFC 3461 4.1: whoever says nothing hears of failures; whoever says something hears of that."""
    sender = start()
    expected: dict[bytes, bytes] = {}
    for notify in ("", *EVENTS, "SUCCESS,FAILURE,DELAY"):
        for letter, event in ((b"K", "SUCCESS"), (b"D", "FAILURE")):
            address = b"s%d@here.example" % len(expected)
            number = store.put(
                [REMOTE],
                address,
                parameters=wishes(b"NOTIFY=" + notify.encode() if notify else b"", message=b"ENVID=1"),
            )
            sender.remote.serve(letter, NO_USER if letter == b"D" else b"192.0.2.7 accepted message.\n")
            sender.log.wait("end", msg=str(number))
            hears = event in notify.split(",") if notify else event == "FAILURE"
            expected[address] = {"SUCCESS": b"delivery notice", "FAILURE": b"failure notice"}[event] if hears else b""
    wanted = sorted((address, subject) for address, subject in expected.items() if subject)
    wait_for(lambda: len(told.messages) >= len(wanted), "all notices")
    found = []
    for text, envelope in told.messages:
        sender_and_recipient = envelope.split(b"\0")
        assert sender_and_recipient[0] == b"F"
        subject = text.partition(b"\nSubject: ")[2].partition(b"\n")[0]
        found.append((sender_and_recipient[1][1:], subject))
    assert sorted(found) == wanted


def test_a_success_is_told_even_if_we_leave_at_once(start: Start, store: Store, told: RecordingQueue) -> None:
    sender = start()
    number = store.put([LOCAL], parameters=wishes(b"NOTIFY=SUCCESS"))
    command = sender.local.command()
    sender.signal(signal.SIGTERM)
    sender.local.report(command.slot, b"K", b"did 1+0+0\n")
    assert sender.wait() == 0
    assert any(line.kind == "report" and line.msg == str(number) for line in sender.log.lines)
    assert len(told.messages) == 1


IMPATIENT = """
import sys
sys.path.insert(0, {library!r})
from qmailpy.disk.home import Home
from qmailpy.programs import qmail_send
from qmailpy.send import heart
heart._LEAVING_LIMIT = 0.3
sys.exit(qmail_send.main([b"qmail-send"], Home({home!r}.encode())))
"""


def test_the_time_for_what_is_left_at_the_end_begins_with_the_end_of_deliveries(
    start: Start, home: str, store: Store, told: RecordingQueue, tmp_path: Path
) -> None:
    """A report and the clean-up after a delivery that took longer than that were once left undone."""
    script = write(f"{tmp_path}/impatient", IMPATIENT.format(library=LIBRARY, home=home))
    sender = start(wrapper=(INTERPRETER, "-IS", script))
    store.put([LOCAL], parameters=wishes(b"NOTIFY=SUCCESS"))
    command = sender.local.command()
    sender.signal(signal.SIGTERM)
    assert sender.local.is_quiet(0.5)
    sender.local.report(command.slot, b"K", b"did 1+0+0\n")
    assert sender.wait() == 0
    assert len(told.messages) == 1
    gone(store)


def test_who_asked_for_it_hears_once_that_it_is_late(start: Start, store: Store, told: RecordingQueue) -> None:
    control(store, delaywarning="1000")
    sender = start()
    number = store.put([REMOTE, LOCAL], parameters=wishes(b"NOTIFY=DELAY,FAILURE", b""))
    sender.local.serve(b"Z", b"not now\n")
    sender.remote.serve(b"Z", b"not now (#4.4.1)\n")
    has_heard(sender, 2)
    sender.term()
    assert told.messages == [], "it is not late yet"
    for again in range(2):
        store.age("info", number, 1001)
        if again:
            when = store.mtime("info", number)
            os.utime(store.paths.info(number), ns=(when * 10**9 + 1, when * 10**9 + 1))
        for name in ("local", "remote"):
            store.age(name, number, 1)
        sender = start()
        sender.remote.serve(b"Z", b"still not (#4.4.1)\n")
        sender.local.serve(b"Z", b"still not\n")
        if not again:
            sender.log.wait("report", msg=str(number), what="delay")
        has_heard(sender, 2)
        sender.signal(signal.SIGALRM)
        sender.remote.serve(b"Z", b"still not (#4.4.1)\n")
        sender.local.serve(b"Z", b"still not\n")
        has_heard(sender, 4)
        sender.term()
        assert os.stat(store.paths.info(number)).st_mtime_ns % 10**9 == 1, "a restart knows it too"
    message, [text, status, _], _ = the_only(told)
    assert message["Subject"] == "delay notice"
    assert "There is nothing that you must do" in str(text.get_content())
    [_, about_him] = fields(status)
    assert (about_him["Action"], about_him["Status"]) == ("delayed", "4.4.1")
    assert about_him["Final-Recipient"] == "rfc822; you@there.example"
    assert "Will-Retry-Until" in about_him


def test_no_warning_is_sent_where_the_administrator_wants_none(
    start: Start, store: Store, told: RecordingQueue
) -> None:
    control(store, delaywarning="0")
    sender = start()
    store.put([REMOTE], parameters=wishes(b"NOTIFY=DELAY"))
    sender.remote.serve(b"Z", b"not now\n")
    sender.term()
    assert told.messages == []


def test_a_report_that_cannot_be_handed_over_keeps_nobody(start: Start, store: Store, tmp_path: Path) -> None:
    refusing = RecordingQueue(f"{tmp_path}/refusing", 53)
    sender = start(environment=refusing.environment)
    number = store.put([LOCAL], parameters=wishes(b"NOTIFY=SUCCESS"))
    sender.local.serve()
    sender.log.wait("end", msg=str(number))
    sender.log.wait("warning", words="trouble injecting bounce message, will try later")
    gone(store)
    sender.term()


# how many


def test_a_sender_gets_so_many_bounces_and_the_rest_waits(start: Start, store: Store, told: RecordingQueue) -> None:
    control(store, bouncebudget="2")
    sender = start()
    for at in range(5):
        store.put([b"u%d@there.example" % at])
        sender.remote.serve(b"D", NO_USER)
    other = store.put([REMOTE], b"other@here.example")
    sender.remote.serve(b"D", NO_USER)
    double = store.put([REMOTE], b"")
    sender.remote.serve(b"D", NO_USER)
    for number in (other, double):
        sender.log.wait("end", msg=str(number))
    wait_for(lambda: len(told.messages) == 4, "two and two others")
    assert sum(line.kind == "budget" for line in sender.log.lines) == 1
    sender.log.wait("budget", sender="me@here.example", limit="2")
    wait_for(lambda: sum(name.startswith("bounce/") for name in store.files()) == 3, "three that are kept")
    sender.term()
    assert len(told.messages) == 4
    control(store, bouncebudget="0")
    sender = start()
    sender.log.ends(3)
    gone(store)
    assert len(told.messages) == 7
