"""The door's life: one at a time, how it ends, how a new version takes over, and what a crash of it costs: nothing."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.wire import door as wire
from tests.queue_support import (
    HURRY,
    LIBRARY,
    MESSAGE,
    Door,
    answer,
    call,
    check_legal,
    conversation,
    is_empty,
    litter,
    new_home,
    open_door,
    queue,
    queued,
)
from tests.support import read, wait_for, wait_for_exit, write
from tests.unread_log import UnreadLog

LONG = bytes(700_000)


@pytest.fixture
def home(tmp_path: object) -> str:
    return new_home(tmp_path)


def test_a_second_door_does_not_start(home: str) -> None:
    with open_door(home):
        second = Door(home)
        assert wait_for_exit(second.process) == 111
        assert read(second.log) == (
            b"qmail-queued: fatal: another qmail-queued is running: it holds %s\n" % f"{home}/bin/../door/lock".encode()
        )
        second.stop()
        assert queue(home)[0] == 0


def test_a_log_that_nobody_reads_keeps_nobody_waiting(home: str, tmp_path: Path) -> None:
    os.mkdir(f"{home}/control/queuebytes")
    with UnreadLog(f"{tmp_path}/door.log") as log, open_door(home) as door:
        for _ in range(3):
            door.process.send_signal(signal.SIGHUP)
            assert queue(home)[0] == 0
        assert len(queued(home)) == 3
        log.wait_for(b"qmail-queued: warning: unable to read")


@pytest.mark.parametrize("word", ["service", "standby"])
def test_a_service_and_qmail_starts_own_door_wait_for_each_other(home: str, word: str) -> None:
    """A supervisor may start both at the same moment: whoever comes second is the next one."""
    with open_door(home) as first:
        second = Door(home, arguments=[word])
        said = f"qmail-queued: another one is running: it holds {home}/bin/../door/lock; waiting for its end\n"
        if word == "service":  # the other one would say it into qmail-send's log
            wait_for(lambda: read(second.log) == said.encode(), "the second one to wait")
        first.stop()
        second.wait()
        assert queue(home)[0] == 0
        assert read(second.log) in (said.encode(), b"")
        second.process.terminate()
        assert wait_for_exit(second.process) == 0
        second.stop()


def test_who_waits_for_the_door_ends_with_its_starter(home: str) -> None:
    with open_door(home):
        second = Door(home, arguments=["standby"])
        assert second.stop() == 0
        assert read(second.log) == b""
        assert queue(home)[0] == 0


def test_what_a_killed_door_left_in_its_directory_hinders_nobody(home: str) -> None:
    first = Door(home)
    first.wait()
    first.kill()
    assert os.path.exists(f"{home}/door/socket")
    with open_door(home):
        assert queue(home)[0] == 0
    assert sorted(os.listdir(f"{home}/door")) == ["lock", "send"]


def test_the_end_of_its_descriptor_0_ends_it(home: str) -> None:
    with open_door(home) as door:
        assert door.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(home: str, number: int) -> None:
    with open_door(home) as door:
        door.process.send_signal(number)
        assert wait_for_exit(door.process) == 0


def test_as_a_service_only_a_signal_ends_it(home: str) -> None:
    with open_door(home, arguments=["service"]) as door:
        os.close(door.stdin)
        door.stdin = -1
        assert queue(home)[0] == 0
        assert door.process.poll() is None
        door.process.terminate()
        assert wait_for_exit(door.process) == 0


def test_a_conversation_in_progress_may_finish(home: str) -> None:
    with open_door(home) as door:
        connection = call(home)
        whole = conversation()
        connection.sendall(whole[:40])
        let_in_all_before(home)
        door.process.terminate()
        wait_for(lambda: not os.path.exists(f"{home}/door/socket"), "the door to close")
        connection.sendall(whole[40:])
        reply = answer(connection)
        connection.close()
        assert reply is not None
        assert reply.code == 0
        assert wait_for_exit(door.process) == 0
    assert len(queued(home)) == 1


def let_in_all_before(home: str) -> None:
    """Callers come in in the order of their calls."""
    with call(home) as connection:
        connection.sendall(b"hello")
        assert answer(connection) is not None


def test_one_that_does_not_finish_in_time_is_hung_up_on(home: str) -> None:
    with open_door(home, settings=HURRY + "; server._BOUND = 0.3") as door:
        connection = call(home)
        connection.sendall(conversation(LONG)[:600_000])
        wait_for(lambda: litter(home), "the message to be in mess/")
        door.process.terminate()
        assert answer(connection) is None
        connection.close()
        assert wait_for_exit(door.process) == 0
    assert is_empty(home)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--inherit", "0", "1"], b"nothing to inherit"),
        (["--inherit"], b"nothing to inherit"),
        (["--inherit", "x", "y"], b"nothing to inherit"),
    ],
)
def test_wrong_arguments_are_one_line(home: str, arguments: list[str], words: bytes) -> None:
    done = subprocess.run(
        [f"{home}/bin/qmail-queued", *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 111
    assert done.stderr.startswith(b"qmail-queued: fatal: " + words)
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("path", "words"), [("queue", b"unable to use "), ("door", b"unable to lock ")])
def test_what_is_missing_is_one_line(home: str, path: str, words: bytes) -> None:
    shutil.rmtree(f"{home}/{path}")
    done = subprocess.run([f"{home}/bin/qmail-queued"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 111
    assert done.stderr.startswith(b"qmail-queued: fatal: " + words)
    assert done.stderr.count(b"\n") == 1


def test_its_name_is_the_bare_program_name(home: str) -> None:
    with open_door(home) as door:
        assert read(f"/proc/{door.process.pid}/comm") == b"qmail-queued\n"


# a new version


def switch_version(home: str) -> str:
    """What setup does: a new library beside the old one, and one rename.  Result: its path."""
    new = f"{home}/lib/new"
    shutil.copytree(LIBRARY, new, symlinks=True)
    os.symlink(new, f"{home}/lib/.current")
    os.rename(f"{home}/lib/.current", f"{home}/lib/current")
    return new


def program_of(pid: int) -> bytes:
    return read(f"/proc/{pid}/maps")


@pytest.fixture
def old(home: str) -> Iterator[Door]:
    with open_door(home, settings=HURRY) as door:
        yield door


def descendants(pid: int) -> list[int]:
    return [int(word) for word in read(f"/proc/{pid}/task/{pid}/children").split()]


def test_a_new_version_takes_over_with_socket_and_lock_and_pid(home: str, old: Door) -> None:
    inode = os.stat(f"{home}/door/socket").st_ino
    new = switch_version(home)
    wait_for(lambda: new_code_runs(old, new), "the new version")
    assert queue(home) == (0, b"")
    assert os.stat(f"{home}/door/socket").st_ino == inode
    with open(f"{home}/door/lock") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert old.process.poll() is None
    assert old.stop() == 0
    assert is_free(home)


def is_free(home: str) -> bool:
    with open(f"{home}/door/lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def new_code_runs(door: Door, _new: str) -> bool:
    """An exec leaves the command line of the launcher; ours had the changed one."""
    words = read(f"/proc/{door.process.pid}/environ")
    return b"QMAILHOME=" in words and b"qmail-queued" in read(f"/proc/{door.process.pid}/comm")


def test_conversations_in_progress_are_finished_by_the_old_version(home: str, old: Door) -> None:
    idle, short, long = call(home), call(home), call(home)
    whole, whole_long = conversation(), conversation(LONG)
    short.sendall(whole[:40])
    long.sendall(whole_long[:500_000])
    wait_for(lambda: litter(home), "the long one to be in mess/")
    new = switch_version(home)
    wait_for(lambda: new_code_runs(old, new), "the new version")
    assert queue(home) == (0, b""), "the new one serves"
    assert answer(idle) is None
    assert len(descendants(old.process.pid)) == 1
    for connection, rest in ((short, whole[40:]), (long, whole_long[500_000:])):
        connection.sendall(rest)
        reply = answer(connection)
        assert reply is not None
        assert reply.code == 0
    for connection in (idle, short, long):
        connection.close()
    assert sorted(len(message.body) for message in queued(home)) == [len(MESSAGE), len(MESSAGE), len(LONG)]
    wait_for(lambda: not descendants(old.process.pid), "the fork to end, and no zombie of it")
    assert litter(home) == []


def test_the_end_ends_the_finishing_fork_too(home: str) -> None:
    with open_door(home, settings=HURRY + "; server._BOUND = 0.3") as old:
        long = call(home)
        long.sendall(conversation(LONG)[:500_000])
        wait_for(lambda: litter(home), "the long one to be in mess/")
        new = switch_version(home)
        wait_for(lambda: new_code_runs(old, new), "the new version")
        wait_for(lambda: descendants(old.process.pid), "the fork")
        assert old.stop() == 0
        assert answer(long) is None
        long.close()
        wait_for(lambda: is_empty(home), "the half message to be taken back")


def test_a_new_version_that_does_not_run_leaves_the_old_one_open(home: str, old: Door) -> None:
    short = call(home)
    short.sendall(conversation()[:40])
    os.chmod(f"{home}/bin/qmail-queued", 0o644)
    switch_version(home)
    wait_for(lambda: b"unable to run the new version" in read(old.log), "the log line")
    assert queue(home)[0] == 0
    short.sendall(conversation()[40:])
    reply = answer(short)
    short.close()
    assert reply is not None
    assert reply.code == 0
    assert len(queued(home)) == 2
    old.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(old.process) == 0


def test_messages_that_wait_for_the_disk_while_a_new_version_does_not_run_enter_once(home: str) -> None:
    """The fork that finishes the conversations takes them in; who stays must not do it too."""
    with open_door(home, settings="server._CHORES = 0.001") as old:
        os.chmod(f"{home}/bin/qmail-queued", 0o644)
        old.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: read(f"/proc/{old.process.pid}/stat").rpartition(b")")[2].split()[0] == b"T", "it to stand")
        switch_version(home)
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(call(home)) for _ in range(5)]
            for caller in callers:
                caller.sendall(conversation())
            old.process.send_signal(signal.SIGCONT)  # in one turn it hears them and finds the new version
            replies = [answer(caller) for caller in callers]
        assert [reply is not None and reply.code for reply in replies] == [0] * 5
        wait_for(lambda: b"unable to run the new version" in read(old.log), "the log line")
        wait_for(lambda: not descendants(old.process.pid), "the fork to end")
        assert old.stop() == 0  # and so is everything that it had begun
    assert len(queued(home)) == 5


def test_a_program_in_our_place_is_not_told_our_private_words(home: str, old: Door) -> None:
    """A replaced bin/qmail-queued does not know how an older one goes on: the old code stays."""
    with open(f"{home}/bin/qmail-queued", "w") as file:
        file.write(f"#!/bin/sh\ntouch {home}/ran\n")
    switch_version(home)
    for _ in range(3):
        assert queue(home)[0] == 0
    old.process.send_signal(signal.SIGTERM)
    assert wait_for_exit(old.process) == 0
    assert not os.path.exists(f"{home}/ran")


def test_a_link_that_leads_nowhere_is_not_followed_for_ever(home: str, old: Door) -> None:
    pid = old.process.pid
    os.symlink(f"{home}/lib/../lib/new", f"{home}/lib/.current")  # the library never says that this is its name
    shutil.copytree(LIBRARY, f"{home}/lib/new", symlinks=True)
    os.rename(f"{home}/lib/.current", f"{home}/lib/current")
    wait_for(lambda: new_code_runs(old, ""), "the new version")
    assert queue(home)[0] == 0
    assert old.process.pid == pid
    assert old.process.poll() is None


# a crash


@pytest.mark.slow
def test_a_door_that_is_killed_again_and_again_loses_nothing(home: str) -> None:
    accepted: list[bytes] = []
    refused: list[int] = []
    lock = threading.Lock()

    def submit(worker: int) -> None:
        for number in range(12):
            content = b"%d.%d\n" % (worker, number)
            code, _ = queue(home, content)
            with lock:
                (accepted if code == 0 else refused).append(content if code == 0 else code)  # type: ignore[arg-type]

    workers = [threading.Thread(target=submit, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for round_ in range(6):
        door = Door(home)
        door.wait()
        enough = len(accepted) + 6
        wait_for(lambda: len(accepted) >= enough or len(accepted) + len(refused) == 72, "some messages")  # noqa: B023
        door.kill()
        assert round_ < 6
    with open_door(home):
        for worker in workers:
            worker.join()
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        bodies = [message.body for message in queued(home)]
    assert refused == []
    assert len(accepted) == 72
    assert set(accepted) <= set(bodies), "at worst twice, never lost"
    check_legal(home)


def test_a_door_killed_between_question_and_answer_costs_at_most_a_second_copy(home: str) -> None:
    with open_door(home) as first:
        os.kill(first.process.pid, signal.SIGSTOP)
        process = subprocess.Popen(
            [f"{home}/bin/qmail-queue"],
            stdin=open_file(f"{home}/../message", MESSAGE),
            stdout=open_file(f"{home}/../envelope", b"Fa\0Tb\0\0"),
        )
        wait_for(lambda: b"poll" in read(f"/proc/{process.pid}/wchan") or process.poll() is not None, "it to wait")
        first.kill()
    with open_door(home):
        assert wait_for_exit(process) == 0
    assert [message.body for message in queued(home)] == [MESSAGE]


def open_file(path: str, content: bytes) -> int:
    descriptor = os.open(write(path, content), os.O_RDONLY)
    os.set_inheritable(descriptor, False)
    return descriptor


def test_the_protocol_has_a_version() -> None:
    assert wire.MAGIC.endswith(b"-1\n")
