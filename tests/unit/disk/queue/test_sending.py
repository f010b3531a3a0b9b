"""The calls by which qmail-send knows the queue: claim, prepare, settle, read, mark, defer, finish, list.

Told against the calls, not the files: another store behind the same calls must pass them too.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.disk.queue import listing
from qmailpy.disk.queue.claiming import Claiming, take_mutex
from qmailpy.disk.queue.cleaning import remove_message, remove_todo
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.wire.delivery import LOCAL, REMOTE
from tests.send_support import MESSAGE, SENDER, Store
from tests.send_support import REMOTE as STRANGER
from tests.support import bare_home, write

JOE, ANN = b"joe@mx.example.org", b"ann@mx.example.org"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    before = os.umask(0o077)
    yield Store(bare_home(f"{tmp_path}/home"))
    os.umask(before)


@pytest.fixture
def claiming(store: Store) -> Claiming:
    return Claiming(store.paths)


@pytest.fixture
def queue(store: Store) -> Queue:
    return Queue(store.paths)


def in_s5(store: Store, local: list[bytes], remote: list[bytes], birth: int = 1000, sender: bytes = SENDER) -> int:
    """A message in S5.  Result: its number."""
    claiming = Claiming(store.paths)
    number = store.put([*local, *remote], sender)
    prepared = claiming.prepare(number, birth, sender, (local, remote))
    claiming.settle([prepared])
    assert prepared.trouble is None
    remove_todo(store.paths, number)
    return number


def addresses(queue: Queue, number: int, channel: int) -> list[tuple[bool, bytes]]:
    reader = queue.recipients(number, channel)
    found = []
    while (record := reader.next()) is not None:
        found.append((record[0], record[2]))
    return found


# S4


def test_an_accepted_message_can_be_claimed(store: Store, claiming: Claiming) -> None:
    number = store.put([JOE, STRANGER, JOE], b"a@b-@[]")
    assert claiming.news() == [number]
    claim = claiming.claim(number)
    assert (claim.uid, claim.qp, claim.sender, claim.recipients) == (77, 4711, b"a@b-@[]", [JOE, STRANGER, JOE])
    assert claim.size == len(store.read("mess", number))


def test_a_message_without_recipients_can_be_claimed(store: Store, claiming: Claiming) -> None:
    assert claiming.claim(store.put([], b"")).recipients == []


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "read"),
        (b"u0\0p1\0Fa@b\0Tjo", "read"),
        (b"u0\0p1\0", "record"),
        (b"u0\0p1\0Fa@b\0Xjoe\0", "record"),
        (b"\0\0\0", "record"),
        (b"garbage", "read"),
    ],
)
def test_an_envelope_that_was_torn_by_a_crash_is_trouble(
    store: Store, claiming: Claiming, content: bytes, what: str
) -> None:
    number = store.put([JOE])
    write(f"{store.home}/queue/todo/{number}", content)
    with pytest.raises(Trouble) as caught:
        claiming.claim(number)
    assert (caught.value.what, caught.value.name, caught.value.error) == (what, b"todo/%d" % number, None)


def test_an_envelope_without_its_message_is_trouble(store: Store, claiming: Claiming) -> None:
    number = store.put([JOE])
    remove_message(store.paths, number)
    with pytest.raises(Trouble) as caught:
        claiming.claim(number)
    assert caught.value.what == "stat"
    assert isinstance(caught.value.error, FileNotFoundError)


def test_names_that_are_no_numbers_are_no_messages(store: Store, claiming: Claiming) -> None:
    number = store.put([JOE])
    for name in ("07", "x", "1x", "-1", "1.2", "9" * 21, " 1"):
        write(f"{store.home}/queue/todo/{name}", "u0\0p1\0F\0Tx\0")
        write(f"{store.home}/queue/info/3/{name}", "F\0")
    write(f"{store.home}/queue/info/4/3", "F\0")  # 3 belongs into info/3
    assert claiming.news() == [number]
    assert list(listing.numbers(store.paths, b"info")) == []


def test_a_prepared_message_is_in_s5_once_its_envelope_is_gone(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE, ANN], [STRANGER], birth=12345)
    info = queue.info(number)
    assert (info.sender, info.birth) == (SENDER, 12345)
    assert addresses(queue, number, LOCAL) == [(False, JOE), (False, ANN)]
    assert addresses(queue, number, REMOTE) == [(False, STRANGER)]
    assert queue.taken(set()) == [number]
    assert None not in queue.both_due(number)


def test_a_message_whose_envelope_is_still_there_is_not_loaded(store: Store, claiming: Claiming, queue: Queue) -> None:
    number = store.put([JOE])
    claiming.settle([claiming.prepare(number, 1, SENDER, ([JOE], []))])
    half: set[int] = set()
    assert queue.taken(half) == []
    assert half == {number}
    assert queue.is_open(number)


def test_half_a_preprocessing_can_be_forgotten(store: Store, claiming: Claiming) -> None:
    number = store.put([JOE])
    claiming.settle([claiming.prepare(number, 1, SENDER, ([JOE], []))])
    claiming.forget(number)
    assert store.state(number) == {"mess", "intd", "todo"}


def test_preparing_again_forgets_what_a_crash_left(store: Store, claiming: Claiming, queue: Queue) -> None:
    number = store.put([STRANGER])
    claiming.settle([claiming.prepare(number, 1, b"old@x", ([JOE, ANN], [JOE]))])
    queue.mark(number, LOCAL, 0)
    queue.append_bounce(number, b"<old@x>:\nno\n\n")  # as if the number had been another message's
    claiming.settle([claiming.prepare(number, 2, SENDER, ([], [STRANGER]))])
    remove_todo(store.paths, number)
    info = queue.info(number)
    assert (info.sender, info.birth) == (SENDER, 2)
    assert queue.due(number, LOCAL) is None
    assert addresses(queue, number, REMOTE) == [(False, STRANGER)]
    assert not queue.has_bounce(number)


def test_a_batch_is_settled_although_one_of_it_fails(store: Store, claiming: Claiming) -> None:
    numbers = [store.put([JOE]) for _ in range(3)]
    batch = [claiming.prepare(number, 1, SENDER, ([JOE], [])) for number in numbers]
    os.close(batch[1].files[0][0])  # its fsync will fail
    null = os.open("/proc/self/status", os.O_RDONLY)
    if null != batch[1].files[0][0]:
        os.dup2(null, batch[1].files[0][0])
        os.close(null)
    claiming.settle(batch)
    assert [each.trouble is None for each in batch] == [True, False, True]
    trouble = batch[1].trouble
    assert trouble is not None
    assert trouble.what == "fsync"


def test_what_cannot_be_written_is_named(store: Store, claiming: Claiming) -> None:
    number = store.put([JOE])
    folder = f"{store.home}/queue/info/{number % 23}"
    os.rmdir(folder)
    with pytest.raises(Trouble) as caught:
        claiming.prepare(number, 1, SENDER, ([JOE], []))
    assert (caught.value.what, caught.value.name) == ("create", b"info/%d/%d" % (number % 23, number))
    os.mkdir(folder)
    assert claiming.news() == [number]


def test_news_are_told_once_and_again_when_the_number_comes_back(store: Store, claiming: Claiming) -> None:
    first = store.put([JOE])
    assert claiming.news() == [first]
    second = store.put([JOE])
    assert claiming.news() == [second]
    assert claiming.news() == []
    claiming.look_again(first)
    assert claiming.news() == [first]
    content = store.read("todo", second)
    remove_todo(store.paths, second)
    claiming.gone(second)
    write(f"{store.home}/queue/todo/{second}", content)  # another message that got the number
    assert claiming.news() == [second]


def test_files_of_the_queue_are_for_qmails_alone(store: Store) -> None:
    number = in_s5(store, [JOE], [])
    Queue(store.paths).append_bounce(number, b"x")
    for name in ("info", "local"):
        assert os.stat(store.paths.split(name.encode(), number)).st_mode & 0o777 == 0o600
    assert os.stat(store.paths.bounce(number)).st_mode & 0o777 == 0o600


# S5


def test_marks_are_one_byte_in_place(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE, ANN, JOE], [])
    reader = queue.recipients(number, LOCAL)
    offsets = []
    while (record := reader.next()) is not None:
        offsets.append(record[1])
    queue.mark(number, LOCAL, offsets[1])
    assert addresses(queue, number, LOCAL) == [(False, JOE), (True, ANN), (False, JOE)]
    # a C qmail-send may be the next to read it (spec/02 4)
    assert store.read("local", number) == b"T%s\0D%s\0T%s\0" % (JOE, ANN, JOE)
    assert store.read("info", number) == b"F%s\0" % SENDER


def test_a_million_bytes_of_recipients_are_read_in_pieces(store: Store, queue: Queue) -> None:
    many = [b"%d@x.example" % each for each in range(60000)]
    number = in_s5(store, many, [])
    reader = queue.recipients(number, LOCAL)
    first = reader.next()
    assert first is not None
    assert len(reader._records) < 10000
    assert not reader.at_end
    reader.close()
    assert [address for _, address in addresses(queue, number, LOCAL)] == many


@pytest.mark.parametrize("length", [65535, 65536, 65537, 131072])
def test_no_length_of_a_file_is_special(store: Store, queue: Queue, length: int) -> None:
    number = in_s5(store, [b"x" * 1000] * (length // 1002 - 1), [])
    size = len(store.read("local", number))
    with open(store.paths.split(b"local", number), "ab") as file:
        file.write(b"T" + b"y" * (length - size - 2) + b"\0")
    assert len(store.read("local", number)) == length
    assert len(addresses(queue, number, LOCAL)) == length // 1002


@pytest.mark.parametrize("content", [b"Ta@b\0Tc@", b"Ta@b\0X\0", b"Ta@b\0\0"])
def test_a_torn_or_unknown_record_is_trouble_and_not_an_end(store: Store, queue: Queue, content: bytes) -> None:
    number = in_s5(store, [JOE], [])
    write(os.fsdecode(store.paths.split(b"local", number)), content)
    reader = queue.recipients(number, LOCAL)
    assert reader.next() == (False, 0, b"a@b")
    assert not reader.at_end
    with pytest.raises(Trouble) as caught:
        reader.next()
    assert caught.value.what == "record later"
    reader.close()


def test_a_time_to_try_again_survives_a_restart(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE], [STRANGER])
    queue.defer(number, LOCAL, 5000)
    queue.defer(number, REMOTE, 7000)
    assert Queue(store.paths).taken(set()) == [number]
    assert queue.both_due(number) == (5000, 7000)


def test_failures_are_kept_one_after_the_other(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE], [])
    assert not queue.has_bounce(number)
    queue.append_bounce(number, b"<a@b>:\nno\n\n")
    queue.append_bounce(number, b"<c@d>:\nno\n\n")
    assert b"".join(queue.bounce_text(number)) == b"<a@b>:\nno\n\n<c@d>:\nno\n\n"
    assert queue.has_bounce(number)
    queue.drop_bounce(number)
    assert not queue.has_bounce(number)


def test_a_failure_that_cannot_be_kept_is_trouble(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE], [])
    os.mkdir(store.paths.bounce(number))
    with pytest.raises(Trouble) as caught:
        queue.append_bounce(number, b"x")
    assert caught.value.what == "append"


def test_a_message_ends_when_both_channels_are_closed(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE], [STRANGER])
    assert queue.is_open(number)
    queue.close(number, LOCAL)
    assert queue.is_open(number)
    queue.close(number, REMOTE)
    assert not queue.is_open(number)
    assert queue.taken(set()) == [number]
    assert queue.both_due(number) == (None, None)
    queue.finish(number)
    remove_message(store.paths, number)
    assert store.files() == []
    queue.close(number, LOCAL)  # twice is fine
    queue.finish(number)


def test_the_message_can_be_read_whole(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE], [])
    assert b"".join(queue.message(number)).endswith(MESSAGE)


def test_a_message_whose_file_is_gone_is_trouble_at_the_start(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE], [])
    remove_message(store.paths, number)
    assert queue.taken(set()) == [number]
    with pytest.raises(Trouble) as caught:
        queue.both_due(number)
    assert caught.value.what == "stat later"


def test_a_missing_channel_is_trouble_when_it_is_opened(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE], [])
    for step in (lambda: queue.recipients(number, REMOTE), lambda: queue.mark(number, REMOTE, 0)):
        with pytest.raises(Trouble):
            step()
    with pytest.raises(Trouble):
        queue.defer(number, REMOTE, 1)


def test_there_is_one_qmail_send(store: Store) -> None:
    first = take_mutex(store.paths)
    assert first is not None
    assert take_mutex(store.paths) is None
    os.close(first)
    second = take_mutex(store.paths)
    assert second is not None
    os.close(second)


def test_a_queue_without_its_mutex_is_trouble(store: Store) -> None:
    os.unlink(store.paths.lock(b"sendmutex"))
    with pytest.raises(Trouble):
        take_mutex(store.paths)


def test_that_a_delay_was_told_is_remembered_and_changes_no_birth(store: Store, queue: Queue) -> None:
    number = in_s5(store, [JOE], [], birth=12345)
    assert not queue.info(number).is_told
    queue.remember_told(number)
    info = Queue(store.paths).info(number)
    assert (info.is_told, info.birth) == (True, 12345)
    with pytest.raises(Trouble):
        queue.remember_told(number + 1)
