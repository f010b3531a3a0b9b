"""qmail-queuectl: which messages it means, and what qmail-send does about them, at once and at its next start."""

import json
import os
import shutil
from pathlib import Path

import pytest

from qmailpy.disk.queue import orders
from qmailpy.wire import asking
from qmailpy.wire.parameters import Parameters, RecipientParameters
from tests.dialogs.test_answering import ask, defer_all
from tests.inject_support import Done, run
from tests.queue_support import new_home
from tests.send_support import LOCAL, REMOTE, SENDER, Sender, Store
from tests.support import RecordingQueue, wait_for, write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(new_home(tmp_path))


def ctl(store: Store, *words: str) -> Done:
    return run(store.home, "qmail-queuectl", *words)


def waits(store: Store, number: int) -> list[str]:
    """A word for each channel, and what is ordered."""
    texts = ask(store.home, asking.Question(asking.STATE, asking.ANYBODY, [number]))
    assert texts is not None
    return texts[0].decode().split(" ")


# which messages


def listed(done: Done) -> list[int]:
    return sorted(int(line.split(b"#")[1].split()[0]) for line in done.out.splitlines() if b"  #" in line)


def test_messages_are_chosen_by_number_sender_recipient_and_age(store: Store) -> None:
    with Sender(store.home) as sender:
        first = store.put([b"ann@a.example", b"bob@b.example"], sender=b"boss@Here.example")
        second = store.put([b"carl@a.example"], sender=b"")
        for _ in range(3):
            sender.remote.serve(b"Z", b"later\n")
        wait_for(lambda: {"info"} <= store.state(second) and not store.state(second) & {"todo"}, "it to be taken up")
        assert sender.term() == 0
    store.age("info", first, 7200)
    new = store.put([b"dora@d.example"], pull=False)
    for words, expected in (
        ((), [first, second, new]),
        ((str(second),), [second]),
        ((f"#{second}", str(new)), [second, new]),
        (("-s", "boss@here.*"), [first]),
        (("-s", "@here.example"), [first, new]),
        (("--sender=<>",), [second]),
        (("-r", "@a.example"), [first, second]),
        (("-r", "bob@*", "-r", "dora@*"), [first, new]),
        (("-r", "@a.example", "-s", "boss@*"), [first]),
        (("-o", "1h"), [first]),
        (("--younger=1h",), [second, new]),
        (("-H",), []),
    ):
        numbers = [word for word in words if word.lstrip("#").isdigit()]
        options = [word for word in words if word not in numbers]
        done = ctl(store, *options, "list", *numbers)
        assert (listed(done), done.err) == (sorted(expected), b""), words
        assert done.code == (0 if expected else 1)
    shown = ctl(store, "--show", str(first)).out.decode()
    assert f"  #{first}  {len(store.read('mess', first))}  <boss@Here.example>\n" in shown
    assert "\tremote\tann@a.example\n" in shown
    assert f"\tfile\t{os.fsdecode(store.paths.mess(first))}\n" in shown
    assert ctl(store, "cat", str(first)).out == store.read("mess", first)
    told = [json.loads(line) for line in ctl(store, "-j", "list").out.splitlines()]
    assert {each["id"]: (each["state"], each["held"]) for each in told} == {
        first: ("queued", False),
        second: ("queued", False),
        new: ("new", False),
    }


def test_a_number_that_is_not_there_is_said_whatever_is_asked(store: Store) -> None:
    there = store.put([b"ann@a.example"], pull=False)
    for command in ("list", "show", "cat"):
        done = ctl(store, command, "99", str(there))
        assert (done.code, done.err) == (1, b"#99  no such message\n"), command
        assert done.out


@pytest.mark.parametrize(
    "words",
    [
        ("frob",),
        ("-x",),
        ("--frob",),
        ("--sender",),
        ("delete",),
        ("hold",),
        ("show",),
        ("-o", "soon", "list"),
        ("hold", "12x"),
        ("hold", "1" * 30),
    ],
)
def test_usage(store: Store, words: tuple[str, ...]) -> None:
    done = ctl(store, *words)
    assert (done.code, done.out) == (100, b"")
    assert b"usage: qmail-queuectl" in done.err


# orders to a running qmail-send


def test_a_held_message_waits_until_it_is_released_through_restarts(store: Store) -> None:
    with Sender(store.home) as sender:
        first, second = defer_all(store, sender, 2)
        done = ctl(store, "hold", str(first))
        assert (done.code, done.out) == (0, b"#%d  held\nheld: 1\n" % first)
        sender.log.wait("order", msg=str(first), what="hold")
        assert waits(store, first) == ["now", "now", "h"]
        assert ctl(store, "retry", str(first)).code == 1
        sender.signal(14)
        assert [spawner.serve(b"Z").message.endswith(b"/%d" % second) for spawner in (sender.local, sender.remote)]
        assert sender.local.is_quiet()
        assert listed(ctl(store, "-H")) == [first]
        assert sender.term() == 0
    with Sender(store.home) as sender:
        sender.wait_started()
        sender.signal(14)
        assert [spawner.serve(b"Z").message.endswith(b"/%d" % second) for spawner in (sender.local, sender.remote)]
        assert sender.local.is_quiet()
        assert ctl(store, "release", str(first), str(second)).out == (
            b"".join(
                b"#%d  %s\n" % (number, b"released" if number == first else b"was not held")
                for number in sorted((first, second))
            )
            + b"".join(word + b": 1\n" for word in ([b"released", b"was not held"][:: 1 if first < second else -1]))
        )
        for spawner in (sender.local, sender.remote):
            assert spawner.serve().message.endswith(b"/%d" % first)
        sender.log.wait("end", msg=str(first))
    assert os.listdir(f"{store.home}/queue/orders") == []


def test_a_message_that_is_held_while_it_is_tried_is_not_tried_further(store: Store) -> None:
    many = [b"%d@there.example" % at for at in range(5)]
    write(f"{store.home}/control/concurrencyremote", "2")
    with Sender(store.home) as sender:
        number = store.put(many)
        running = [sender.remote.command() for _ in range(2)]
        assert ctl(store, "hold", str(number)).code == 0
        for command in running:
            sender.remote.report(command.slot, b"K", b"ok\n")
        wait_for(lambda: waits(store, number) == ["-", "now", "h"], "rest")
        assert sender.remote.is_quiet()
        assert ctl(store, "release", "-a").code == 0
        assert sorted(sender.remote.serve().recipient for _ in range(3)) == sorted(
            set(many) - {command.recipient for command in running}
        )
        sender.log.ends(1)


def test_a_deleted_message_is_gone_without_a_bounce(store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(str(tmp_path / "bounces"))
    with Sender(store.home, environment=bounces.environment) as sender:
        number = store.put([LOCAL, REMOTE, b"no@there.example"])
        sender.local.serve(b"Z", b"later\n")
        for _ in range(2):
            command = sender.remote.command()
            sender.remote.report(command.slot, b"D" if command.recipient.startswith(b"no@") else b"Z", b"no\n")
        wait_for(lambda: "bounce" in store.state(number), "the failure")
        wait_for(lambda: "running" not in waits(store, number), "rest")
        assert ctl(store, "-n", "delete", str(number)).out == b"#%d  would be deleted\nwould be deleted: 1\n" % number
        assert "info" in store.state(number)
        done = ctl(store, "delete", str(number))
        assert (done.code, done.out) == (0, b"#%d  deleted\ndeleted: 1\n" % number)
        sender.log.wait("order", msg=str(number), what="delete")
        sender.log.wait("end", msg=str(number))
        wait_for(lambda: store.files() == [], "an empty queue")
        assert ctl(store, "delete", str(number)).out == b"#%d  no such message\nno such message: 1\n" % number
    assert bounces.messages == []


def test_what_is_under_way_ends_before_its_message_is_deleted(store: Store) -> None:
    with Sender(store.home) as sender:
        number = store.put([LOCAL, b"x@mx.example.org"])
        commands = [sender.local.command() for _ in range(2)]
        wait_for(lambda: "todo" not in store.state(number), "it to be taken up")
        done = ctl(store, "--json", "delete", str(number))
        assert done.code == 0
        (told,) = json.loads(done.out)["messages"]
        assert told == {"id": number, "result": "later, when what is under way has ended"}
        for command in commands:
            sender.local.report(command.slot, b"Z", b"later\n")
        sender.log.wait("end", msg=str(number))
        wait_for(lambda: store.files() == [], "an empty queue")
        assert os.listdir(f"{store.home}/queue/orders") == []


def test_what_fails_while_its_message_is_to_be_deleted_is_told_to_nobody(store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(str(tmp_path / "bounces"))
    with Sender(store.home, environment=bounces.environment) as sender:
        number = store.put([LOCAL])
        command = sender.local.command()
        assert b"later" in ctl(store, "delete", str(number)).out
        sender.local.report(command.slot, b"D", b"no\n")
        sender.log.wait("end", msg=str(number))
        assert store.files() == [] or wait_for(lambda: store.files() == [], "an empty queue")
    assert bounces.messages == []


def test_a_delivery_under_way_that_succeeds_ends_its_message_and_the_order(store: Store) -> None:
    with Sender(store.home) as sender:
        number = store.put([LOCAL])
        command = sender.local.command()
        assert ctl(store, "hold", str(number)).code == 0
        sender.local.report(command.slot, b"K", b"ok\n")
        sender.log.wait("end", msg=str(number))
        assert os.listdir(f"{store.home}/queue/orders") == []


def test_who_is_failed_is_in_the_bounce_with_the_reason_given(store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(str(tmp_path / "bounces"))
    with Sender(store.home, environment=bounces.environment) as sender:
        (number,) = defer_all(store, sender)
        done = ctl(store, "-t", "no more of this (#5.7.1)", "bounce", str(number))
        assert (done.code, done.out) == (0, b"#%d  failed\nfailed: 1\n" % number)
        sender.log.wait("order", msg=str(number), what="bounce", words="no_more_of_this_(#5.7.1)")
        sender.log.wait("end", msg=str(number))
    ((message, envelope),) = bounces.messages
    assert envelope == b"F\0T%s\0\0" % SENDER
    for recipient in (LOCAL, REMOTE):
        assert b"<%s>:\nno more of this (#5.7.1)\n\n" % recipient in message


def test_a_thousand_recipients_fail_in_pieces_and_those_who_do_not_want_to_hear_do_not(
    store: Store, tmp_path: Path
) -> None:
    bounces = RecordingQueue(str(tmp_path / "bounces"))
    many = [b"%d@there.example" % at for at in range(450)]
    write(f"{store.home}/control/concurrencyremote", "0")
    never = RecipientParameters.parse(b"NOTIFY=NEVER")
    with Sender(store.home, environment=bounces.environment) as sender:
        number = store.put(many, parameters=Parameters(None, [never if at == 7 else None for at in range(450)]))
        wait_for(lambda: "todo" not in store.state(number) and "info" in store.state(number), "it to be taken up")
        assert ctl(store, "bounce", "-t", "x", str(number)).code == 0
        sender.log.wait("end", msg=str(number))
        sender.log.wait("unwanted", msg=str(number))
    ((message, _),) = bounces.messages
    assert [recipient for recipient in many if b"<%s>:\nx\n\n" % recipient not in message] == [many[7]]


def test_messages_that_wait_for_a_slot_and_new_ones_can_be_deleted(store: Store) -> None:
    write(f"{store.home}/control/concurrencylocal", "1")
    write(f"{store.home}/control/concurrencyremote", "0")
    with Sender(store.home) as sender:
        kept = store.put([LOCAL])
        command = sender.local.command()
        straight = [store.put([LOCAL]) for _ in range(3)]
        others = [store.put([LOCAL, REMOTE]) for _ in range(3)]
        for number in others:
            wait_for(lambda number=number: "info" in store.state(number), "it to be taken up")  # type: ignore[misc]
        assert ctl(store, "delete", *(str(number) for number in (*straight, *others))).code == 0
        sender.log.ends(6)
        wait_for(lambda: {int(name.rpartition("/")[2]) for name in store.files()} == {kept}, "the others' end")
        sender.local.report(command.slot, b"K", b"ok\n")
        sender.log.ends(7)
        assert sender.local.is_quiet()


def test_an_order_is_for_the_message_that_was_meant(store: Store) -> None:
    with Sender(store.home) as sender:
        (number,) = defer_all(store, sender)
        key = orders.key_of(store.paths, number)
        assert key is not None
        wrong = asking.Question(asking.DELETE, asking.ANYBODY, [number], [key + 1])
        assert ask(store.home, wrong) == [b""]
        assert "info" in store.state(number)
        right = asking.Question(asking.DELETE, asking.ANYBODY, [number], [key])
        assert ask(store.home, right) == [asking.DONE]
        sender.log.wait("end", msg=str(number))


@pytest.mark.parametrize("content", [b"", b"h", b"h12 \0", b"h12 ", b"x12 \0", b"hx \0", b"\xff" * 5000])
def test_an_order_that_is_torn_or_for_another_message_is_forgotten(store: Store, content: bytes) -> None:
    number = store.put([LOCAL, REMOTE], pull=False)
    write(f"{store.home}/queue/orders/{number}", content, 0o600)
    with Sender(store.home) as sender:
        for spawner in (sender.local, sender.remote):
            spawner.serve()
        sender.log.ends(1)
    assert os.listdir(f"{store.home}/queue/orders") == []


def test_a_copy_that_knows_whole_seconds_only_keeps_what_was_held(store: Store) -> None:
    """As tar makes it."""
    held = store.put([LOCAL, REMOTE], pull=False)
    assert ctl(store, "hold", str(held)).code == 0
    when = os.stat(store.paths.mess(held)).st_mtime_ns // 10**9
    os.utime(store.paths.mess(held), (when, when))
    with Sender(store.home) as sender:
        sender.wait_started()
        assert sender.local.is_quiet()
        assert sender.term() == 0
    os.utime(store.paths.mess(held), (when + 1, when + 1))
    with Sender(store.home) as sender:
        sender.local.serve()
        sender.remote.serve()
        sender.log.ends(1)


VERBS = {  # what is answered while it is tried, the exit code, and what happens afterwards
    "hold": (b"held", 0),
    "delete": (b"later, when what is under way has ended", 0),
    "bounce": (b"later, when what is under way has ended", 0),
    "retry": (b"does not wait: it is held, being tried, or gone", 1),
    "move": (b"on its way", 0),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_order_by_every_choice_while_the_message_is_tried(store: Store, tmp_path: Path, verb: str) -> None:
    bounces, other = RecordingQueue(f"{tmp_path}/bounces"), RecordingQueue(f"{tmp_path}/other")
    words = ["-q", other.path] if verb == "move" else []
    answer, code = VERBS[verb]
    with Sender(store.home, environment=bounces.environment) as sender:
        by_number, by_sender, by_recipient, by_age, spared = numbers = [
            store.put([b"%d@there.example" % at, b"%d@else.example" % at], b"s%d@here.example" % at) for at in range(5)
        ]
        commands = [sender.remote.command() for _ in range(10)]
        for number in numbers:
            wait_for(lambda number=number: "todo" not in store.state(number), "it to be taken up")  # type: ignore[misc]
        store.age("info", by_age, 7200)
        for choice, number in (
            ([str(by_number)], by_number),
            (["-s", "S1@HERE.*"], by_sender),
            (["-r", "2@else.example"], by_recipient),
            (["-o", "1h"], by_age),
        ):
            done = ctl(store, verb, *words, *choice)
            assert (done.code, done.out) == (code, b"#%d  %s\n%s: 1\n" % (number, answer, answer))
        for command in commands:
            sender.remote.report(command.slot, b"Z", b"later\n")
        chosen = numbers[:-1]
        if verb in ("delete", "bounce", "move"):
            sender.log.ends(4)
            wait_for(lambda: {int(name.rpartition("/")[2]) for name in store.files()} == {spared}, "the others' end")
        else:
            wait_for(lambda: [waits(store, number)[1] == "running" for number in numbers] == [False] * 5, "rest")
        assert len(bounces.messages) == (4 if verb == "bounce" else 0)
        assert len(other.messages) == (4 if verb == "move" else 0)
        if verb == "hold":
            assert [waits(store, number)[2:] for number in numbers] == [["h"]] * 4 + [[]]
            assert ctl(store, "release", "-H").code == 0
            assert sorted(sender.remote.serve().message for _ in range(8)) == sorted(
                b"%d/%d" % (number % 23, number) for number in chosen for _ in range(2)
            )
        elif verb == "retry":
            assert ctl(store, "retry", "-s", "s?@here.example", str(by_age)).code == 1
            assert ctl(store, "retry", *map(str, chosen)).code == 0
            assert len({sender.remote.serve().message for _ in range(8)}) == 4
        assert sender.remote.is_quiet()
        assert waits(store, spared)[1].isdigit()


def test_orders_for_a_qmail_send_that_does_not_run_are_done_when_it_starts(store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(str(tmp_path / "bounces"))
    held, deleted, failed, freed = (store.put([LOCAL, REMOTE], pull=False) for _ in range(4))
    assert ctl(store, "hold", str(held), str(freed)).code == 0
    assert ctl(store, "release", str(freed)).code == 0
    assert b"at the next start of qmail-send" in ctl(store, "delete", str(deleted)).out
    assert ctl(store, "-t", "no" * 5000, "bounce", str(failed)).code == 0
    assert ctl(store, "retry", str(failed)).code == 111
    with Sender(store.home, environment=bounces.environment) as sender:
        for spawner in (sender.local, sender.remote):
            assert spawner.serve().message.endswith(b"/%d" % freed)
        sender.log.ends(3)
        assert sender.local.is_quiet()
        assert ": delete" in sender.log.text()
    assert [b"<%s>:\n%s\n\n" % (LOCAL, b"no" * 500) in message for message, _ in bounces.messages] == [True]
    assert {name.rpartition("/")[2] for name in store.files()} == {str(held)}


def test_it_says_when_qmail_send_can_keep_no_orders(store: Store) -> None:
    """A home whose queue an older version has made."""
    shutil.rmtree(f"{store.home}/queue/orders")
    with Sender(store.home) as sender:
        (number,) = defer_all(store, sender)
        done = ctl(store, "hold", str(number))
        assert done.code == 1
        assert b"not done: orders/%d: " % number in done.out
        assert ctl(store, "delete", str(number)).code == 0
        sender.log.wait("end", msg=str(number))


def test_an_order_killed_at_any_moment_is_done_or_not_begun(store: Store) -> None:
    """After a kill the order in orders/ is carried out by the next start."""
    with Sender(store.home) as sender:
        number = store.put([LOCAL, b"x@mx.example.org"])
        commands = [sender.local.command() for _ in range(2)]
        wait_for(lambda: "todo" not in store.state(number), "it to be taken up")
        assert ctl(store, "delete", str(number)).code == 0
        assert commands
        sender.kill()
    with Sender(store.home) as sender:
        sender.log.wait("end", msg=str(number))
        assert sender.local.is_quiet()
    assert store.files() == []


def test_records_of_orders_say_the_same_when_they_are_read() -> None:
    for order in (orders.Order(orders.HOLD, 1), orders.Order(orders.FAIL, 2**63, b"a b\n c")):
        decoded = orders.decode(order.encode())
        assert decoded is not None
        assert (decoded.letter, decoded.key, decoded.text) == (order.letter, order.key, order.text)
    assert not orders.letters(Store("/nowhere").paths)
