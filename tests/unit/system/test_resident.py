"""Resident children: one user each, clean between two pieces of work, hostile to their parent at worst."""

import errno
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qmailpy.system import process, resident, signals
from qmailpy.system.loop import Loop
from tests.support import is_running, wait_for


class Parent:
    """A loop and a crew, with what the children answered."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.crew = resident.Crew(self.loop)
        self.answers: list[bytes | None] = []
        self.loop.on_signal(signals.SIGCHLD, self.reap)
        self.pids: set[int] = set()

    def reap(self) -> None:
        while found := process.reap():
            assert self.crew.ended(*found)

    def give(self, work: Callable[[bytes], bytes], request: bytes, *passed: int, key: object = "k") -> None:
        kind = resident.Kind((key,), "qmail-test", os.getuid(), os.getgid(), b"/", work)
        self.crew.give(kind, request, list(passed), self.answers.append)
        self.pids.update(self.crew._all)

    def wait(self, answers: int) -> list[bytes | None]:
        for _ in range(40):
            if len(self.answers) >= answers:
                return self.answers
            self.loop.turn(0.5)
        raise AssertionError("no answer")

    def wait_for_nobody(self) -> None:
        for _ in range(40):
            if not self.crew._all:
                return
            self.loop.turn(0.5)
        raise AssertionError("children are left")

    def leave(self) -> None:
        self.crew.dismiss_idle()
        for _ in range(40):
            if not self.crew._all:
                break
            self.loop.turn(0.5)
        signals.default(signals.SIGCHLD)
        self.loop.close()


@pytest.fixture
def parent() -> Iterator[Parent]:
    it = Parent()
    yield it
    it.leave()
    assert not it.crew._all


def test_a_child_is_used_again(parent: Parent) -> None:
    for count in (1, 2, 3):
        parent.give(lambda _: b"%d" % os.getpid(), b"?")
        parent.wait(count)
    assert len(set(parent.answers)) == 1
    assert parent.answers[0] != b"%d" % os.getpid()


def test_a_busy_child_is_never_given_more(parent: Parent) -> None:
    read_end, write_end = os.pipe()

    def wait_for_end(_: bytes) -> bytes:
        os.read(0, 1)
        return b"%d" % os.getpid()

    for _ in range(3):
        parent.give(wait_for_end, b"?", read_end)
    os.close(read_end)
    os.close(write_end)
    assert len(set(parent.wait(3))) == 3


def test_children_of_different_keys_are_different(parent: Parent) -> None:
    parent.give(lambda _: b"%d" % os.getpid(), b"?", key="joe")
    parent.wait(1)
    parent.give(lambda _: b"%d" % os.getpid(), b"?", key="sue")
    assert len(set(parent.wait(2))) == 2


def test_descriptors_come_along_and_nothing_else_is_open(parent: Parent, tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(b"hello")
    message = os.open(tmp_path / "message", os.O_RDONLY)

    def look(_: bytes) -> bytes:
        numbers = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        return os.read(0, 100) + b" %r" % numbers

    parent.give(look, b"?", message)
    os.close(message)
    answer = parent.wait(1)[0]
    # 3 is the child's own socket, 4 the directory being listed
    assert answer == b"hello [0, 1, 2, 3, 4]"


def test_state_is_clean_between_two_pieces_of_work(parent: Parent) -> None:
    def spoil(_: bytes) -> bytes:
        import posix

        os.umask(0)
        os.chdir("/tmp")
        posix.environ[b"LEFT"] = b"over"
        signals.ignore(signals.SIGTERM)
        signals.alarm(1000, lambda _: None)
        os.open("/dev/null", os.O_RDONLY)
        return b"spoilt"

    def look(_: bytes) -> bytes:
        import _signal
        import posix

        umask = os.umask(0)
        state = (
            os.getcwd(),
            umask,
            posix.environ.get(b"LEFT"),
            _signal.getsignal(_signal.SIGTERM) == _signal.SIG_DFL,
            _signal.getitimer(_signal.ITIMER_REAL)[0],
            len(os.listdir("/proc/self/fd")),
        )
        return repr(state).encode()

    def work(request: bytes) -> bytes:
        return spoil(request) if request == b"spoil" else look(request)

    umask = os.umask(0o022)
    os.umask(umask)
    parent.give(work, b"spoil")
    parent.wait(1)
    parent.give(work, b"look")
    assert parent.wait(2)[1] == repr(("/", umask, None, True, 0.0, 5)).encode()


def test_a_child_that_dies_is_reported_and_replaced(parent: Parent) -> None:
    def die(_: bytes) -> bytes:
        os.kill(os.getpid(), 9)
        return b""

    parent.give(die, b"?")
    assert parent.wait(1) == [None]
    parent.give(lambda _: b"well", b"?", key="other")
    assert parent.wait(2)[1] == b"well"


def test_children_of_one_uid_and_two_homes_are_different(parent: Parent) -> None:
    for count, folder in enumerate((b"/home/joe", b"/home/joe/virtual", b"/home/joe"), start=1):
        parent.give(lambda _: b"%d" % os.getpid(), b"?", key=(1000, 1000, folder))
        parent.wait(count)
    first, second, third = parent.answers
    assert first == third
    assert first != second


def test_an_idle_child_leaves(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "IDLE", 0.05)
    parent.give(lambda _: b"well", b"?", key="joe")
    parent.give(lambda _: b"well", b"?", key="lookup")
    parent.wait(2)
    parent.wait_for_nobody()


def test_a_child_that_is_stopped_leaves_too(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user can do that to it; it would stay for ever."""
    monkeypatch.setattr(resident, "IDLE", 0.05)
    parent.give(lambda _: b"%d" % os.getpid(), b"?")
    (answer,) = parent.wait(1)
    assert answer is not None
    os.kill(int(answer), signal.SIGSTOP)
    parent.wait_for_nobody()


def test_a_child_that_speaks_unasked_is_killed(parent: Parent) -> None:
    def babble(_: bytes) -> bytes:
        with socket.socket(fileno=os.dup(3)) as line:
            line.send(b"asked")
            line.send(b"unasked")
        os.read(0, 1)  # until it is killed: nobody writes
        return b""

    read_end, write_end = os.pipe()
    parent.give(babble, b"?", read_end)
    os.close(read_end)
    assert parent.wait(1) == [b"asked"]
    parent.wait_for_nobody()
    os.close(write_end)


def test_only_so_many_idle_children_are_kept(parent: Parent) -> None:
    parent.crew._most_idle = 2
    read_end, write_end = os.pipe()

    def wait_for_end(_: bytes) -> bytes:
        os.read(0, 1)
        return b"well"

    for number in range(5):
        parent.give(wait_for_end, b"?", read_end, key=number)
    os.close(read_end)
    os.close(write_end)
    parent.wait(5)
    for _ in range(40):
        if len(parent.crew._all) == 2:
            break
        parent.loop.turn(0.5)
    assert len(parent.crew._all) == 2


def _without_core_files(pid: int) -> int:
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    return 0


def test_a_child_whose_limits_were_changed_takes_no_more_work(parent: Parent) -> None:
    def lower(request: bytes) -> bytes:
        if request == b"lower":
            # as a program of its user would change them: work that has started none is looked at less often
            process.wait(process.fork(lambda: _without_core_files(os.getppid())))
        return b"%d" % os.getpid()

    resource_limit = resource.getrlimit(resource.RLIMIT_CORE)
    if resource_limit == (0, 0):
        pytest.skip("core files are forbidden already")
    parent.give(lower, b"keep")
    parent.wait(1)
    parent.give(lower, b"lower")
    parent.wait(2)
    parent.give(lower, b"keep")
    first, second, third = parent.wait(3)
    assert first == second != third


def test_an_unknown_exception_is_reported_as_a_death(parent: Parent) -> None:
    parent.give(lambda _: b"%d" % (1 // 0), b"?")
    assert parent.wait(1) == [None]


def test_a_request_that_is_too_large_is_refused_to_the_caller(parent: Parent) -> None:
    with pytest.raises(OSError) as caught:
        parent.give(lambda _: b"", b"x" * (4 << 20))
    assert caught.value.errno == errno.EMSGSIZE


def test_work_that_is_abandoned_ends_with_all_that_it_has_started(parent: Parent) -> None:
    """As where a source of accounts hangs in a call of the C library's: nothing in the child could end it."""
    read_end, write_end = os.pipe()

    def stay() -> int:
        os.write(0, b"%d " % os.getpid())
        signal.pause()
        return 0

    def hang(_: bytes) -> bytes:
        process.fork(stay)
        stay()
        return b"never"

    kind = resident.Kind(("k",), "qmail-test", os.getuid(), os.getgid(), b"/", hang, process.lead_group)
    pid = parent.crew.give(kind, b"hang", [write_end], parent.answers.append)
    said = b""
    while said.count(b" ") < 2:
        said += os.read(read_end, 100)
    parent.crew.abandon(pid)
    parent.crew.abandon(pid)
    parent.wait_for_nobody()
    assert parent.answers == []
    for each in map(int, said.split()):
        wait_for(lambda each=each: not is_running(each), "the end of both")  # type: ignore[misc]
    os.close(read_end)
    os.close(write_end)
