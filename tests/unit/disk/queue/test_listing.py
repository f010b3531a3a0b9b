import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.disk.queue import listing, litter
from qmailpy.disk.queue.claiming import Claiming
from qmailpy.disk.queue.cleaning import remove_todo
from qmailpy.disk.queue.entering import pull_trigger
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.sending import Queue
from qmailpy.disk.queue.trigger import Trigger
from qmailpy.wire.delivery import LOCAL, REMOTE
from tests.send_support import SENDER, Store
from tests.support import bare_home, write


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    before = os.umask(0o077)
    yield Store(bare_home(f"{tmp_path}/home"))
    os.umask(before)


def prepared(store: Store, local: list[bytes], remote: list[bytes]) -> int:
    claiming = Claiming(store.paths)
    number = store.put([*local, *remote])
    claiming.settle([claiming.prepare(number, 1795227000, SENDER, (local, remote))])
    remove_todo(store.paths, number)
    return number


def test_a_message_is_listed_with_everything_about_it(store: Store) -> None:
    number = prepared(store, [b"a@x", b"b@x"], [b"c@y"])
    queue = Queue(store.paths)
    queue.mark(number, LOCAL, 0)
    queue.append_bounce(number, b"x")
    [message] = listing.messages(store.paths)
    assert (message.number, message.birth, message.sender) == (number, 1795227000, SENDER)
    assert message.size == len(store.read("mess", number))
    assert message.bouncing
    assert message.recipients == [(True, LOCAL, b"a@x"), (False, LOCAL, b"b@x"), (False, REMOTE, b"c@y")]
    assert message.error is None


def test_a_message_that_was_not_prepared_is_counted_apart(store: Store) -> None:
    number = store.put([b"a@x"])
    assert listing.todo(store.paths) == [number]
    assert list(listing.messages(store.paths)) == []
    prepared(store, [b"a@x"], [])
    assert listing.count(store.paths) == (2, 1)


def test_a_torn_file_is_an_error_of_its_message_only(store: Store) -> None:
    torn, fine = prepared(store, [b"a@x"], []), prepared(store, [b"b@x"], [])
    write(os.fsdecode(store.paths.split(b"local", torn)), b"Ta@")
    by_number = {message.number: message for message in listing.messages(store.paths)}
    assert by_number[torn].error is not None
    assert by_number[fine].error is None


def test_a_directory_that_cannot_be_listed_is_named(store: Store) -> None:
    os.rmdir(f"{store.home}/queue/info/5")
    with pytest.raises(Trouble) as caught:
        list(listing.messages(store.paths))
    assert (caught.value.what, caught.value.name) == ("opendir", b"info/5")


NOW = 1795227000


def age(path: bytes, seconds: int) -> None:
    os.utime(path, (NOW - seconds, NOW))


def test_only_what_nobody_claims_for_36_hours_is_litter(store: Store) -> None:
    claimed, in_s5 = store.put([b"a@x"]), prepared(store, [b"a@x"], [])
    old, young = store.put([b"a@x"]), store.put([b"a@x"])
    for number in (old, young):
        remove_todo(store.paths, number)
    for number in (claimed, in_s5, old):
        age(store.paths.mess(number), 129601)
    age(store.paths.mess(young), 129600)
    assert sorted(filter(None, litter.walk(store.paths, NOW))) == [old]
    assert len(list(litter.walk(store.paths, NOW))) == 4


def test_a_file_that_is_no_message_is_left_alone(store: Store) -> None:
    write(f"{store.home}/queue/mess/3/readme", "x")
    os.utime(f"{store.home}/queue/mess/3/readme", (0, 0))
    assert list(litter.walk(store.paths, NOW)) == []


def test_the_trigger_wakes_whoever_listens(store: Store) -> None:
    trigger = Trigger(store.paths)
    pull_trigger(store.paths)  # nobody listens: no error
    assert trigger.open()
    with pytest.raises(BlockingIOError):
        os.read(trigger.descriptor, 1)
    for _ in range(3):
        pull_trigger(store.paths)
    trigger.drain()
    with pytest.raises(BlockingIOError):  # not an end of file, which would wake us for ever
        os.read(trigger.descriptor, 1)
    trigger.close()


@pytest.mark.parametrize("content", [None, b"no fifo"])
def test_without_a_fifo_there_is_no_trigger(store: Store, content: bytes | None) -> None:
    path = os.fsdecode(store.paths.lock(b"trigger"))
    os.unlink(path)
    if content is not None:
        write(path, content)
    trigger = Trigger(store.paths)
    assert not trigger.open()
    assert trigger.descriptor == -1
    trigger.drain()
