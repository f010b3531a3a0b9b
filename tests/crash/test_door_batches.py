"""The door under several clients at once, killed before every system call of a batch, then started again.

The clients speak while the door stands still, so that it finds them all in one turn and takes their messages to the
disk together. Whoever was told 0 has his message in the queue, once; the queue is legal and the next door works on it.
"""

import ast
import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from qmailpy.wire import door as wire
from tests.crash import disk_model
from tests.crash.test_entering import CALLS, collect
from tests.queue_support import (
    ENVELOPE,
    Door,
    answer,
    call,
    check_legal,
    emptied,
    litter,
    new_home,
    one_message,
    open_door,
    queue,
    queued,
)
from tests.support import read, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")]

COUNT = 4
# Nothing but its clients wakes this door; strace may look at it although it is none of its children; one thread for the
# disk, so that each of the two threads makes the same calls every time
STILL = """
import ctypes
server._CHORES, server._THREADS = 1000.0, 1
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
"""
# Directories are fsynced by nobody: what the model must find
CONTROL = """
from qmailpy.disk import durable
durable.sync_directory = lambda path: None
"""
# and that of todo/ only after the answer has been told
LATE = """
from qmailpy.disk import durable
from qmailpy.receive.door.committing import Committing
now, late = durable.sync_directory, []
durable.sync_directory = lambda path: late.append(path) if path.endswith(b"/todo") else now(path)
def run(self, batch, run=Committing._run):
    at, (whole, told) = len(batch) - 1, batch[-1]
    def done(error):
        told(error)
        now(late.pop())
    run(self, [*batch[:at], (whole, done)])
Committing._run = run
"""


@pytest.fixture
def home(tmp_path: object) -> str:
    return new_home(tmp_path)


class Lab:
    """A door that stands still until release(), with clients that have said all they have to say."""

    def __init__(self, home: str, settings: str = STILL) -> None:
        self.door = Door(home, settings=settings)
        self._strace: subprocess.Popen[bytes] | None = None
        try:
            self.door.wait()
            self.threads = sorted(map(int, os.listdir(f"/proc/{self.pid}/task")))
            wait_for(self._is_idle, "the door to have nothing to do")
            os.kill(self.pid, signal.SIGSTOP)
            wait_for(lambda: self._state(f"{self.pid}") == b"T", "the door to stand still")
            self.clients = [call(home) for _ in range(COUNT)]
        except BaseException:
            self.close()
            raise
        for number, client in enumerate(self.clients):
            client.sendall(wire.greeting(wire.RESIDENT) + one_message(body(number), ENVELOPE))

    @property
    def pid(self) -> int:
        return self.door.process.pid

    def _is_idle(self) -> bool:
        return all(
            read(f"/proc/{self.pid}/task/{thread}/wchan").startswith((b"poll", b"do_poll", b"futex", b"do_sys_poll"))
            for thread in self.threads
        )

    @staticmethod
    def _state(process: str) -> bytes:
        return bytes(read(f"/proc/{process}/stat").rpartition(b")")[2].split()[0])

    def watch(self, thread: int | None, *options: str) -> None:
        """Let strace look at this thread, or at all."""
        whom = ["-f", "-p", str(self.pid)] if thread is None else ["-p", str(thread)]
        self._strace = subprocess.Popen(["strace", "-qq", *options, *whom])
        watched = self.threads if thread is None else [thread]
        wait_for(lambda: all(b"TracerPid:\t0\n" not in read(f"/proc/{one}/status") for one in watched), "strace")

    def answers(self) -> list[wire.Answer | None]:
        """Let it go on.  Result: what each client was told; None: nothing."""
        os.kill(self.pid, signal.SIGCONT)
        return [answer(client) for client in self.clients]

    def close(self) -> None:
        for client in getattr(self, "clients", []):
            client.close()
        if self.door.process.poll() is None:
            self.door.process.kill()
        self.door.stop()
        if self._strace is not None:
            self._strace.wait()


def body(number: int) -> bytes:
    return b"Subject: %d\n\n" % number + bytes([97 + number]) * (10 << 3 * number)


@contextlib.contextmanager
def lab(home: str, settings: str = STILL) -> Iterator[Lab]:
    with contextlib.closing(Lab(home, settings)) as found:
        yield found


def trace(home: str, log: str, settings: str = STILL) -> list[int]:
    """Result: the threads, the loop's first."""
    with lab(home, settings) as one:
        one.watch(None, "-y", "-s", "200", "-o", log, "-e", f"trace={CALLS},%net")
        assert [told is not None and told.code for told in one.answers()] == [0] * COUNT
        return one.threads


def check(home: str, told: Sequence[wire.Answer | None]) -> int:
    """The promises; queued() checks that every state is legal.  Result: how many are in the queue."""
    found = {message.todo.pid: message for message in queued(home)}
    bodies = Counter(message.body for message in found.values())
    assert set(bodies) <= {body(number) for number in range(COUNT)}
    assert set(bodies.values()) <= {1}
    for number, said in enumerate(told):
        if said is not None:
            assert said.code == 0
            assert found[said.qp].body == body(number)
    return len(found)


def test_killed_before_every_system_call_of_a_batch_the_next_door_has_it(home: str, tmp_path: object) -> None:
    threads = trace(home, f"{tmp_path}/log")
    places = []
    for thread in threads:
        seen: Counter[str] = Counter()
        for whose, text, begins, _ in disk_model.calls(f"{tmp_path}/log"):
            name = text.partition("(")[0]
            if begins and int(whose) == thread and name not in ("poll", "futex"):
                seen[name] += 1
                places.append((threads.index(thread), name, seen[name]))
    assert len(places) > 22 * COUNT
    counts = set()
    for index, name, number in places:
        emptied(home)
        with lab(home) as one:
            options = ("-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}")
            one.watch(one.threads[index], *options)
            told = one.answers()
        before = check(home, told)
        with open_door(home):
            assert queue(home)[0] == 0
        check_legal(home)
        assert len(queued(home)) == before + 1
        collect(home)
        assert not litter(home)
        counts.add((before, COUNT - told.count(None)))
    assert {before for before, _ in counts} == {*range(COUNT + 1)}
    assert {after for _, after in counts} >= {*range(COUNT)}, "it was killed between the answers, too"


# What a power cut leaves


def kept_at_the_answers(home: str, log: str) -> list[set[str]]:
    """What the disk has of each message at the moment at which the door tells its client."""
    numbers = {message.todo.pid: str(message.number) for message in queued(home)}

    def told(text: str) -> list[str]:
        sent = re.match(r'sendto\([^"]*("(?:[^"\\]|\\.)*")', text)
        decoded = wire.decode_answer(ast.literal_eval("b" + sent[1])) if sent else None
        return [numbers[decoded[0].qp]] if decoded is not None else []

    kept = disk_model.replay(log, told)
    assert len(kept) == COUNT
    return list(kept.values())


def test_nobody_is_told_before_all_of_his_message_is_on_the_disk(home: str, tmp_path: object) -> None:
    trace(home, f"{tmp_path}/log")
    assert kept_at_the_answers(home, f"{tmp_path}/log") == [disk_model.PARTS] * COUNT
    todo = [
        text
        for _, text, begins, _ in disk_model.calls(f"{tmp_path}/log")
        if begins and re.match(r"fsync\(.*/queue/todo>", text)
    ]
    assert len(todo) == 1, "they did not go together"


def test_the_model_finds_a_directory_that_is_fsynced_after_the_answer(home: str, tmp_path: object) -> None:
    trace(home, f"{tmp_path}/log", STILL + LATE)
    assert kept_at_the_answers(home, f"{tmp_path}/log") == [disk_model.BEFORE_ITS_NAME] * COUNT


def test_the_model_finds_directories_that_nobody_fsyncs(home: str, tmp_path: object) -> None:
    trace(home, f"{tmp_path}/log", STILL + CONTROL)
    with pytest.raises(AssertionError, match="may be all that a power cut leaves"):
        kept_at_the_answers(home, f"{tmp_path}/log")
