"""What qmail-send says and does when a file, a directory or a neighbour is not as it should be (spec/04 8)."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qmailpy.disk.queue.entering import pull_trigger
from tests.send_support import LOCAL, REMOTE, SENDER, Sender, Store, senders
from tests.support import RecordingQueue, bare_home, wait_for, write

Start = Callable[..., Sender]


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(f"{tmp_path}/home")


@pytest.fixture
def store(home: str) -> Store:
    return Store(home)


@pytest.fixture
def start(home: str) -> Iterator[Start]:
    """Starts a qmail-send, and ends them all after the test."""
    with senders(home, waits=False) as start:
        yield start


def path(store: Store, name: str, number: int) -> str:
    """Of a file of a message in one of the split directories."""
    return os.fsdecode(store.paths.split(name.encode(), number))


def gone(store: Store, number: int) -> None:
    wait_for(lambda: not store.state(number), "the end of it")


def deliver_one(sender: Sender, store: Store) -> None:
    """Whatever is wrong with others, a new message goes its way."""
    number = store.put([b"well@mx.example.org"])
    assert sender.local.serve().recipient == b"well@mx.example.org"
    sender.log.wait("end", msg=str(number))


def in_s5(store: Store, *, local: bytes = b"", remote: bytes = b"") -> int:
    """A message that was taken up before we start, due for a second."""
    number = store.put([LOCAL], pull=False)
    for name in ("todo", "intd"):
        os.unlink(f"{store.home}/queue/{name}/{number}")
    write(path(store, "info", number), b"F%s\0" % SENDER, 0o600)
    for name, content in (("local", local), ("remote", remote)):
        if content:
            write(path(store, name, number), content, 0o600)
            store.age(name, number, 1)
    return number


def _loop(where: str) -> None:
    """A file that is there and can be neither opened nor looked at."""
    if os.path.lexists(where):
        os.unlink(where)
    os.symlink(where, where)


def _folder(where: str) -> None:
    """A file that can be opened, and neither read, written nor removed."""
    if os.path.lexists(where):
        os.unlink(where)
    os.mkdir(where)


def _record(content: bytes) -> Callable[[Store, int], None]:
    def happen(store: Store, number: int) -> None:
        write(path(store, "local", number), content)
        store.age("local", number, 1)

    return happen


# what is wrong with a message that waits at the start -> what is said; %s is its file's place, S/N
FAULTS: dict[str, tuple[Callable[[Store, int], None], str]] = {
    "no sender": (
        lambda store, number: _folder(path(store, "info", number)),
        "trouble opening info/%s; will try again later",
    ),
    "recipients that cannot be looked at": (
        lambda store, number: _loop(path(store, "local", number)),
        "unable to stat local/%s; will try again later",
    ),
    "recipients that cannot be read": (
        lambda store, number: _folder(path(store, "local", number)),
        "trouble reading local/%s; will try again later",
    ),
    "a record of no known type": (
        _record(b"Qa@b\0"),
        "unknown record type in local/%s!",
    ),
    "a record that was cut off": (
        _record(b"Ta@b"),
        "unknown record type in local/%s!",
    ),
    "no text": (lambda store, number: os.unlink(path(store, "mess", number)), "unable to stat mess/%s; will*"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_message_that_cannot_be_tried_is_said_and_kept_and_delays_nobody(
    start: Start, store: Store, fault: str
) -> None:
    happen, words = FAULTS[fault]
    number = in_s5(store, local=b"Tjoe@mx.example.org\0")
    happen(store, number)
    before = store.state(number)
    sender = start()
    said = words.replace("%s", f"{number % 23}/{number}")
    sender.log.wait("warning", words=said)
    deliver_one(sender, store)
    assert sender.term() == 0
    assert store.state(number) == before
    assert [line.kind for line in sender.log.lines if line.text.startswith("alert")] == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda store, number: _loop(f"{store.home}/queue/todo/{number}"), "unable to open todo/{0}"),
        (lambda store, number: _folder(f"{store.home}/queue/todo/{number}"), "trouble reading todo/{0}"),
        (lambda store, number: os.unlink(path(store, "mess", number)), "unable to stat mess/{1}/{0}"),
        (lambda store, number: _folder(path(store, "info", number)), "unable to unlink info/{1}/{0}"),
    ],
)
def test_a_new_message_that_cannot_be_taken_up_is_said_and_kept(
    start: Start, store: Store, spoil: Callable[[Store, int], None], words: str
) -> None:
    number = store.put([LOCAL, REMOTE], pull=False)
    spoil(store, number)
    before = store.state(number)
    sender = start()
    sender.log.wait("warning", words=words.format(number, number % 23))
    deliver_one(sender, store)
    assert sender.term() == 0
    assert store.state(number) == before


def test_a_mark_that_cannot_be_made_is_said(start: Start, store: Store) -> None:
    number = in_s5(store, local=b"Tjoe@mx.example.org\0Tann@mx.example.org\0")
    sender = start()
    first, second = sender.local.command(), sender.local.command()
    _folder(path(store, "local", number))
    sender.local.report(first.slot, b"K", b"ok\n")
    where = f"local/{number % 23}/{number}"
    sender.log.wait("warning", words=f"trouble marking {where}; message will be delivered twice!")
    sender.local.report(second.slot, b"K", b"ok\n")
    sender.log.wait("warning", words=f"unable to unlink {where}; will try again later")
    deliver_one(sender, store)
    assert not any(line.kind == "end" and line.msg == str(number) for line in sender.log.lines)


def test_what_could_not_be_removed_is_tried_again_in_two_minutes(start: Start, store: Store) -> None:
    """And not only when the message would be due, which may be days later: nobody is left to deliver it to."""
    number = in_s5(store, remote=b"Tyou@there.example\0")
    birth = 500_000
    store.age("info", number, birth)
    sender = start()
    command = sender.remote.command()
    _folder(path(store, "remote", number))
    sender.remote.report(command.slot, b"K", b"ok\n")
    sender.log.wait("warning", words="unable to unlink*")
    deliver_one(sender, store)
    before = os.stat(path(store, "info", number)).st_mtime + birth
    assert sender.term() == 0
    assert 100 < store.mtime("remote", number) - before < 140


def test_a_time_that_cannot_be_kept_is_said(start: Start, store: Store) -> None:
    number = in_s5(store, local=b"Tjoe@mx.example.org\0")
    sender = start()
    sender.local.serve(b"Z", b"later\n")
    sender.log.wait("delivery", outcome="deferral")
    _loop(path(store, "local", number))
    assert sender.term() == 0
    where = f"local/{number % 23}/{number}"
    assert f"warning: unable to utime {where}; message will be retried too soon" in sender.lines()


def test_a_failure_that_cannot_be_kept_is_an_alert_and_is_not_forgotten(
    start: Start, store: Store, tmp_path: Path
) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    number = in_s5(store, remote=b"Tyou@there.example\0")
    _folder(f"{store.home}/queue/bounce/{number}")
    sender = start(environment=bounces.environment)
    sender.remote.serve(b"D", b"no\n")
    sender.log.wait("alert", words="unable to append to bounce message; HELP! sleeping...")
    deliver_one(sender, store)
    assert sender.term() == 0
    assert store.read("remote", number) == b"Tyou@there.example\0", "not marked before the failure is on disk"
    os.rmdir(f"{store.home}/queue/bounce/{number}")
    sender = start(environment=bounces.environment)
    sender.remote.serve(b"D", b"no\n")
    gone(store, number)
    assert len(bounces.messages) == 1


@pytest.mark.parametrize("name", ["info/5", "todo"])
def test_a_directory_that_cannot_be_listed_at_the_start_is_an_alert_and_nothing_is_lost(
    start: Start, store: Store, name: str
) -> None:
    number = in_s5(store, local=b"Tjoe@mx.example.org\0")
    os.rename(f"{store.home}/queue/{name}", f"{store.home}/elsewhere")
    sender = start()
    sender.log.wait("alert", words=f"unable to opendir {name}, sleeping...")
    assert sender.local.is_quiet(0.05)
    assert sender.term() == 0
    assert sender.lines()[-1] == "status: exiting"
    os.rename(f"{store.home}/elsewhere", f"{store.home}/queue/{name}")
    sender = start()
    sender.local.serve()
    gone(store, number)


def test_a_todo_that_cannot_be_listed_for_a_while_keeps_no_other_mail(start: Start, store: Store) -> None:
    number = in_s5(store, local=b"Tjoe@mx.example.org\0")
    sender = start()
    command = sender.local.command()
    os.rename(f"{store.home}/queue/todo", f"{store.home}/elsewhere")
    pull_trigger(store.paths)
    sender.log.wait("alert", words="unable to opendir todo, sleeping...")
    sender.local.report(command.slot, b"Z", b"later\n")
    sender.log.wait("delivery", outcome="deferral")
    sender.signal(signal.SIGALRM)
    sender.local.serve(b"Z", b"later\n")
    os.rename(f"{store.home}/elsewhere", f"{store.home}/queue/todo")
    assert sender.term() == 0
    assert store.state(number) == {"mess", "info", "local"}


def answer_clean(sender: Sender, answer: bytes) -> bytes:
    """The next request to qmail-clean, answered so."""
    request = os.read(sender.clean.commands, 65536)
    os.write(sender.clean.reports, answer)
    return request


def test_what_qmail_clean_cannot_do_is_said(start: Start, store: Store) -> None:
    sender = start(played_clean=True)
    number = store.put([LOCAL, REMOTE])
    assert answer_clean(sender, b"!") == b"todo/%d\0" % number
    sender.log.wait("warning", words=f"qmail-clean unable to clean up todo/{number}")
    assert sender.local.is_quiet(0.05), "it is still in todo/: a crash would take it up anew"
    assert sender.term() == 0
    os.unlink(f"{store.home}/queue/todo/{number}")
    sender = start(played_clean=True)
    sender.local.serve()
    sender.remote.serve()
    assert answer_clean(sender, b"!") == b"foop/%d\0" % number
    sender.log.wait("warning", words=f"qmail-clean unable to clean up foop/{number}")
    assert [line.kind for line in sender.log.lines][-2:] == ["end", "warning"]
    assert store.state(number) == {"mess", "intd"}, "the collector finds it in 36 hours"


def test_names_that_are_none_are_left_alone_everywhere(start: Start, store: Store) -> None:
    names = ("x", "-1", "+26", " 26", "26 ", "026", "0x1a", "2" * 40, "26.new", "\udcff", "lost+found")
    folders = (
        "pid",
        "intd",
        "todo",
        "bounce",
        "orders",
        *(f"{each}/3" for each in ("mess", "info", "local", "remote")),
    )
    for folder in folders:
        for name in names:
            write(f"{store.home}/queue/{folder}/{name}", b"F\0")
            os.utime(f"{store.home}/queue/{folder}/{name}")
    before = store.files()
    number = in_s5(store, local=b"Tjoe@mx.example.org\0")
    sender = start()
    sender.local.serve()
    sender.log.wait("end", msg=str(number))
    deliver_one(sender, store)
    gone(store, number)
    assert sender.term() == 0
    wait_for(lambda: store.files() == before, "only what makes no sense")
    assert not any(line.kind in ("alert", "warning", "?") for line in sender.log.lines)


# the trigger, the spawners' words, old age


def test_a_trigger_that_is_pulled_for_nothing_stays_one(start: Start, store: Store) -> None:
    sender = start().wait_started()
    for _ in range(3):
        pull_trigger(store.paths)
        assert sender.local.is_quiet(0.02)
        deliver_one(sender, store)


@pytest.mark.parametrize("slots", [(0, 120), (120, 0), (0, 0)])
def test_a_spawner_may_announce_that_it_can_run_nothing(start: Start, store: Store, slots: tuple[int, int]) -> None:
    sender = start(slots=slots).wait_started()
    assert sender.lines()[0] == f"status: local 0/{min(10, slots[0])} remote 0/{min(20, slots[1])}"
    number = store.put([LOCAL, REMOTE])
    for spawner, limit in ((sender.local, slots[0]), (sender.remote, slots[1])):
        if limit:
            spawner.serve()
    wait_for(lambda: "todo" not in store.state(number), "it to be taken up")
    assert sender.term() == 0
    left = {name for name, limit in zip(("local", "remote"), slots, strict=True) if not limit}
    assert store.state(number) == {"mess", "info", *left}


def test_a_mangled_report_is_not_the_last_word_about_an_old_message(start: Start, store: Store) -> None:
    number = in_s5(store, local=b"Tjoe@mx.example.org\0")
    store.age("info", number, 700_000)
    sender = start()
    sender.local.serve(b"z", b"what\n")
    sender.log.wait("mangled", delivery="1")
    deliver_one(sender, store)
    assert sender.term() == 0
    assert store.read("local", number) == b"Tjoe@mx.example.org\0"


def test_a_report_without_end_is_cut(start: Start, store: Store, tmp_path: Path) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    sender = start(environment=bounces.environment)
    store.put([REMOTE])
    sender.remote.serve(b"D", b"x" * 50_000)
    line = sender.log.wait("delivery", outcome="failure")
    assert line.report == "x" * 10_000
    sender.log.ends(1)
    [(message, _)] = bounces.messages
    assert b"<%s>:\n%s\n\n" % (REMOTE, b"x" * 10_000) in message


@pytest.mark.parametrize("hold", ["domain", "order"])
def test_what_is_held_does_not_grow_too_old_and_gets_its_last_try(
    start: Start, store: Store, tmp_path: Path, hold: str
) -> None:
    bounces = RecordingQueue(f"{tmp_path}/bounces")
    number = in_s5(store, remote=b"Tyou@there.example\0")
    store.age("info", number, 700_000)
    order = f"{store.home}/queue/orders/{number}"
    if hold == "domain":
        write(f"{store.home}/control/holddomains", "there.example\n")
    else:
        key = os.stat(store.paths.mess(number)).st_mtime_ns
        write(order, b"h%d \0" % key, 0o600)
    sender = start(environment=bounces.environment).wait_started()
    deliver_one(sender, store)
    sender.signal(signal.SIGALRM)
    assert sender.remote.is_quiet()
    assert sender.term() == 0
    assert store.state(number) == {"mess", "info", "remote"}
    if hold == "domain":
        write(f"{store.home}/control/holddomains", "\n")
    else:
        os.unlink(order)
    sender = start(environment=bounces.environment)
    sender.remote.serve(b"Z", b"not now\n")
    gone(store, number)
    [(message, _)] = bounces.messages
    assert b"not now\nI'm not going to try again; this message has been in the queue too long.\n" in message


@pytest.mark.parametrize("woken", ["due", "by ALRM"])
def test_the_next_try_is_reckoned_from_the_age_at_the_beginning_of_this_one(
    start: Start, store: Store, woken: str
) -> None:
    """Seconds that an age has beyond its square are room for a slow machine."""
    table = [  # age, and when the next try is, by channel
        (2, 121, 441),  # isqrt 1
        (102, 400, 900),
        (443, 961, 1681),
        (1605, 2500, 3600),
        (10_005, 12_100, 14_400),
        (360_010, 372_100, 384_400),
    ]
    numbers = [in_s5(store, local=b"Tjoe@mx.example.org\0", remote=b"Tyou@there.example\0") for _ in table]
    born = {}
    for number, (age, *_) in zip(numbers, table, strict=True):
        store.age("info", number, age)
        born[number] = store.mtime("info", number)
        if woken == "by ALRM":
            for name in ("local", "remote"):
                store.age(name, number, -5000)
    sender = start().wait_started()
    if woken == "by ALRM":
        sender.signal(signal.SIGALRM)
    for _ in table:
        sender.local.serve(b"Z", b"later\n")
        sender.remote.serve(b"Z", b"later\n")
    wait_for(lambda: sum(line.kind == "delivery" for line in sender.log.lines) == 2 * len(table), "all reports")
    assert sender.term() == 0
    found = [
        (age, *(store.mtime(name, number) - born[number] for name in ("local", "remote")))
        for number, (age, *_) in zip(numbers, table, strict=True)
    ]
    assert found == table


def test_mail_that_was_put_off_by_a_wrong_clock_is_tried_soon(start: Start, store: Store) -> None:
    wrong = in_s5(store, local=b"Tjoe@mx.example.org\0")
    for name in ("info", "local"):
        store.age(name, wrong, -400 * 86400)
    late = in_s5(store, local=b"Tann@mx.example.org\0")  # a message of four weeks waits for half a day, and rightly
    store.age("info", late, 28 * 86400)
    store.age("local", late, -40_000)
    right = store.mtime("local", late)
    sender = start().wait_started()
    deliver_one(sender, store)
    assert sender.term() == 0
    soon = store.mtime("local", wrong) - os.stat(f"{store.home}.log").st_mtime
    assert 0 < soon <= 100
    assert store.mtime("local", late) == right


@pytest.mark.parametrize("channel", [0, 1])
def test_a_spawner_that_takes_no_more_commands_is_lost(start: Start, store: Store, channel: int) -> None:
    sender = start().wait_started()
    spawner = sender.spawner(channel)
    os.close(spawner.commands)
    spawner.commands = -1
    number = store.put([(LOCAL, REMOTE)[channel]])
    sender.log.wait("alert", words="oh no! lost spawn connection! dying...")
    assert sender.wait() == 0
    assert sender.lines()[-1] == "status: exiting"
    assert store.state(number) & {"todo", "info"}
    sender = start()
    sender.spawner(channel).serve()
    gone(store, number)
