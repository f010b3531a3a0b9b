"""qmail-send and domains that may not have all of the remote channel; and a queue that was full before it started."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dialogs.test_queuectl import waits
from tests.inject_support import run
from tests.send_support import LOCAL, SENDER, Sender, Store, senders
from tests.support import RecordingQueue, bare_home, wait_for, write

Start = Callable[..., Sender]
NOBODY = {"QMAILQUEUE": "/bin/false"}


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


def control(store: Store, **files: str) -> None:
    for name, content in files.items():
        write(f"{store.home}/control/{name}", content + "\n")


def reread(sender: Sender) -> None:
    """A HUP, and the status line that says that it was obeyed."""
    before = sender.log.count()
    sender.signal(signal.SIGHUP)
    sender.log.wait("status", after=before)


def gone(store: Store) -> None:
    wait_for(lambda: not store.files(), "an empty queue")


def test_a_slow_domain_has_its_share_and_the_others_do_not_wait(start: Start, store: Store) -> None:
    control(store, concurrencydomain="slow.example:2")
    sender = start()
    numbers = [store.put([b"u%d@Slow.Example" % at]) for at in range(6)]
    slow = [sender.remote.command(), sender.remote.command()]
    assert {command.recipient[2:] for command in slow} == {b"@Slow.Example"}
    fast = [store.put([b"x%d@fast.example" % at]) for at in range(5)]
    for _ in fast:
        assert sender.remote.serve().recipient.endswith(b"@fast.example")
    sender.log.ends(len(fast))
    assert sender.log.wait("busy", domain="slow.example").limit == "2"
    wait_for(lambda: [waits(store, number)[1] for number in numbers].count("busy") == 4, "all others to be parked")
    told = [json.loads(line) for line in run(store.home, "qmail-queuectl", "-j", "list").out.splitlines()]
    assert sum(each.get("next_remote") == "busy" for each in told) == 4
    for _ in range(4):
        sender.remote.report(slow.pop(0).slot, b"K", b"")
        slow.append(sender.remote.command())
        assert slow[-1].recipient.endswith(b"@Slow.Example")
        assert not sender.remote.has_command()
    for command in slow:
        sender.remote.report(command.slot, b"K", b"")
    sender.log.ends(len(fast) + len(numbers))
    gone(store)


def test_a_domain_that_is_busy_again_and_again_is_said_once_an_hour(start: Start, store: Store) -> None:
    control(store, concurrencydomain="slow.example:1")
    sender = start()
    for _ in range(3):
        store.put([b"u1@slow.example"])
        command = sender.remote.command()
        number = store.put([b"u2@slow.example"])
        wait_for(lambda number=number: waits(store, number)[1] == "busy", "it to be parked")  # type: ignore[misc]
        sender.remote.report(command.slot, b"K", b"")
        sender.remote.serve()
        gone(store)
    assert [line.domain for line in sender.log.lines if line.kind == "busy"] == ["slow.example"]


def test_one_message_to_many_of_a_slow_domain_goes_on_in_its_share(start: Start, store: Store) -> None:
    control(store, concurrencydomain=".slow.example:3")
    sender = start()
    recipients = [b"u%d@mx.slow.example" % at for at in range(40)]
    others = [b"x%d@fast.example" % at for at in range(10)]
    mixed = [address for pair in zip(recipients, others, strict=False) for address in pair] + recipients[10:]
    store.put(mixed)
    seen: list[bytes] = []
    slow = []
    while len(seen) < len(mixed):
        command = sender.remote.command()
        seen.append(command.recipient)
        if command.recipient.endswith(b"slow.example"):
            slow.append(command)
            assert len(slow) <= 3
        else:
            sender.remote.report(command.slot, b"K", b"")
        if len(slow) == 3 and len([one for one in seen if one.endswith(b"fast.example")]) == len(others):
            sender.remote.report(slow.pop(0).slot, b"K", b"")
    for command in slow:
        sender.remote.report(command.slot, b"K", b"")
    assert sorted(seen) == sorted(mixed), "each of them once"
    sender.log.ends(1)
    gone(store)


def test_a_deferral_within_the_share_is_tried_again_at_its_time(start: Start, store: Store) -> None:
    control(store, concurrencydomain="*:1")
    sender = start()
    number = store.put([b"a@slow.example", b"b@slow.example", b"c@fast.example"])
    for _ in range(3):
        sender.remote.serve(b"Z", b"later\n")
    wait_for(lambda: sum(line.kind == "delivery" for line in sender.log.lines) == 3, "three reports")
    assert sender.remote.is_quiet()
    sender.signal(signal.SIGALRM)
    assert sorted(sender.remote.serve().recipient for _ in range(3)) == [
        b"a@slow.example",
        b"b@slow.example",
        b"c@fast.example",
    ]
    sender.log.wait("end", msg=str(number))
    gone(store)


def test_held_domains_wait_until_they_are_released(start: Start, store: Store) -> None:
    control(store, holddomains="*.dead.example\n!not.dead.example")
    sender = start()
    held = store.put([b"a@mx.dead.example", b"b@not.dead.example", LOCAL])
    alone = store.put([b"c@mx.dead.example"])
    assert sender.remote.serve().recipient == b"b@not.dead.example"
    sender.local.serve()
    for number in (held, alone):
        sender.log.wait("held", msg=str(number), domain="mx.dead.example")
        wait_for(lambda number=number: waits(store, number) == ["-", "held"], "its rest")  # type: ignore[misc]
    shown = run(store.home, "qmail-queuectl", "list", str(alone)).out
    assert b"\tnext\tremote\twhen its domain is no longer held (control/holddomains)\n" in shown
    sender.signal(signal.SIGALRM)
    assert sender.remote.is_quiet()
    sender.term()
    sender = start()
    for number in (held, alone):
        sender.log.wait("held", msg=str(number), domain="mx.dead.example")
    control(store, holddomains="")
    reread(sender)
    assert {sender.remote.serve().recipient for _ in range(2)} == {b"a@mx.dead.example", b"c@mx.dead.example"}
    sender.log.ends(2)
    gone(store)


def test_mail_of_a_held_domain_obeys_orders(start: Start, store: Store, tmp_path: Path) -> None:
    """The host is gone for good, say."""
    bounces, other = RecordingQueue(f"{tmp_path}/bounces"), RecordingQueue(f"{tmp_path}/other")
    control(store, holddomains="dead.example")
    sender = start(environment=bounces.environment)
    failed, _, moved, held = numbers = [store.put([b"u%d@dead.example" % at]) for at in range(4)]
    for number in numbers:
        sender.log.wait("held", msg=str(number))
        wait_for(lambda number=number: waits(store, number) == ["-", "held"], "its rest")  # type: ignore[misc]
    for words in (
        ["bounce", str(failed)],
        ["delete", "-r", "u1@dead.example"],
        ["move", "-q", other.path, str(moved)],
        ["hold", str(held)],
    ):
        assert run(store.home, "qmail-queuectl", *words).code == 0
    assert run(store.home, "qmail-queuectl", "retry", str(held)).code == 1
    sender.log.ends(3)
    wait_for(lambda: {int(name.rpartition("/")[2]) for name in store.files()} == {held}, "the others' end")
    assert (len(bounces.messages), len(other.messages)) == (1, 1)
    control(store, holddomains="")
    reread(sender)
    assert sender.remote.is_quiet()
    assert run(store.home, "qmail-queuectl", "release", str(held)).code == 0
    sender.remote.serve()
    gone(store)


def test_a_domain_can_be_held_while_its_mail_is_under_way(start: Start, store: Store) -> None:
    control(store, concurrencydomain="slow.example:1")
    sender = start()
    store.put([b"u%d@slow.example" % at for at in range(3)])
    first = sender.remote.command()
    control(store, holddomains="slow.example")
    reread(sender)
    sender.remote.report(first.slot, b"K", b"")
    assert sender.remote.is_quiet()
    control(store, holddomains="")
    reread(sender)
    for _ in range(2):
        sender.remote.serve()
    sender.log.ends(1)
    gone(store)


def test_a_pass_that_waits_for_room_ends_when_its_domain_is_held(start: Start, store: Store) -> None:
    control(store, concurrencydomain="slow.example:1")
    sender = start()
    recipients = [b"u%d@slow.example" % at for at in range(4)]
    store.put([*recipients, b"x@fast.example"])
    seen = [sender.remote.command(), sender.remote.command()]
    for command in seen:
        sender.remote.report(command.slot, b"K" if b"slow" in command.recipient else b"Z", b"")
    seen.append(sender.remote.command())  # of the pass for this domain only; there are two more
    control(store, holddomains="slow.example")
    reread(sender)
    sender.log.wait("held", domain="slow.example")
    sender.remote.report(seen[-1].slot, b"K", b"")
    wait_for(
        lambda: sender.log.text().endswith("remote 0/20"), "the end of all of them"
    )  # until then it is not waiting
    sender.signal(signal.SIGALRM)
    assert sender.remote.serve().recipient == b"x@fast.example"
    assert sender.remote.is_quiet()
    control(store, holddomains="")
    reread(sender)
    left = {sender.remote.serve().recipient for _ in range(2)}
    assert left == set(recipients) - {command.recipient for command in seen}
    sender.log.ends(1)
    gone(store)


def test_a_message_in_two_held_domains_loses_nobody(start: Start, store: Store) -> None:
    control(store, holddomains="a.example\nb.example", concurrencydomain="*:1")
    sender = start()
    recipients = [b"%d@%s.example" % (at, name) for at in range(3) for name in (b"a", b"b", b"c")]
    store.put(recipients)
    seen = [sender.remote.serve().recipient for _ in range(3)]
    assert sender.remote.is_quiet()
    for left in ("b.example", ""):
        control(store, holddomains=left)
        reread(sender)
        seen += [sender.remote.serve().recipient for _ in range(3)]
    assert sorted(seen) == sorted(recipients)
    sender.log.ends(1)
    gone(store)


def test_what_is_parked_survives_the_end_of_us(start: Start, store: Store) -> None:
    control(store, concurrencydomain="slow.example:1")
    sender = start()
    for at in range(4):
        store.put([b"u%d@slow.example" % at, b"v%d@slow.example" % at])
    command = sender.remote.command()
    sender.log.wait("busy", domain="slow.example")
    sender.signal(signal.SIGTERM)
    sender.remote.report(command.slot, b"K", b"")
    assert sender.wait() == 0
    sender = start()
    seen = [sender.remote.serve().recipient for _ in range(7)]
    assert command.recipient not in seen
    assert len(set(seen)) == 7
    gone(store)


def test_a_hup_changes_how_many_deliveries_there_may_be(start: Start, store: Store) -> None:
    control(store, concurrencyremote="3")
    sender = start()
    for at in range(6):
        store.put([b"u%d@there.example" % at])
    running = [sender.remote.command() for _ in range(3)]
    control(store, concurrencyremote="1")
    reread(sender)
    for command in running[:2]:
        sender.remote.report(command.slot, b"K", b"")
    sender.log.ends(2)
    assert sender.remote.is_quiet()
    control(store, concurrencyremote="5")
    reread(sender)
    running = [running[2], *(sender.remote.command() for _ in range(3))]
    assert len({command.slot for command in running}) == 4
    for command in running:
        sender.remote.report(command.slot, b"K", b"")
    gone(store)


def test_a_hup_that_finds_nonsense_changes_nothing(start: Start, store: Store) -> None:
    sender = start()
    control(store, locals="new.example", bounceformat="html")
    sender.signal(signal.SIGHUP)
    words = "control/bounceformat is neither qsbmf nor dsn; the old control files stay in use, all of them"
    sender.log.wait("alert", words=words)
    store.put([LOCAL])
    sender.local.serve()
    gone(store)


def test_nonsense_at_the_start_counts_as_missing_aloud(start: Start, store: Store) -> None:
    control(store, bounceformat="html")
    sender = start()
    sender.log.wait("alert", words="control/bounceformat is neither qsbmf nor dsn; it counts as missing")
    store.put([LOCAL])
    sender.local.serve()
    gone(store)


# a full queue


def fill(store: Store, count: int, *, due: int) -> None:
    """So many messages in S5, with one remote recipient, as if they had been deferred.  due: seconds from now."""
    when = int(time.time()) + due
    for number in range(10_000_000, 10_000_000 + count):
        name = f"{number % 23}/{number}"
        write(f"{store.home}/queue/mess/{name}", "x\n")
        write(f"{store.home}/queue/info/{name}", f"F{SENDER.decode()}\0")
        path = write(f"{store.home}/queue/remote/{name}", f"Tu{number}@dead{number % 500}.example\0")
        os.utime(path, (when, when))


def test_a_full_queue_is_read_while_new_mail_is_delivered(start: Start, store: Store) -> None:
    fill(store, 3000, due=10_000)
    begun = time.monotonic()
    sender = start(environment=NOBODY)
    store.put([LOCAL])
    sender.local.serve()
    sender.log.ends(1)
    assert time.monotonic() - begun < 10
    sender.signal(signal.SIGALRM)
    seen = {sender.remote.serve().recipient for _ in range(3000)}
    assert len(seen) == 3000, "also those that had not been read when everything was to be tried"


def test_a_full_queue_to_a_held_domain_delays_nobody(start: Start, store: Store) -> None:
    control(store, holddomains="*.example\n!free.example")
    fill(store, 2000, due=-1)
    sender = start(environment=NOBODY)
    store.put([b"x@free.example"])
    assert sender.remote.serve().recipient == b"x@free.example"
    sender.log.ends(1)
    wait_for(lambda: sum(line.kind == "held" for line in sender.log.lines) == 2000, "all to be parked")
    assert sender.remote.is_quiet()
