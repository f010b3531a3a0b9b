"""A log that is not read: nobody waits, order stays, and what is lost is counted."""

import os
import pathlib
import posix
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from qmailpy.system import outlet
from qmailpy.system.outlet import Outlet


class Log:
    """One end to write to, one to read from; later: what was to be called later."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        os.set_blocking(reading, False)
        self.later: list[Callable[[], None]] = []
        self.outlet = Outlet(b"small", self.after, writing)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        assert seconds == outlet.AGAIN
        self.later.append(call)

    def pass_time(self) -> None:
        calls, self.later = self.later, []
        for call in calls:
            call()

    def read(self) -> bytes:
        pieces = []
        with suppress(BlockingIOError):
            while piece := os.read(self.reading, 65536):
                pieces.append(piece)
        return b"".join(pieces)

    def read_all(self) -> bytes:
        """As somebody who reads at last."""
        said = self.read()
        while self.later:
            self.pass_time()
            said += self.read()
        return said


@pytest.fixture(params=["pipe", "old pipe", "socket"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    if request.param == "socket":
        one, other = socket.socketpair()
        ends = one.detach(), other.detach()
    else:
        ends = os.pipe()
    if request.param == "old pipe":
        monkeypatch.setattr(posix, "pwritev", _unable)
    found = Log(*ends)
    yield found
    for end in ends:
        with suppress(OSError):
            os.close(end)


def _unable(*_: object) -> int:
    raise OSError(95, "as kernels before 6.4")


def line(number: int) -> bytes:
    return b"small: line %d " % number + b"x" * 80


def test_what_is_read_comes_at_once_and_in_order(log: Log) -> None:
    for number in range(1000):
        log.outlet.say(line(number))
        assert log.read() == line(number) + b"\n"
    assert log.later == []


def test_what_nobody_reads_is_kept_and_comes_later(log: Log) -> None:
    said = [line(number) for number in range(2500)]
    for each in said:
        log.outlet.say(each)  # would wait for ever
    assert len(log.later) == 1
    log.pass_time()
    assert len(log.later) == 1
    assert log.read_all() == b"\n".join(said) + b"\n"
    log.outlet.say(b"small: after that")
    assert log.read() == b"small: after that\n"


def test_what_was_kept_goes_out_with_the_next_line_too(log: Log) -> None:
    said = [line(number) for number in range(2500)]
    for each in said:
        log.outlet.say(each)
    found = b""
    for number in range(2500, 2550):
        found += log.read()
        said.append(line(number))
        log.outlet.say(said[-1])
    assert found + log.read() == b"\n".join(said) + b"\n"
    for number in range(5000):  # behind once more, before that time has passed
        log.outlet.say(line(number))
    assert len(log.later) == 1
    log.read_all()
    assert log.later == []


def test_what_is_too_much_is_counted_and_said(log: Log) -> None:
    count = 20_000
    for number in range(0, count, 2):
        log.outlet.say(line(number) + b"\n" + line(number + 1))
    found = log.read_all().splitlines()
    *lines, last = found
    assert lines == [line(number) for number in range(len(lines))]
    assert len(b"\n".join(lines)) > outlet.MOST
    assert last == b"small: warning: nobody read the log for a while: %d lines are lost" % (count - len(lines))
    log.outlet.say(b"small: after that")
    assert log.read() == b"small: after that\n"


def test_a_line_of_any_length_comes_whole(log: Log) -> None:
    said = [b"x" * size for size in (4095, 4096, 4097, 70_000, 100_000)]
    for each in said:
        log.outlet.say(each)
    assert log.read_all() == b"\n".join(said) + b"\n"


def test_a_reader_that_has_gone_is_no_trouble(log: Log) -> None:
    os.close(log.reading)
    for number in range(3000):
        log.outlet.say(line(number))
    assert log.later == []


def test_the_last_words_wait_for_a_moment_only(log: Log) -> None:
    for number in range(3500):
        log.outlet.say(line(number))
    log.outlet.finish(0.01)
    assert log.read().startswith(line(0))
    log.outlet.finish(0.01)
    assert log.read() != b""


def test_a_fork_says_what_waits_and_who_it_comes_from_forgets(log: Log) -> None:
    for number in range(3500):
        log.outlet.say(line(number))
    log.later.clear()
    log.outlet.resume()
    assert len(log.later) == 1
    log.outlet.forget()
    log.read_all()
    assert log.later == []
    log.outlet.say(b"small: after that")
    assert log.read() == b"small: after that\n"


def test_files_and_closed_descriptors_are_fine(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        Outlet(b"small", _never, file.fileno()).say(b"small: x")
    assert path.read_bytes() == b"small: x\n"
    end, other = os.pipe()
    os.close(end)
    os.close(other)
    Outlet(b"small", _never, other).say(b"small: x")


def _never(_seconds: float, _call: Callable[[], None]) -> None:
    raise AssertionError
