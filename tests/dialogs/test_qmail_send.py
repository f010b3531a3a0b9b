"""qmail-send at its pipes: the life of messages, with the test as both spawners and the real qmail-clean."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.queue_support import INTERPRETER, LIBRARY, open_door
from tests.send_support import LOCAL, MESSAGE, REMOTE, SENDER, Sender, Store, pipe, senders
from tests.support import RecordingQueue, bare_home, wait_for, write

Start = Callable[..., Sender]
RETRY = "I'm_not_going_to_try_again;_this_message_has_been_in_the_queue_too_long./"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(f"{tmp_path}/home")


@pytest.fixture
def store(home: str) -> Store:
    return Store(home)


@pytest.fixture
def start(home: str) -> Iterator[Start]:
    """Starts a qmail-send that is up when this returns, and ends them all after the test."""
    with senders(home) as start:
        yield start


def gone(store: Store) -> None:
    """Wait until nothing is left of any message."""
    wait_for(lambda: not store.files(), "an empty queue")


def in_s5(store: Store, number: int) -> None:
    wait_for(lambda: store.state(number) >= {"mess", "info"} and "todo" not in store.state(number), "S5")


# the life of a message


def test_one_good_local_delivery_gives_the_lines_that_everybody_knows(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL])
    command = sender.local.serve()
    assert (command.slot, command.message, command.sender, command.recipient) == (
        0,
        b"%d/%d" % (number % 23, number),
        SENDER,
        LOCAL,
    )
    gone(store)
    assert sender.term() == 0
    size = len(b"Received: (qmail 1 invoked by uid 77); 21 Nov 2026 02:27:41 -0000\n" + MESSAGE)
    assert sender.lines() == [
        "status: local 0/10 remote 0/20",
        f"new msg {number}",
        f"info msg {number}: bytes {size} from <me@here.example> qp 4711 uid 77",
        f"starting delivery 1: msg {number} to local joe@mx.example.org",
        "status: local 1/10 remote 0/20",
        "delivery 1: success: did_1+0+0/",
        "status: local 0/10 remote 0/20",
        f"end msg {number}",
        "status: exiting",
    ]


def test_a_message_to_both_channels_ends_when_both_are_done(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL, REMOTE, b"ann@mx.example.org"])
    first, second = sender.local.command(), sender.local.command()
    assert [first.recipient, second.recipient] == [LOCAL, b"ann@mx.example.org"]
    assert sender.remote.serve().recipient == REMOTE
    in_s5(store, number)
    sender.local.report(second.slot, b"K")
    sender.log.wait("delivery", delivery="2")
    wait_for(lambda: b"Dann@" in store.read("local", number), "the mark")
    assert store.read("local", number).startswith(b"Tjoe@")
    sender.local.report(first.slot, b"K")
    sender.log.wait("end", msg=str(number))
    gone(store)


def test_a_message_without_recipients_just_ends(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([])
    sender.log.wait("end", msg=str(number))
    gone(store)


def test_a_deferred_message_is_tried_again_at_its_time(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL])
    before = int(time.time())
    sender.local.serve(b"Z", b"not now\n")
    sender.log.wait("delivery", outcome="deferral", report="not_now/")
    in_s5(store, number)
    assert sender.term() == 0
    assert 100 <= store.mtime("local", number) - before <= 103
    sender = start()
    assert sender.local.is_quiet()
    sender.term()
    store.age("local", number, 1)
    sender = start()
    sender.local.serve(b"K")
    sender.log.wait("end", msg=str(number))
    gone(store)


def test_the_second_wait_is_reckoned_from_the_birth(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([REMOTE])
    sender.remote.serve(b"Z")
    in_s5(store, number)
    sender.term()
    store.age("info", number, 10000)
    store.age("remote", number, 1)
    birth = store.mtime("info", number)
    sender = start()
    sender.remote.serve(b"Z")
    sender.log.wait("delivery")
    sender.term()
    assert store.mtime("remote", number) == birth + (100 + 20) ** 2


def test_a_recipient_that_is_done_is_not_tried_again(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL, b"ann@mx.example.org"])
    sender.local.serve(b"K")
    sender.local.serve(b"Z")
    wait_for(lambda: sum(line.kind == "delivery" for line in sender.log.lines) == 2, "both reports")
    sender.term()
    store.age("local", number, 1)
    sender = start()
    assert sender.local.serve(b"K").recipient == b"ann@mx.example.org"
    sender.log.wait("end", msg=str(number))


def test_a_message_that_is_too_old_gets_one_attempt_and_bounces(start: Start, store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    write(f"{store.home}/control/queuelifetime", "1000\n")
    sender = start()
    number = store.put([LOCAL])
    sender.local.serve(b"Z")
    in_s5(store, number)
    sender.term()
    store.age("info", number, 1002)
    store.age("local", number, 1)
    sender = start(environment=bounces.environment)
    sender.local.serve(b"Z", b"still not\n")
    sender.log.wait("delivery", outcome="failure", report=f"still_not/{RETRY}")
    sender.log.wait("end", msg=str(number))
    [(message, _)] = bounces.messages
    assert b"still not\nI'm not going to try again; this message has been in the queue too long.\n" in message


def test_a_very_old_message_that_is_delivered_does_not_bounce(start: Start, store: Store) -> None:
    write(f"{store.home}/control/queuelifetime", "1000\n")
    sender = start()
    number = store.put([LOCAL])
    sender.local.serve(b"Z")
    in_s5(store, number)
    sender.term()
    store.age("info", number, 5000)
    store.age("local", number, 1)
    sender = start()
    sender.local.serve(b"K")
    sender.log.wait("end", msg=str(number))
    assert not any(line.kind == "bounce" for line in sender.log.lines)


def test_verp_is_expanded_for_the_spawner_alone(start: Start, store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    sender = start(environment=bounces.environment)
    number = store.put([REMOTE], b"list-@here.example-@[]")
    assert sender.remote.serve(b"D", b"no\n").sender == b"list-you=there.example@here.example"
    sender.log.wait("info", sender="list-@here.example-@[]")
    sender.log.wait("end", msg=str(number))
    [(message, envelope)] = bounces.messages
    assert envelope == b"F\0Tlist-@here.example\0\0"
    assert b"\nReturn-Path: <list-@here.example>\n" in message


# bounces


def test_a_failure_bounces_to_the_sender(start: Start, store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    write(f"{store.home}/control/virtualdomains", "virt.example:joe\n")
    sender = start(environment=bounces.environment)
    number = store.put([b"x@virt.example", REMOTE])
    assert (
        sender.local.serve(b"D", b"Sorry, no mailbox here by that name. (#5.1.1)\n").recipient == b"joe-x@virt.example"
    )
    sender.remote.serve(b"D", b"Remote host said:\n\n550 no\n")
    sender.log.wait("end", msg=str(number))
    [(message, envelope)] = bounces.messages
    assert envelope == b"F\0T%s\0\0" % SENDER
    date, _, rest = message.partition(b"\n")
    assert date.startswith(b"Date: ")
    original = store_text()
    assert rest == (
        b"From: MAILER-DAEMON@mx.example.org\n"
        b"To: me@here.example\n"
        b"Subject: failure notice\n\n"
        b"Hi. This is the qmail-send program at mx.example.org.\n"
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        b"This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        b"<x@virt.example>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
        b"<you@there.example>:\nRemote host said:\n/550 no\n\n"
        b"--- Below this line is a copy of the message.\n\n"
        b"Return-Path: <me@here.example>\n" + original
    )
    lines = [line.kind for line in sender.log.lines]
    assert lines.index("bounce") < lines.index("end")
    gone(store)


def store_text() -> bytes:
    return b"Received: (qmail 1 invoked by uid 77); 21 Nov 2026 02:27:41 -0000\n" + MESSAGE


def test_a_bounce_that_bounces_goes_to_the_postmaster(start: Start, store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    write(f"{store.home}/control/doublebounceto", "keeper\n")
    write(f"{store.home}/control/doublebouncehost", "keep.example\n")
    sender = start(environment=bounces.environment)
    number = store.put([REMOTE], b"")
    sender.remote.serve(b"D", b"no\n")
    sender.log.wait("end", msg=str(number))
    [(message, envelope)] = bounces.messages
    assert envelope == b"F#@[]\0Tkeeper@keep.example\0\0"
    assert b"\nTo: keeper@keep.example\n" in message
    assert b"I tried to deliver a bounce message to this address, but the bounce bounced!\n" in message
    assert b"\n--- Below this line is the original bounce.\n\nReturn-Path: <>\nReceived: " in message


def test_a_double_bounce_that_bounces_is_dropped_aloud(start: Start, store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    sender = start(environment=bounces.environment)
    number = store.put([REMOTE], b"#@[]")
    sender.remote.serve(b"D", b"no\n")
    sender.log.wait("triple", msg=str(number))
    sender.log.wait("end", msg=str(number))
    gone(store)
    assert bounces.messages == []


def test_a_bounce_goes_through_the_door_and_is_logged_before_its_message(start: Start, store: Store) -> None:
    with open_door(store.home):
        sender = start()
        number = store.put([REMOTE], LOCAL)
        sender.remote.serve(b"D", b"no\n")
        command = sender.local.serve(b"K")
        assert (command.sender, command.recipient) == (b"", LOCAL)
        gone(store)
        kinds = [line for line in sender.log.lines if line.kind in ("bounce", "end", "new", "info")]
    assert [line.kind for line in kinds] == ["new", "info", "bounce", "end", "new", "info", "end"]
    bounce, info = kinds[2], kinds[5]
    assert (bounce.msg, bounce.qp) == (str(number), info.qp)
    assert info.uid == str(os.geteuid())


def test_a_refused_bounce_is_tried_later(start: Start, store: Store, tmp_path: Path) -> None:
    refusing = RecordingQueue(f"{tmp_path}/bounces", code=53)
    sender = start(environment=refusing.environment)
    number = store.put([REMOTE])
    sender.remote.serve(b"D", b"no\n")
    sender.log.wait("warning", words="trouble injecting bounce message, will try later")
    assert store.state(number) == {"mess", "info", "bounce"}
    assert sender.term() == 0
    accepting = RecordingQueue(f"{tmp_path}/more")
    sender = start(environment=accepting.environment)
    sender.log.wait("bounce", msg=str(number))
    gone(store)
    assert len(accepting.messages) == 1


def test_a_bounce_that_takes_its_time_holds_up_nobody(start: Start, store: Store, tmp_path: Path) -> None:
    gate = f"{tmp_path}/gate"
    os.mkfifo(gate)
    slow = write(f"{tmp_path}/slow", f"#!/bin/sh\ncat >/dev/null\ncat <&1 >/dev/null\nread line <{gate}\n", 0o755)
    sender = start(environment={"QMAILQUEUE": slow})
    bouncing = store.put([REMOTE])
    sender.remote.serve(b"D", b"no\n")
    for _ in range(3):
        number = store.put([LOCAL])
        sender.local.serve(b"K")
        sender.log.wait("end", msg=str(number))
    assert not any(line.kind == "bounce" for line in sender.log.lines)
    write_line(gate)
    sender.log.wait("bounce", msg=str(bouncing))
    gone(store)


def write_line(path: str) -> None:
    with open(path, "w") as file:
        file.write("go\n")


def test_a_queue_program_that_is_missing_defers_the_bounce(start: Start, store: Store) -> None:
    sender = start(environment={"QMAILQUEUE": "/nonexistent/queue"})
    number = store.put([REMOTE])
    sender.remote.serve(b"D", b"no\n")
    sender.log.wait("warning", words="trouble injecting*")
    assert store.state(number) == {"mess", "info", "bounce"}


# straight from todo/


def test_a_delivery_that_succeeds_at_once_writes_nothing_into_the_queue(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL])
    command = sender.local.command()
    assert store.state(number) == {"mess", "intd", "todo"}
    sender.local.report(command.slot, b"K")
    gone(store)


def test_a_delivery_that_takes_two_seconds_is_written_down(start: Start, store: Store) -> None:
    sender = start()
    before = int(time.time())
    number = store.put([LOCAL])
    command = sender.local.command()
    in_s5(store, number)
    assert store.read("local", number) == b"T%s\0" % LOCAL
    assert store.read("info", number) == b"F%s\0" % SENDER
    assert before <= store.mtime("info", number) <= before + 1  # its first try, not now
    sender.local.report(command.slot, b"K")
    sender.log.wait("end", msg=str(number))
    gone(store)


def test_a_delivered_message_stays_accepted_while_what_was_written_cannot_be_removed(
    start: Start, store: Store
) -> None:
    """Else the next start would find info/N without a message, and without todo/N that tells what it is."""
    number = store.put([LOCAL])
    sender = start()
    command = sender.local.command()
    path = os.fsdecode(store.paths.split(b"local", number))
    os.mkdir(path)  # can be neither removed nor written
    sender.log.wait("warning", words=f"unable to unlink local/{number % 23}/{number}")
    after = sender.log.count()
    sender.local.report(command.slot, b"K")
    sender.log.wait("warning", words=f"unable to unlink local/{number % 23}/{number}", after=after)
    assert sender.term() == 0
    assert "todo" in store.state(number)
    assert not any(line.kind == "end" for line in sender.log.lines)
    os.rmdir(path)
    start().local.serve()  # a second time: it could not be kept that there was a first
    gone(store)


def test_a_failure_is_written_down_before_it_bounces(start: Start, store: Store, tmp_path: Path) -> None:
    refusing = RecordingQueue(f"{tmp_path}/bounces", code=53)
    sender = start(environment=refusing.environment)
    number = store.put([LOCAL])
    sender.local.serve(b"D", b"no\n")
    wait_for(lambda: store.state(number) == {"mess", "info", "bounce"}, "the failure")
    assert store.read("bounce", number) == b"<%s>:\nno\n\n" % LOCAL


def test_term_writes_down_what_is_under_way(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL])
    command = sender.local.command()
    sender.signal(signal.SIGTERM)
    in_s5(store, number)
    assert sender.poll() is None
    sender.local.report(command.slot, b"Z", b"later\n")
    assert sender.wait() == 0
    assert store.state(number) == {"mess", "info", "local"}
    assert store.mtime("local", number) >= int(time.time()) + 95
    assert sender.lines()[-3:-1] == ["delivery 1: deferral: later/", "status: local 0/10 remote 0/20 exitasap"]


def test_messages_that_wait_for_a_slot_stay_accepted_at_a_term(start: Start, store: Store) -> None:
    sender = start(slots=(1, 1))
    numbers = [store.put([LOCAL]) for _ in range(3)]
    command = sender.local.command()
    for number in numbers:
        sender.log.wait("info", msg=str(number))
    sender.signal(signal.SIGTERM)
    sender.local.report(command.slot, b"K")
    assert sender.wait() == 0
    states = [store.state(number) for number in numbers]
    assert sorted(map(sorted, states)) == [[], ["intd", "mess", "todo"], ["intd", "mess", "todo"]]
    sender = start()
    sender.local.serve()
    sender.local.serve()
    gone(store)


# signals


def test_term_lets_a_delivery_finish(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL, REMOTE])
    local, remote = sender.local.command(), sender.remote.command()
    sender.signal(signal.SIGTERM)
    sender.local.report(local.slot, b"K")
    sender.log.wait("status", local="0", exiting=" exitasap")
    store.put([LOCAL])
    assert sender.local.is_quiet()  # nothing new is begun
    sender.remote.report(remote.slot, b"K")
    assert sender.wait() == 0
    assert store.state(number) == set()
    assert sender.lines()[-1] == "status: exiting"


def test_alrm_tries_everything_now(start: Start, store: Store) -> None:
    sender = start()
    numbers = [store.put([LOCAL]), store.put([REMOTE])]
    sender.local.serve(b"Z")
    sender.remote.serve(b"Z")
    for number in numbers:
        in_s5(store, number)
    assert sender.local.is_quiet()
    sender.signal(signal.SIGALRM)
    sender.local.serve(b"K")
    sender.remote.serve(b"K")
    gone(store)


def test_hup_rereads_the_control_files(start: Start, store: Store) -> None:
    sender = start()
    store.put([b"x@new.example"])
    sender.remote.serve()
    write(f"{store.home}/control/locals", "new.example\n")
    write(f"{store.home}/control/virtualdomains", "virt.example:joe\n")
    write(f"{store.home}/control/percenthack", "hack.example\n")
    sender.signal(signal.SIGHUP)
    assert eventually_local(sender, store, b"x@new.example") == b"x@new.example"
    store.put([b"x@virt.example"])
    assert sender.local.serve().recipient == b"joe-x@virt.example"
    store.put([b"x%new.example@hack.example"])
    assert sender.local.serve().recipient == b"x@new.example"
    gone(store)


def eventually_local(sender: Sender, store: Store, recipient: bytes) -> bytes:
    """Send to it until it goes to the local channel (a HUP is not answered).  Result: as it came there."""
    while True:
        store.put([recipient])
        for _ in range(200):
            if not sender.local.is_quiet(0.01):
                return sender.local.serve().recipient
            if not sender.remote.is_quiet(0.01):
                sender.remote.serve()
                break


@pytest.mark.parametrize(
    ("name", "alert"),
    [("locals", "unable to reread control/locals"), ("virtualdomains", "unable to reread control/virtualdomains")],
)
def test_a_hup_that_finds_an_unreadable_file_keeps_what_it_had(
    start: Start, store: Store, name: str, alert: str
) -> None:
    sender = start()
    path = f"{store.home}/control/{name}"
    if os.path.exists(path):
        os.unlink(path)
    os.mkdir(path)  # unreadable for root too
    sender.signal(signal.SIGHUP)
    sender.log.wait("alert", words=alert)
    store.put([LOCAL])
    sender.local.serve()
    gone(store)


# spawners that talk nonsense, or no more


def test_a_report_may_come_in_pieces(start: Start, store: Store) -> None:
    sender = start()
    store.put([LOCAL])
    command = sender.local.command()
    for byte in bytes((command.slot,)) + b"Kdid 1+0+0\n\0":
        os.write(sender.local.reports, bytes((byte,)))
    sender.log.wait("delivery", report="did_1+0+0/")
    gone(store)


def test_a_mangled_report_defers(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL])
    sender.local.serve(b"Q", b"what\n")
    sender.log.wait("mangled", delivery="1")
    in_s5(store, number)
    assert store.read("local", number) == b"T%s\0" % LOCAL


def test_a_report_for_a_slot_that_is_not_in_use_is_ignored(start: Start, store: Store) -> None:
    sender = start()
    store.put([LOCAL])
    command = sender.local.command()
    sender.local.report(command.slot + 1, b"K")
    sender.log.wait("warning", words="internal error: delivery report out of range")
    sender.local.report(command.slot, b"K")
    gone(store)
    sender.local.report(command.slot, b"K")
    wait_for(lambda: sum(line.kind == "warning" for line in sender.log.lines) == 2, "the second warning")


def test_a_report_cannot_forge_a_line(start: Start, store: Store) -> None:
    sender = start()
    store.put([LOCAL])
    sender.local.serve(b"K", b"ok\nend msg 1\n%n\x1b")
    sender.log.wait("delivery", report="ok/end_msg_1/_n_")


@pytest.mark.parametrize("channel", [0, 1])
def test_the_loss_of_a_spawner_ends_qmail_send_in_order(start: Start, store: Store, channel: int) -> None:
    sender = start()
    number = store.put([LOCAL, REMOTE])
    commands = sender.local.command(), sender.remote.command()
    sender.spawner(channel).close()
    sender.log.wait("alert", words="oh no! lost spawn connection! dying...")
    other = 1 - channel
    sender.spawner(other).report(commands[other].slot, b"K")
    assert sender.wait() == 0
    assert sender.lines()[-1] == "status: exiting"
    left = ("local", "remote")[channel]
    assert store.state(number) == {"mess", "info", left}
    sender = start()
    sender.spawner(channel).serve()
    gone(store)


def test_the_loss_of_a_spawner_loses_no_message_that_went_straight(start: Start, store: Store) -> None:
    sender = start()
    store.put([LOCAL])
    sender.local.command()
    sender.local.close()
    assert sender.wait() == 0
    sender = start()
    sender.local.serve()
    gone(store)


def test_the_loss_of_qmail_clean_ends_qmail_send_in_order(start: Start, store: Store) -> None:
    sender = start()
    number = store.put([LOCAL, REMOTE])
    local, remote = sender.local.command(), sender.remote.command()
    os.kill(sender.cleaner_pid, signal.SIGKILL)
    sender.log.wait("alert", words="oh no! lost qmail-clean connection! dying...")
    sender.local.report(local.slot, b"K")
    sender.remote.report(remote.slot, b"K")
    assert sender.wait() == 0
    assert sender.lines()[-1] == "status: exiting"
    sender = start()
    sender.log.wait("end", msg=str(number))
    gone(store)


def test_the_loss_of_the_log_ends_qmail_send_in_order(home: str, store: Store) -> None:
    read_end, write_end = pipe()
    sender = Sender(home, log=write_end)
    os.close(write_end)
    try:
        assert os.read(read_end, 4096) == b"status: local 0/10 remote 0/20\n"
        number = store.put([LOCAL, REMOTE])
        local, remote = sender.local.command(), sender.remote.command()
        os.close(read_end)
        sender.local.report(local.slot, b"K")
        sender.remote.report(remote.slot, b"Z")
        assert sender.wait() == 0
        wait_for(lambda: store.state(number) == {"mess", "info", "remote"}, "what is left to do")
    finally:
        sender.close()


def test_a_log_that_is_not_read_stops_no_mail(home: str, store: Store) -> None:
    read_end, write_end = pipe()
    sender = Sender(home, log=write_end)
    os.close(write_end)
    try:
        for _ in range(30):  # far more than a pipe holds
            store.put([LOCAL], SENDER)
            sender.local.serve(b"K", b"x" * 9000)
        gone(store)
        seen = b""
        while b"status: exiting" not in seen:
            seen += os.read(read_end, 65536)
            if seen.count(b"end msg") == 30 and sender.poll() is None:
                sender.signal(signal.SIGTERM)
        assert seen.count(b"success: " + b"x" * 9000 + b"\n") == 30
        assert sender.wait() == 0
    finally:
        os.close(read_end)
        sender.close()


def test_the_end_of_anybody_elses_child_is_nothing(start: Start, store: Store) -> None:
    """Who is pid 1 of a container inherits every orphan; no user may stop the mail system by making one."""
    sender = start(wrapper=("/bin/sh", "-c", 'sleep 0 & exec "$0" "$@"'))
    number = store.put([LOCAL])
    sender.local.report(sender.local.command().slot, b"K")
    sender.log.wait("end", msg=str(number))
    assert not [line for line in sender.log.lines if line.kind == "alert"]
    assert sender.term() == 0


def test_the_end_of_a_daemon_without_a_pipe_ends_qmail_send_in_order(
    start: Start, store: Store, tmp_path: Path
) -> None:
    closed = "".join(f" {each}>&-" for each in range(3, 7))
    child = f"sleep 1000 </dev/null >/dev/null 2>&1{closed} & echo $! >{tmp_path}/pid; "
    sender = start(wrapper=("/bin/sh", "-c", child + 'exec "$0" "$@" watch=$!'))  # as qmail-start starts the door
    number = store.put([LOCAL])
    command = sender.local.command()
    with open(f"{tmp_path}/pid") as file:
        os.kill(int(file.read()), signal.SIGTERM)
    sender.log.wait("alert", words="oh no! lost one of the daemons! dying...")
    sender.local.report(command.slot, b"K")
    assert sender.wait() == 0
    assert store.state(number) == set()


BUG = """
import sys
sys.path.insert(0, {library!r})
from qmailpy.disk.home import Home
from qmailpy.programs import qmail_send
from qmailpy.rules import rewrite
def route(recipient, domains):
    raise KeyError(recipient)
rewrite.route = route
sys.exit(qmail_send.main([b"qmail-send"], Home({home!r}.encode())))
"""


def test_a_bug_is_one_line_and_loses_nothing(start: Start, home: str, store: Store, tmp_path: Path) -> None:
    script = write(f"{tmp_path}/bug", BUG.format(library=LIBRARY, home=home))
    sender = start(wrapper=(INTERPRETER, "-IS", script))
    number = store.put([LOCAL])
    assert sender.wait() == 111
    assert sender.lines()[3].startswith("alert: internal error KeyError at ")
    assert len(sender.lines()) == 4
    assert store.state(number) == {"mess", "intd", "todo"}
    sender = start()
    sender.local.serve()
    gone(store)


def test_slots_are_limited_by_the_control_file_and_by_the_spawner(start: Start, store: Store) -> None:
    write(f"{store.home}/control/concurrencyremote", "2\n")
    sender = start(slots=(3, 120))
    sender.log.wait("status", local="0", remote="0")
    assert sender.lines()[0] == "status: local 0/3 remote 0/2"
    store.put([b"%d@mx.example.org" % each for each in range(10)] + [b"%d@x.example" % each for each in range(10)])
    assert sorted(sender.local.command().slot for _ in range(3)) == [0, 1, 2]
    assert sorted(sender.remote.command().slot for _ in range(2)) == [0, 1]
    assert sender.local.is_quiet()
    assert sender.remote.is_quiet(0)
    sender.local.report(1, b"K")
    assert sender.local.command().slot == 1  # the lowest that is free


def test_no_concurrency_holds_a_channel(start: Start, store: Store) -> None:
    write(f"{store.home}/control/concurrencyremote", "0\n")
    sender = start()
    number = store.put([REMOTE])
    store.put([LOCAL])
    sender.local.serve()
    in_s5(store, number)
    assert sender.remote.is_quiet()
    assert sender.term() == 0
    assert store.state(number) == {"mess", "info", "remote"}


def test_the_wide_notation_has_room_for_more(start: Start, store: Store) -> None:
    write(f"{store.home}/control/concurrencylocal", "400\n")
    sender = start(words=("wide",), slots=(1000, 1000))
    assert sender.lines()[0] == "status: local 0/400 remote 0/20"
    store.put([b"%d@mx.example.org" % each for each in range(500)])
    slots = [sender.local.command().slot for _ in range(400)]
    assert sorted(slots) == list(range(400))
    sender.local.report(399, b"K")
    assert sender.local.command().slot == 399
    assert sender.local.is_quiet()


# starting


def cannot_start(sender: Sender, why: str) -> None:
    with sender:
        assert sender.wait() == 111
        assert sender.lines() == [f"alert: cannot start: {why}"]


def test_without_locals_and_me_it_cannot_start(home: str) -> None:
    os.unlink(f"{home}/control/me")
    os.unlink(f"{home}/control/locals")
    cannot_start(Sender(home), "unable to read controls")


def test_without_a_home_it_cannot_start(home: str) -> None:
    cannot_start(Sender(home, environment={"QMAILHOME": "/nonexistent"}), "unable to switch to home directory")


def test_without_a_queue_it_cannot_start(home: str) -> None:
    os.rename(f"{home}/queue", f"{home}/elsewhere")
    cannot_start(Sender(home, played_clean=True), "unable to switch to queue directory")


def test_without_a_mutex_it_cannot_start(home: str) -> None:
    os.unlink(f"{home}/queue/lock/sendmutex")
    cannot_start(Sender(home), "unable to open mutex")


def test_a_second_one_cannot_start(start: Start, home: str, store: Store) -> None:
    first = start()
    log = os.open(f"{home}.second", os.O_WRONLY | os.O_CREAT)
    with Sender(home, log=log) as second:
        os.close(log)
        assert second.wait() == 111
    with open(f"{home}.second") as file:
        assert file.read() == "alert: cannot start: qmail-send is already running\n"
    store.put([LOCAL])
    first.local.serve()
    gone(store)


@pytest.mark.parametrize("channel", [0, 1])
def test_a_spawner_that_says_nothing_and_goes_prevents_the_start(home: str, channel: int) -> None:
    sender = Sender(home, announce=False)
    sender.spawner(1 - channel).announce(120)
    sender.spawner(channel).close()
    cannot_start(sender, "hath the daemon spawn no fire?")


def test_a_term_during_the_start_is_heard(home: str) -> None:
    with Sender(home, announce=False) as sender:
        sender.local.announce(10)
        wait_for(lambda: os.path.realpath(f"/proc/{sender.pid}/cwd").endswith("/queue"), "the start")
        wait_for(lambda: caught(sender.pid, signal.SIGTERM), "its signal handlers")
        assert sender.term() in (0, 111)


def test_a_term_before_anything_else_is_heard(home: str, store: Store) -> None:
    """Whoever blocks it while he starts us finds it kept: we start, begin nothing, and leave in order."""
    store.put([LOCAL])
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        sender = Sender(home)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    with sender:
        assert sender.term() == 0
        assert [line.kind for line in sender.log.lines if line.kind != "status"] == ["exiting"]


def caught(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        mask = next(line for line in file if line.startswith("SigCgt")).split()[1]
    return bool(int(mask, 16) >> (number - 1) & 1)


# what a crash leaves


def test_every_state_is_taken_up_at_the_start(start: Start, store: Store) -> None:
    written = store.put([LOCAL], pull=False)  # S2: mess alone
    for name in ("intd", "todo"):
        os.unlink(f"{store.home}/queue/{name}/{written}")
    envelope = store.put([LOCAL], pull=False)  # S3: mess and intd
    os.unlink(f"{store.home}/queue/todo/{envelope}")
    accepted = store.put([b"s4@mx.example.org"], pull=False)  # S4, with leftovers of a preprocessing
    write(os.fsdecode(store.paths.info(accepted)), b"Fwrong@x")
    write(os.fsdecode(store.paths.split(b"remote", accepted)), b"Twrong@x\0")
    preprocessed = store.put([b"s5@mx.example.org"], pull=False)  # S5
    os.unlink(f"{store.home}/queue/intd/{preprocessed}")
    os.unlink(f"{store.home}/queue/todo/{preprocessed}")
    write(os.fsdecode(store.paths.info(preprocessed)), b"F%s\0" % SENDER)
    write(os.fsdecode(store.paths.split(b"local", preprocessed)), b"Ddone@x\0Ts5@mx.example.org\0")
    finished = store.put([LOCAL], pull=False)  # S5, nothing left to do
    os.unlink(f"{store.home}/queue/todo/{finished}")
    write(os.fsdecode(store.paths.info(finished)), b"F%s\0" % SENDER)
    write(f"{store.home}/queue/info/3/garbage", b"F\0")
    write(f"{store.home}/queue/info/3/26x", b"F\0")
    write(f"{store.home}/queue/info/4/26", b"F\0")
    write(f"{store.home}/queue/todo/core", b"")
    sender = start()
    recipients = {sender.local.serve().recipient, sender.local.serve().recipient}
    assert recipients == {b"s4@mx.example.org", b"s5@mx.example.org"}
    for number in (accepted, preprocessed, finished):
        sender.log.wait("end", msg=str(number))
    assert sender.local.is_quiet()
    wait_for(lambda: not store.state(finished), "the end")
    assert store.state(written) == {"mess"}
    assert store.state(envelope) == {"mess", "intd"}
    assert not any(line.kind in ("alert", "warning") for line in sender.log.lines)


def test_half_a_preprocessing_is_forgotten_before_a_message_goes_straight(start: Start, store: Store) -> None:
    number = store.put([LOCAL], pull=False)
    write(os.fsdecode(store.paths.info(number)), b"F%s\0" % SENDER)
    write(os.fsdecode(store.paths.split(b"local", number)), b"T%s\0" % LOCAL)
    sender = start()
    command = sender.local.command()
    assert store.state(number) == {"mess", "intd", "todo"}
    sender.local.report(command.slot, b"K")
    gone(store)


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (b"", "trouble reading todo/{}"),
        (b"u0\0p1\0Fa@b", "trouble reading todo/{}"),
        (b"u0\0Q\0", "unknown record type in todo/{}"),
    ],
)
def test_a_torn_envelope_is_said_once_and_delays_nobody(
    start: Start, store: Store, content: bytes, warning: str
) -> None:
    torn = store.put([LOCAL], pull=False)
    write(f"{store.home}/queue/todo/{torn}", content)
    sender = start()
    sender.log.wait("warning", words=warning.format(torn))
    for _ in range(3):
        number = store.put([LOCAL])
        sender.local.serve()
        sender.log.wait("end", msg=str(number))
    assert sum(line.kind == "warning" for line in sender.log.lines) == 1
    assert "todo" in store.state(torn)


def test_litter_goes_after_36_hours(start: Start, store: Store) -> None:
    old, young = store.put([LOCAL], pull=False), store.put([LOCAL], pull=False)
    for number in (old, young):
        os.unlink(f"{store.home}/queue/todo/{number}")
    store.age("mess", old, 129700)
    store.age("mess", young, 129500)
    write(f"{store.home}/queue/pid/1.2.3", b"half")
    os.utime(f"{store.home}/queue/pid/1.2.3", (0, 0))
    start()
    wait_for(lambda: not store.state(old), "the collector")
    assert store.state(young) == {"mess", "intd"}
    wait_for(lambda: not os.path.exists(f"{store.home}/queue/pid/1.2.3"), "qmail-clean's own round")


def test_old_mail_in_todo_is_no_litter(start: Start, store: Store) -> None:
    numbers = [store.put([LOCAL], pull=False) for _ in range(20)]
    for number in numbers:
        store.age("mess", number, 400000)
    sender = start()
    for _ in numbers:
        sender.local.serve()
    gone(store)
    assert not any(line.kind == "warning" for line in sender.log.lines)


def test_a_message_whose_file_is_gone_is_said_and_not_tried(start: Start, store: Store) -> None:
    number = 26
    write(os.fsdecode(store.paths.info(number)), b"Fa@b\0")
    write(os.fsdecode(store.paths.split(b"local", number)), b"Tjoe@mx.example.org\0")
    sender = start()
    sender.log.wait("warning", words=f"unable to stat mess/3/{number}; will try again later")
    assert sender.local.is_quiet()
    assert sum(line.kind == "warning" for line in sender.log.lines) == 1


# a full queue


@pytest.mark.slow
def test_a_backlog_in_todo_does_not_delay_new_mail(start: Start, store: Store) -> None:
    backlog = [store.put([b"old@mx.example.org"], pull=False) for _ in range(1200)]
    sender = start()
    sender.local.serve()
    new = store.put([b"new@mx.example.org", b"new2@mx.example.org"])
    served = 1
    while sender.local.serve().recipient != b"new@mx.example.org":
        served += 1
    assert served < 700, "new mail waited for the backlog"
    left = len(backlog) + 2 - served - 1
    for _ in range(left):
        sender.local.serve()
    sender.log.wait("end", msg=str(new))
    gone(store)


def test_deferred_mail_does_not_delay_new_mail(start: Start, store: Store) -> None:
    write(f"{store.home}/control/concurrencyremote", "5\n")
    sender = start()
    dead = [store.put([b"x@dead.example"]) for _ in range(30)]
    for _ in dead:
        sender.remote.serve(b"Z")
    for number in dead:
        in_s5(store, number)
    sender.signal(signal.SIGALRM)
    held = [sender.remote.command() for _ in range(4)]
    assert sender.remote.is_quiet()  # one slot of five is kept for new mail
    store.put([REMOTE])
    command = sender.remote.command()
    assert command.recipient == REMOTE
    sender.remote.report(command.slot, b"K")
    sender.remote.report(held[0].slot, b"Z")
    assert sender.remote.command().recipient == b"x@dead.example"


def test_a_long_list_does_not_delay_a_short_letter(start: Start, store: Store) -> None:
    write(f"{store.home}/control/concurrencylocal", "2\n")
    sender = start()
    store.put([b"%d@mx.example.org" % each for each in range(200)])
    held = [sender.local.command() for _ in range(2)]
    store.put([b"short@mx.example.org", REMOTE])
    sender.remote.serve()
    started = []
    for _ in range(3):
        sender.local.report(held.pop(0).slot, b"K")
        held.append(sender.local.command())
        started.append(held[-1].recipient)
    assert b"short@mx.example.org" in started


def test_the_title_shows_the_figures_and_the_short_name_does_not(start: Start, store: Store) -> None:
    sender = start()
    store.put([LOCAL])
    sender.local.command()

    def title() -> bytes:
        with open(f"/proc/{sender.pid}/cmdline", "rb") as file:
            return file.read().rstrip(b"\0")

    wait_for(lambda: title() == b"qmail-send local 1/10 remote 0/20", "the title")
    with open(f"/proc/{sender.pid}/comm", "rb") as file:
        assert file.read() == b"qmail-send\n"
