"""Into the queue: what is made, in which order, and what is taken back."""

import os
import tracemalloc
from collections.abc import Iterator

import pytest

from qmailpy.disk import durable
from qmailpy.disk.home import Home
from qmailpy.disk.queue import entering
from qmailpy.disk.queue.entering import Entering, Names, commit_together
from qmailpy.disk.queue.paths import Paths
from qmailpy.verdict import TEMP, Die
from tests.queue_support import check_legal, is_empty, litter, new_home, queued
from tests.support import read

TODO = b"u7\0p1\0Fa\0Tb\0"
NAMES = Names(1, 2)


@pytest.fixture
def home(tmp_path: object) -> Iterator[str]:
    before = os.umask(0o033)
    yield new_home(tmp_path)
    os.umask(before)


def message(home: str) -> Entering:
    return Entering(Paths(Home(os.fsencode(home))), NAMES, os.geteuid())


def enter(entry: Entering) -> None:
    entry.begin(b"x")
    entry.commit(TODO)


def test_a_message_passes_through_its_states(home: str) -> None:
    entry = message(home)
    assert not entry.begun
    entry.begin(b"Received\n")
    path = f"{home}/queue/mess/{entry.number % 23}/{entry.number}"
    assert os.stat(path).st_ino == entry.number
    assert litter(home) == [f"mess/{entry.number % 23}/{entry.number}"]
    entry.append(b"text\n")
    entry.commit(TODO)
    assert read(path) == b"Received\ntext\n"
    assert read(f"{home}/queue/todo/{entry.number}") == TODO
    assert os.path.samefile(f"{home}/queue/todo/{entry.number}", f"{home}/queue/intd/{entry.number}")
    check_legal(home)
    entry.abandon()
    assert len(queued(home)) == 1, "an accepted message is never taken back"


def test_abandoning_leaves_nothing(home: str) -> None:
    entry = message(home)
    entry.abandon()
    entry.begin(b"x")
    entry.abandon()
    entry.abandon()
    assert is_empty(home)


def test_temporary_names_are_never_the_same_twice() -> None:
    names = Names(5, 6)
    assert [names.next() for _ in range(3)] == [b"5.6.1", b"5.6.2", b"5.6.3"]


def test_a_temporary_name_that_exists_is_passed_over(home: str) -> None:
    for sequence in range(1, 9):
        open(f"{home}/queue/pid/1.2.{sequence}", "w").close()
    entry = Entering(Paths(Home(os.fsencode(home))), Names(1, 2), os.geteuid())
    entry.begin(b"x")
    entry.abandon()
    assert len(litter(home)) == 8


def test_nine_temporary_names_that_exist_are_enough(home: str) -> None:
    for sequence in range(1, 10):
        open(f"{home}/queue/pid/1.2.{sequence}", "w").close()
    with pytest.raises(Die) as caught:
        Entering(Paths(Home(os.fsencode(home))), Names(1, 2), os.geteuid()).begin(b"x")
    assert caught.value.code == 63


@pytest.mark.parametrize(
    ("missing", "code"),
    [("pid", 63), ("mess", 64), ("intd", 65), ("todo", 66)],
)
def test_a_folder_that_is_missing_has_its_code_and_leaves_nothing(home: str, missing: str, code: int) -> None:
    os.rename(f"{home}/queue/{missing}", f"{home}/queue/away")
    with pytest.raises(Die) as caught:
        enter(message(home))
    assert caught.value.code == code
    os.rename(f"{home}/queue/away", f"{home}/queue/{missing}")
    assert is_empty(home)


def test_a_queue_that_is_missing_or_not_ours_is_refused_at_once(home: str) -> None:
    stranger = Entering(Paths(Home(os.fsencode(home))), NAMES, os.geteuid() + 1)
    with pytest.raises(Die, match="belongs to uid") as caught:
        stranger.begin(b"x")
    assert caught.value.code == 62
    os.rename(f"{home}/queue", f"{home}/away")
    with pytest.raises(Die, match="file does not exist") as caught:
        message(home).begin(b"x")
    assert caught.value.code == 62


@pytest.mark.parametrize("folder", ["intd", "todo"])
def test_what_is_there_already_is_never_overwritten(home: str, folder: str) -> None:
    entry = message(home)
    entry.begin(b"x")
    path = f"{home}/queue/{folder}/{entry.number}"
    with open(path, "wb") as file:
        file.write(b"of another")
    with pytest.raises(Die) as caught:
        entry.commit(TODO)
    assert caught.value.code == {"intd": 65, "todo": 66}[folder]
    assert read(path) == b"of another"
    os.unlink(path)
    assert is_empty(home)


def test_a_failed_fsync_of_todo_is_66_and_takes_nothing_back(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = message(home)
    entry.begin(b"x")
    sync = durable.sync_directory

    def fail_for_todo(path: bytes) -> None:
        if path.endswith(b"/todo"):
            raise OSError(5, "injected")
        sync(path)

    monkeypatch.setattr(durable, "sync_directory", fail_for_todo)
    with pytest.raises(Die) as caught:
        entry.commit(TODO)
    assert caught.value.code == 66
    assert len(queued(home)) == 1


def test_a_link_that_failed_but_was_made_is_not_taken_back(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = message(home)
    entry.begin(b"x")

    class Posix:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        @staticmethod
        def link(source: bytes, target: bytes) -> None:
            os.link(source, target)
            raise OSError(5, "injected")

    monkeypatch.setattr(entering, "posix", Posix())
    with pytest.raises(Die) as caught:
        entry.commit(TODO)
    assert caught.value.code == 66
    assert len(queued(home)) == 1


def test_an_unknown_error_takes_everything_back(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = message(home)
    entry.begin(b"x")

    def explode(_: int) -> None:
        raise MemoryError

    monkeypatch.setattr(durable, "sync_file", explode)
    with pytest.raises(MemoryError):
        entry.commit(TODO)
    assert is_empty(home)


def test_the_trigger_gets_one_nul_and_nobody_listening_is_fine(home: str) -> None:
    paths = Paths(Home(os.fsencode(home)))
    entering.pull_trigger(paths)
    reader = os.open(paths.lock(b"trigger"), os.O_RDONLY | os.O_NONBLOCK)
    try:
        entering.pull_trigger(paths)
        assert os.read(reader, 10) == b"\0"
    finally:
        os.close(reader)
    os.unlink(paths.lock(b"trigger"))
    entering.pull_trigger(paths)


def test_the_trigger_never_blocks_when_nobody_reads_it(home: str) -> None:
    paths = Paths(Home(os.fsencode(home)))
    reader = os.open(paths.lock(b"trigger"), os.O_RDONLY | os.O_NONBLOCK)
    try:
        for _ in range(70000):
            entering.pull_trigger(paths)
    finally:
        os.close(reader)


# several at once


def together(home: str, count: int) -> tuple[list[Entering], list[BaseException | None]]:
    entries = [message(home) for _ in range(count)]
    for entry in entries:
        entry.begin(b"x")
    return entries, commit_together([(entry, (b"u7\0p1\0", b"Fa\0Tb\0")) for entry in entries])


def test_messages_that_go_together_are_each_accepted(home: str) -> None:
    entries, errors = together(home, 5)
    assert errors == [None] * 5
    for entry in entries:
        assert read(f"{home}/queue/todo/{entry.number}") == TODO
    check_legal(home)


def test_each_directory_is_fsynced_once_for_all_and_in_its_place(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def sync_file(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(f"{home}/queue/").partition("/")[0]
        calls.append(name.replace("pid", "mess"))  # the name that it was opened by

    def sync_directory(path: bytes) -> None:
        linked = len(os.listdir(f"{home}/queue/todo"))
        calls.append(os.fsdecode(path).removeprefix(f"{home}/queue/").partition("/")[0] + f"/ {linked}")

    monkeypatch.setattr(durable, "sync_file", sync_file)
    monkeypatch.setattr(durable, "sync_directory", sync_directory)
    entries, _ = together(home, 30)
    folders = len({entry.number % 23 for entry in entries})
    assert calls == ["mess"] * 30 + ["mess/ 0"] * folders + ["intd"] * 30 + ["todo/ 30"]


@pytest.mark.parametrize(("step", "code"), [("keep_message", 53), ("write_envelope", 65), ("accept", 66)])
def test_one_that_fails_takes_no_other_with_it(
    home: str, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    real = getattr(Entering, step)
    calls: list[Entering] = []

    def second_fails(self: Entering, *words: object) -> None:
        calls.append(self)
        if len(calls) == 2:
            raise Die(TEMP, b"no", code)
        real(self, *words)

    monkeypatch.setattr(Entering, step, second_fails)
    entries, errors = together(home, 3)
    assert [error is None for error in errors] == [True, False, True]
    assert isinstance(errors[1], Die)
    assert errors[1].code == code
    assert len(queued(home)) == 2
    check_legal(home)
    assert not entries[1].begun


def test_a_directory_that_cannot_be_fsynced_is_the_error_of_all_who_need_it(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.sync_directory

    def sync_directory(path: bytes) -> None:
        if path.endswith(b"/todo"):
            raise OSError(5, "Input/output error")
        real(path)

    monkeypatch.setattr(durable, "sync_directory", sync_directory)
    _, errors = together(home, 3)
    assert [error.code for error in errors if isinstance(error, Die)] == [66] * 3
    assert len(queued(home)) == 3, "qmail-send may have them already"


def test_a_large_envelope_is_not_copied(home: str) -> None:
    records = bytearray(b"Fa\0" + b"T%s\0" % (b"x" * 999) * 30_000)
    entry = message(home)
    entry.begin(b"x")
    tracemalloc.start()
    try:
        entry.commit(b"u7\0p1\0", records)
        assert tracemalloc.get_traced_memory()[1] < len(records) // 10
    finally:
        tracemalloc.stop()
    assert read(f"{home}/queue/todo/{entry.number}") == b"u7\0p1\0" + records
