"""qmail-send's own trace lines, with the test in the spawners' place: waiting, held, too old; what spawners may say."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qmailpy.rules import trace
from qmailpy.wire.delivery import TRACE
from tests.send_support import LOCAL, REMOTE, Sender, Store, senders
from tests.support import RecordingQueue, bare_home, wait_for, write

Start = Callable[..., Sender]
TOLD = ("wide", "traces=local,remote")


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(f"{tmp_path}/home")


@pytest.fixture
def store(home: str) -> Store:
    write(f"{home}/control/trace", "1\n")
    return Store(home)


@pytest.fixture
def start(home: str) -> Iterator[Start]:
    """Starts a qmail-send that is up when this returns, and ends them all after the test."""
    with senders(home) as start:
        yield start


def events(sender: Sender, event: str) -> list[dict[str, str]]:
    """Those of this kind so far."""
    lines = [line.removeprefix("trace: ").encode("latin-1") for line in sender.lines() if line.startswith("trace: ")]
    found = [{name: value.decode("latin-1") for name, value in (trace.decode(line) or {}).items()} for line in lines]
    return [fields for fields in found if fields["event"] == event]


def one(sender: Sender, event: str) -> dict[str, str]:
    """The first of this kind, waited for."""
    return wait_for(lambda: events(sender, event), lambda: f"{event} in {sender.lines()}")[0]


def test_a_deferral_is_followed_by_when_it_is_tried_again_and_too_old_is_said(store: Store, start: Start) -> None:
    sender = start(words=TOLD)
    number = store.put([REMOTE])
    sender.remote.serve(b"Z", b"not now\n")
    wait = one(sender, "wait")
    assert wait["msg"].startswith(f"{number}.")
    assert wait["channel"] == "remote"
    assert int(wait["until"]) == int(one(sender, "new")["msg"].split(".")[1][:10]) + 400
    assert one(sender, "result")["verdict"] == "deferral"
    assert sender.term() == 0

    store.age("info", number, 700000)
    os.mkdir(f"{store.home}/recording")
    queue = RecordingQueue(f"{store.home}/recording")
    sender = start(words=TOLD, environment={"QMAILQUEUE": queue.path})
    sender.signal(14)
    command = sender.remote.command()
    assert one(sender, "try")["last"] == "1"
    sender.remote.report(command.slot, b"Z", b"not now\n")
    assert one(sender, "result")["expired"] == "1"
    assert one(sender, "bounce")["msg"] == wait["msg"]
    assert one(sender, "end")["msg"] == wait["msg"]


def test_a_message_that_waits_for_room_says_for_what(store: Store, start: Start) -> None:
    write(f"{store.home}/control/concurrencydomain", "there.example:1\n")
    write(f"{store.home}/control/holddomains", "held.example\n")
    sender = start(words=TOLD)
    first = store.put([REMOTE])
    command = sender.remote.command()
    second, third = store.put([REMOTE]), store.put([b"x@held.example"])
    wait_for(lambda: len(events(sender, "held")) >= 2, lambda: f"two held in {sender.lines()}")
    found = {fields["msg"].split(".")[0]: fields for fields in events(sender, "held")}
    assert set(found) == {str(second), str(third)}
    assert (found[str(second)]["domain"], found[str(second)]["limit"]) == ("there.example", "1")
    assert (found[str(third)]["domain"], found[str(third)]["limit"]) == ("held.example", "0")
    sender.remote.report(command.slot, b"K", b"ok\n")
    assert str(first) not in found


def test_each_recipient_is_told_with_the_file_that_decides(store: Store, start: Start) -> None:
    write(f"{store.home}/control/virtualdomains", ".virtual.example:joe\nexempt.virtual.example:\n")
    sender = start(words=TOLD)
    store.put([LOCAL, b"a@b.virtual.example", b"c@exempt.virtual.example", REMOTE])
    wait_for(lambda: len(events(sender, "route")) == 4, lambda: f"four routes in {sender.lines()}")
    assert [(fields["channel"], fields["address"], fields["rule"]) for fields in events(sender, "route")] == [
        ("local", LOCAL.decode(), "locals:mx.example.org"),
        ("local", "joe-a@b.virtual.example", "virtualdomains:.virtual.example"),
        ("remote", "c@exempt.virtual.example", "virtualdomains:exempt.virtual.example"),
        ("remote", REMOTE.decode(), "none"),
    ]


def test_a_spawner_tells_of_the_delivery_of_its_slot_and_of_no_other(store: Store, start: Start) -> None:
    sender = start(words=TOLD)
    number = store.put([REMOTE])
    command = sender.remote.command()
    assert command.message.startswith(b"t")
    sender.remote.report(command.slot + 1, TRACE, b"event=lost")
    sender.remote.report(command.slot, TRACE, b"event=seen msg=1.1 by=qmail-send")
    sender.remote.report(command.slot, TRACE, b"nonsense\n")
    sender.remote.report(command.slot, b"K", b"ok\n")
    sender.log.wait("end")
    (seen,) = events(sender, "seen")
    assert (seen["msg"].split(".")[0], seen["by"], seen["delivery"]) == (str(number), "qmail-rspawn", "1")
    assert len(events(sender, "unreadable")) == 1
    assert not events(sender, "lost")
    assert not sender.log.strangers()


def test_a_spawner_that_knows_nothing_of_stories_is_not_asked_for_one(store: Store, start: Start) -> None:
    sender = start()
    store.put([REMOTE])
    command = sender.remote.command()
    assert not command.message.startswith(b"t")
    sender.remote.report(command.slot, TRACE, b"event=seen")
    sender.log.wait("mangled")
    assert not events(sender, "seen")
