"""qmail-queuectl move: what waits here goes to another queue, through the running qmail-send, whatever happens."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.dialogs.test_answering import defer_all
from tests.dialogs.test_queuectl import ctl
from tests.queue_support import new_home, open_door
from tests.send_support import LOCAL, REMOTE, SENDER, Sender, Store
from tests.support import RecordingQueue, wait_for, write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(new_home(tmp_path))


@pytest.fixture
def other(tmp_path: Path) -> RecordingQueue:
    return RecordingQueue(f"{tmp_path}/other")


def gone(store: Store) -> None:
    wait_for(lambda: store.files() == [], "an empty queue")
    assert os.listdir(f"{store.home}/queue/orders") == []


def test_a_message_goes_with_all_who_do_not_have_it(store: Store, other: RecordingQueue) -> None:
    write(f"{store.home}/control/virtualdomains", "virt.example:joe\n")
    with Sender(store.home, environment={"QMAILQUEUE": "/bin/false"}) as sender:
        number = store.put([LOCAL, REMOTE, b"x@virt.example", b"done@there.example"], b"list-@here.example-@[]")
        for _ in range(2):
            sender.local.serve(b"Z", b"later\n")
        for _ in range(2):
            command = sender.remote.command()
            sender.remote.report(command.slot, b"K" if command.recipient.startswith(b"done") else b"Z", b"so\n")
        wait_for(lambda: sum(line.kind == "delivery" for line in sender.log.lines) == 4, "all reports")
        text = store.read("mess", number)
        assert ctl(store, "-n", "move", "-q", other.path, str(number)).out.startswith(b"#%d  would be on its " % number)
        done = ctl(store, "move", f"--queue={other.path}", str(number))
        assert (done.code, done.out) == (0, b"#%d  on its way\non its way: 1\n" % number)
        sender.log.wait("order", msg=str(number), what="move", words=other.path)
        sender.log.wait("end", msg=str(number))
        gone(store)
        assert not any(line.kind == "bounce" for line in sender.log.lines)
    [(message, envelope)] = other.messages
    assert message == text
    assert envelope == b"Flist-@here.example-@[]\0T%s\0Tx@virt.example\0T%s\0\0" % (LOCAL, REMOTE)


def test_who_was_refused_before_is_told_of_here(store: Store, other: RecordingQueue, tmp_path: Path) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    with Sender(store.home, environment=bounces.environment) as sender:
        number = store.put([LOCAL, REMOTE])
        sender.local.serve(b"D", b"no\n")
        sender.remote.serve(b"Z", b"later\n")
        wait_for(lambda: sum(line.kind == "delivery" for line in sender.log.lines) == 2, "both reports")
        assert ctl(store, "move", "-q", other.path, "-s", SENDER.decode()).code == 0
        sender.log.wait("end", msg=str(number))
    assert [envelope for _, envelope in other.messages] == [b"F%s\0T%s\0\0" % (SENDER, REMOTE)]
    assert [b"<%s>:\nno\n\n" % LOCAL in message for message, _ in bounces.messages] == [True]


def test_what_is_under_way_ends_first_and_goes_only_if_it_must(store: Store, other: RecordingQueue) -> None:
    with Sender(store.home) as sender:
        there, late = store.put([LOCAL]), store.put([REMOTE])
        commands = sender.local.command(), sender.remote.command()
        assert ctl(store, "move", "-a", "-q", other.path).code == 0
        assert sender.local.is_quiet()
        assert other.messages == []
        sender.local.report(commands[0].slot, b"K", b"ok\n")
        sender.remote.report(commands[1].slot, b"Z", b"later\n")
        for number in (there, late):
            sender.log.wait("end", msg=str(number))
        gone(store)
    assert [envelope for _, envelope in other.messages] == [b"F%s\0T%s\0\0" % (SENDER, REMOTE)]


@pytest.mark.parametrize("order", ["bounce", "delete", "move"])
def test_what_is_ordered_is_done_when_the_last_one_under_way_gets_it(
    store: Store, other: RecordingQueue, tmp_path: Path, order: str
) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    with Sender(store.home, environment=bounces.environment) as sender:
        number = store.put([LOCAL, REMOTE])
        sender.local.serve(b"Z", b"later\n")
        command = sender.remote.command()
        sender.log.wait("delivery", outcome="deferral")
        assert ctl(store, order, *(["-q", other.path] if order == "move" else []), str(number)).code == 0
        sender.remote.report(command.slot, b"K", b"ok\n")
        sender.log.wait("end", msg=str(number))
        gone(store)
    assert (len(other.messages), len(bounces.messages)) == (order == "move", order == "bounce")


@pytest.mark.parametrize(
    ("code", "text", "what", "stays"),
    [(53, "", "move later", True), (31, "", "move refused, it stays", False), (82, "Dtoo large", "move ref*", False)],
)
def test_a_queue_that_does_not_take_it_loses_nothing(
    store: Store, tmp_path: Path, code: int, text: str, what: str, stays: bool
) -> None:
    refusing = RecordingQueue(f"{tmp_path}/refusing", code, text)
    with Sender(store.home) as sender:
        (number,) = defer_all(store, sender)
        assert ctl(store, "move", "-q", refusing.path, str(number)).code == 0
        sender.log.wait("order", msg=str(number), what=what)
        if stays:  # until the other queue has room, or he thinks better of it
            assert sender.local.is_quiet()
            assert ctl(store, "list", str(number)).out.splitlines()[0].endswith(b"  to be moved")
            (told,) = (json.loads(line) for line in ctl(store, "-j", "list").out.splitlines())
            assert (told["ordered"], told["held"]) == ("move", False)
            assert ctl(store, "release", str(number)).code == 0
        for spawner in (sender.local, sender.remote):
            spawner.serve()
        sender.log.wait("end", msg=str(number))
        gone(store)


def test_a_restart_moves_what_was_not_moved_yet(store: Store, other: RecordingQueue, tmp_path: Path) -> None:
    gate = f"{tmp_path}/gate"
    os.mkfifo(gate)
    slow = write(f"{tmp_path}/slow", f"#!/bin/sh\ncat >/dev/null\ncat <&1 >/dev/null\nread line <{gate}\n", 0o755)
    with Sender(store.home) as sender:
        numbers = [*defer_all(store, sender), store.put([LOCAL, REMOTE], pull=False)]
        assert ctl(store, "move", "-q", slow, *map(str, numbers)).code == 0
        assert ctl(store, "delete", str(numbers[0])).out.startswith(b"#%d  not done: it is ending" % numbers[0])
        sender.kill()
    with open(gate, "w"):
        pass
    write(slow, f"#!/bin/sh\nexec {other.path}\n", 0o755)
    with Sender(store.home) as sender:
        sender.log.ends(2)
        assert not sender.local.has_command()
        assert not sender.remote.has_command()
        gone(store)
    assert len(other.messages) == 2


def test_a_queue_that_hangs_keeps_only_what_it_has_begun(store: Store, tmp_path: Path) -> None:
    os.mkfifo(f"{tmp_path}/gate")
    gate = os.open(f"{tmp_path}/gate", os.O_RDWR | os.O_CLOEXEC)
    hanging = write(f"{tmp_path}/hanging", f"#!/bin/sh\nread line <{tmp_path}/gate\n", 0o755)
    with Sender(store.home) as sender:
        numbers = defer_all(store, sender, 5)
        assert ctl(store, "move", "-q", hanging, *map(str, numbers)).code == 0
        done = ctl(store, "release", *map(str, numbers)).out
        assert (done.count(b"  released\n"), done.count(b"  was not held\n")) == (2, 3)
        assert {sender.local.serve().message for _ in range(2)} == {sender.remote.serve().message for _ in range(2)}
        sender.log.ends(2)
        os.unlink(f"{tmp_path}/gate")  # for one that has not come to it yet
        os.close(gate)
        sender.kill()


def test_a_qmail_that_does_not_run_moves_at_its_next_start(store: Store, other: RecordingQueue) -> None:
    number, kept = store.put([LOCAL, REMOTE], pull=False), store.put([LOCAL, REMOTE], pull=False)
    assert b"at the next start" in ctl(store, "move", "-q", other.path, str(number), str(kept)).out
    assert ctl(store, "release", str(kept)).code == 0
    with Sender(store.home) as sender:
        sender.log.wait("end", msg=str(number))
        for spawner in (sender.local, sender.remote):
            assert spawner.serve().message.endswith(b"/%d" % kept)
        sender.log.wait("end", msg=str(kept))
    assert len(other.messages) == 1


def test_moved_to_its_own_home_a_message_is_taken_up_anew(store: Store) -> None:
    """By the control files of today."""
    with open_door(store.home), Sender(store.home) as sender:
        number = store.put([REMOTE])
        sender.remote.serve(b"Z", b"later\n")
        sender.log.wait("delivery", outcome="deferral")
        write(f"{store.home}/control/locals", "there.example\n")
        before = sender.log.count()
        sender.signal(signal.SIGHUP)
        sender.log.wait("status", after=before)
        assert ctl(store, "move", "-q", store.home, str(number)).code == 0
        assert sender.local.serve().recipient == REMOTE
        sender.log.ends(2)
        gone(store)


def test_nobody_left_is_nothing_to_move(store: Store, other: RecordingQueue) -> None:
    number = store.put([LOCAL], pull=False)
    assert ctl(store, "move", "-q", other.path, str(number)).code == 0
    for name in ("todo", "intd"):
        os.unlink(f"{store.home}/queue/{name}/{number}")
    write(os.fsdecode(store.paths.info(number)), b"F%s\0" % SENDER, 0o600)
    write(os.fsdecode(store.paths.split(b"local", number)), b"D%s\0" % LOCAL, 0o600)
    with Sender(store.home) as sender:
        sender.log.wait("end", msg=str(number))
        gone(store)
    assert other.messages == []


def test_another_qmail_is_named_by_its_home(store: Store, tmp_path: Path) -> None:
    os.mkdir(f"{tmp_path}/second")
    second = Store(new_home(tmp_path / "second"))
    with open_door(second.home), Sender(store.home, environment={"QMAILHOME": store.home}) as sender:
        numbers = defer_all(store, sender, 8)
        done = ctl(store, "move", f"--queue={second.home}", "-y", "1h")
        assert done.out.endswith(b"\non its way: %d\n" % len(numbers))
        sender.log.ends(8)
        gone(store)
        wait_for(lambda: sum(name.startswith("todo/") for name in second.files()) == 8, "all of them there")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 100, b"where to?"),
        (("-q", ""), 100, b"where to?"),
        (("-q", "here"), 111, b"an absolute path is needed"),
        (("-q", "/nonexistent/queue"), 111, b"unable to find a queue program in /nonexistent/queue"),
        (("-q", "/etc"), 111, b"unable to find a queue program in /etc"),
        (("-q", "/etc/passwd"), 111, b"/etc/passwd cannot be executed; nothing was done"),
    ],
)
def test_a_place_that_is_none_is_said_before_anything_is_done(
    store: Store, words: tuple[str, ...], code: int, said: bytes
) -> None:
    number = store.put([LOCAL], pull=False)
    done = ctl(store, "move", *words, str(number))
    assert (done.code, done.out) == (code, b"")
    assert said in done.err
    assert os.listdir(f"{store.home}/queue/orders") == []
