"""Envelope parameters in qmail-send: kept until the last delivery, across restarts, and what is done about them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qmailpy.wire.parameters import MessageParameters, Parameters, RecipientParameters
from tests.inject_support import run
from tests.send_support import LOCAL, MESSAGE, REMOTE, SENDER, Sender, Store, senders
from tests.support import RecordingQueue, bare_home, read, wait_for, write

Start = Callable[..., Sender]
ANN = b"ann@mx.example.org"
NEVER = RecipientParameters.parse(b"NOTIFY=NEVER")
HEADER_ONLY = Parameters(MessageParameters.parse(b"RET=HDRS ENVID=a+20b"))
RECEIVED = b"Received: (qmail 1 invoked by uid 77); 21 Nov 2026 02:27:41 -0000\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(f"{tmp_path}/home")


@pytest.fixture
def store(home: str) -> Store:
    return Store(home)


@pytest.fixture
def bounces(tmp_path: Path) -> RecordingQueue:
    return RecordingQueue(f"{tmp_path}/bounces")


@pytest.fixture
def start(home: str, bounces: RecordingQueue) -> Iterator[Start]:
    """Starts a qmail-send that is up when this returns, and ends them all after the test."""
    with senders(home, environment=bounces.environment) as start:
        yield start


def never(*recipients: int) -> Parameters:
    """NOTIFY=NEVER for each 1."""
    return Parameters(None, [NEVER if each else None for each in recipients])


def told(sender: Sender) -> list[str]:
    """The lines about bounces that nobody wants."""
    return [line for line in sender.lines() if line.startswith("no bounce")]


def ends_in_silence(store: Store, sender: Sender, bounces: RecordingQueue, number: int) -> None:
    sender.log.wait("end", msg=str(number))
    wait_for(lambda: not store.files(), "an empty queue")
    assert bounces.messages == []
    assert not any(line.kind == "bounce" for line in sender.log.lines)


@pytest.mark.parametrize("address", [SENDER, b"", b"#@[]"])
@pytest.mark.parametrize(("recipient", "channel"), [(LOCAL, 0), (REMOTE, 1)])
def test_who_wants_no_bounce_gets_none_and_nor_does_the_postmaster(
    start: Start, store: Store, bounces: RecordingQueue, recipient: bytes, channel: int, address: bytes
) -> None:
    sender = start()
    number = store.put([recipient], address, parameters=never(1))
    sender.spawner(channel).serve(b"D", b"no such user\n")
    ends_in_silence(store, sender, bounces, number)
    assert told(sender) == [f"no bounce for msg {number} to {recipient.decode()}: NOTIFY=NEVER"]
    assert [line.report for line in sender.log.lines if line.kind == "delivery"] == ["no_such_user/"]


def test_each_recipient_has_his_own_wish(start: Start, store: Store, bounces: RecordingQueue) -> None:
    sender = start()
    recipients = [LOCAL, REMOTE, ANN, b"x@y.example"]
    number = store.put(recipients, parameters=never(1, 0, 0, 1))
    for spawner in (sender.local, sender.local, sender.remote, sender.remote):
        spawner.serve(b"D", b"no\n")
    sender.log.wait("end", msg=str(number))
    [(message, _)] = bounces.messages
    named = [line for line in message.split(b"\n") if line.startswith(b"<")]
    assert sorted(named) == [b"<ann@mx.example.org>:", b"<you@there.example>:"]
    assert len(told(sender)) == 2
    assert message.endswith(RECEIVED + MESSAGE), "nobody asked for the header only"


def test_wishes_outlive_a_restart(start: Start, store: Store, bounces: RecordingQueue) -> None:
    sender = start()
    wished = Parameters(HEADER_ONLY.message, [None, NEVER])
    number = store.put([LOCAL, ANN], parameters=wished)
    for _ in range(2):
        sender.local.serve(b"Z", b"later\n")
    wait_for(lambda: sum(line.kind == "delivery" for line in sender.log.lines) == 2, "both reports")
    sender.kill()
    store.age("local", number, 1)
    sender = start()
    for _ in range(2):
        sender.local.serve(b"D", b"no\n")
    sender.log.wait("end", msg=str(number))
    [(message, _)] = bounces.messages
    assert b"<joe@mx.example.org>:\nno\n" in message
    assert b"ann@" not in message
    assert message.endswith(RECEIVED + b"Subject: a test\n\n")


def test_a_straight_delivery_that_is_deferred_keeps_them(start: Start, store: Store, bounces: RecordingQueue) -> None:
    sender = start()
    wished = Parameters(HEADER_ONLY.message, [NEVER])
    number = store.put([REMOTE], parameters=wished)
    sender.remote.serve(b"Z", b"later\n")
    wait_for(lambda: "info" in store.state(number) and "todo" not in store.state(number), "S5")
    assert store.read("info", number) == (
        b"Fme@here.example\0pRET=HDRS ENVID=a+20b\0i0\0r0 NOTIFY=NEVER  you@there.example\0"
    )
    assert store.read("remote", number) == b"Tyou@there.example\0"
    sender.term()
    store.age("remote", number, 1)
    sender = start()
    sender.remote.serve(b"D", b"no\n")
    ends_in_silence(store, sender, bounces, number)


def test_a_slow_straight_delivery_keeps_them_too(start: Start, store: Store, bounces: RecordingQueue) -> None:
    sender = start()
    number = store.put([LOCAL], parameters=never(1))
    command = sender.local.command()
    wait_for(lambda: "info" in store.state(number) and "todo" not in store.state(number), "S5")
    sender.local.report(command.slot, b"D", b"no\n")
    ends_in_silence(store, sender, bounces, number)


def test_a_message_that_is_too_old_ends_in_silence_too(start: Start, store: Store, bounces: RecordingQueue) -> None:
    write(f"{store.home}/control/queuelifetime", "1000\n")
    sender = start()
    number = store.put([LOCAL], parameters=never(1))
    sender.local.serve(b"Z")
    wait_for(lambda: "info" in store.state(number) and "todo" not in store.state(number), "S5")
    sender.term()
    store.age("info", number, 1002)
    store.age("local", number, 1)
    sender = start()
    sender.local.serve(b"Z", b"still not\n")
    ends_in_silence(store, sender, bounces, number)


def test_a_success_is_as_always(start: Start, store: Store, bounces: RecordingQueue) -> None:
    sender = start()
    number = store.put([LOCAL, REMOTE], parameters=Parameters(HEADER_ONLY.message, [NEVER, NEVER]))
    sender.local.serve()
    sender.remote.serve()
    ends_in_silence(store, sender, bounces, number)
    assert told(sender) == []


@pytest.mark.parametrize("address", [SENDER, b""])
def test_who_wants_the_header_only_gets_no_body(
    start: Start, store: Store, bounces: RecordingQueue, address: bytes
) -> None:
    sender = start()
    number = store.put([REMOTE], address, b"Subject: x\n\n" + b"y" * 100_000, parameters=HEADER_ONLY)
    sender.remote.serve(b"D", b"no\n")
    sender.log.wait("end", msg=str(number))
    [(message, _)] = bounces.messages
    assert message.endswith(b"\n\nReturn-Path: <" + address + b">\n" + RECEIVED + b"Subject: x\n\n")


@pytest.mark.parametrize("text", [b"NOTIFY=FAILURE", b"NOTIFY=SUCCESS,FAILURE,DELAY", b"ORCPT=rfc822;x"])
def test_all_other_wishes_bounce_as_always(start: Start, store: Store, bounces: RecordingQueue, text: bytes) -> None:
    sender = start()
    wished = Parameters(MessageParameters.parse(b"RET=FULL"), [RecipientParameters.parse(text)])
    number = store.put([REMOTE], parameters=wished)
    sender.remote.serve(b"D", b"no\n")
    sender.log.wait("end", msg=str(number))
    [(message, _)] = bounces.messages
    assert message.endswith(RECEIVED + MESSAGE)


@pytest.mark.parametrize("strange", [b"pNOTIFY=PERHAPS\0", b"p\0", b"p4711\0", b"pNOTIFY=NEVER\nend msg 1\0"])
def test_what_another_qmail_queue_wrote_behind_p_changes_nothing(
    start: Start, store: Store, bounces: RecordingQueue, strange: bytes
) -> None:
    number = store.put([REMOTE], pull=False)
    path = os.fsdecode(store.paths.todo(number))
    write(path, read(path) + strange)
    sender = start()
    sender.remote.serve(b"D", b"no\n")
    sender.log.wait("end", msg=str(number))
    assert len(bounces.messages) == 1
    assert not any(line.startswith("end msg 1") for line in sender.lines() if line != f"end msg {number}")


def test_a_message_to_many_has_its_wishes_read_in_step(start: Start, store: Store, bounces: RecordingQueue) -> None:
    sender = start(slots=(120, 120))
    count = 3000
    recipients = [b"u%d@there.example" % at for at in range(count)]
    wished = RecipientParameters.parse(b"NOTIFY=NEVER ORCPT=rfc822;somebody@a.long.name.example")
    number = store.put(recipients, parameters=Parameters(None, [None if at == 2500 else wished for at in range(count)]))
    for _ in range(count):
        sender.remote.serve(b"D", b"no\n")
    sender.log.wait("end", msg=str(number))
    [(message, _)] = bounces.messages
    assert [line for line in message.split(b"\n") if line.startswith(b"<")] == [b"<u2500@there.example>:"]


def test_the_lists_of_the_queue_show_what_they_always_showed(start: Start, store: Store) -> None:
    wished = Parameters(HEADER_ONLY.message, [NEVER, RecipientParameters.parse(b"ORCPT=rfc822;x")])
    numbers = [store.put([LOCAL, REMOTE], parameters=parameters) for parameters in (None, wished)]
    lists = [run(store.home, "mailq").out]
    sender = start()
    sender.local.command()
    sender.remote.command()
    wait_for(lambda: not any("todo" in store.state(number) for number in numbers), "S5")
    lists += [run(store.home, name).out for name in ("qmail-qread", "mailq")]
    for text in lists:
        shown = [text.partition(b"#%d " % number)[2].split(b"\n")[:3] for number in numbers]
        assert shown[0] == shown[1]
        assert shown[0][1:] in (
            [b"\ttodo\t" + LOCAL, b"\ttodo\t" + REMOTE],
            [b"\tlocal\t" + LOCAL, b"\tremote\t" + REMOTE],
        )
        assert b"NOTIFY" not in text
