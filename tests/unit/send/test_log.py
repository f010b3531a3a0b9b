import os
from collections.abc import Iterator

import pytest

from qmailpy.disk.queue.recipients import Trouble
from qmailpy.rules import logline
from qmailpy.send import log as module
from qmailpy.send.log import Log
from qmailpy.system.loop import Loop


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    yield read_end, write_end
    for end in (read_end, write_end):
        try:
            os.close(end)
        except OSError:
            continue


def drain(descriptor: int) -> bytes:
    found = b""
    try:
        while piece := os.read(descriptor, 65536):
            found += piece
    except BlockingIOError:
        return found
    return found


def test_lines_come_out_in_their_order(ends: tuple[int, int]) -> None:
    loop = Loop()
    log = Log(loop, ends[1])
    for number in range(200):
        log.say(logline.end(number))
        log.flush()
    loop.turn(1)
    assert drain(ends[0]) == b"".join(logline.end(number) for number in range(200))


def test_a_line_alone_is_written_at_once(ends: tuple[int, int]) -> None:
    log = Log(Loop(), ends[1])
    log.say(logline.end(1))
    log.flush()
    assert drain(ends[0]) == logline.end(1)


def test_lines_in_quick_succession_wake_their_reader_once(ends: tuple[int, int]) -> None:
    loop = Loop()
    log = Log(loop, ends[1])
    for number in range(3):
        log.say(logline.end(number))
        log.flush()
    assert drain(ends[0]) == logline.end(0)
    loop.turn(1)
    assert drain(ends[0]) == logline.end(1) + logline.end(2)


def test_nobody_is_waited_for(ends: tuple[int, int]) -> None:
    loop = Loop()
    log = Log(loop, ends[1])
    line = b"x" * 5000 + b"\n"
    for _ in range(60):  # a pipe holds 65536 bytes
        log.say(line)
        log.flush()
    found = b""
    while len(found) < 60 * len(line):
        found += drain(ends[0])
        loop.turn(0.01)
    assert found == 60 * line


def test_a_reader_that_is_far_behind_is_waited_for(ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD", 1000)
    log = Log(Loop(), ends[1])
    for _ in range(66):
        log.say(b"x" * 50 + b"\n")
    assert len(drain(ends[0])) >= 65 * 51


def test_a_reader_that_is_gone_is_told_of_once(ends: tuple[int, int]) -> None:
    loop = Loop()
    log = Log(loop, ends[1])
    told = []
    log.lost = lambda: told.append(1)
    os.close(ends[0])
    for _ in range(3):
        log.say(logline.end(1))
        log.flush()
    log.finish()
    assert told == [1]


@pytest.mark.parametrize(
    ("trouble", "line"),
    [
        (Trouble("opendir", b"todo"), b"alert: unable to opendir todo, sleeping...\n"),
        (Trouble("append", b"bounce/1"), b"alert: unable to append to bounce message; HELP! sleeping...\n"),
        (Trouble("mark", b"local/1/1"), b"warning: trouble marking local/1/1; message will be delivered twice!\n"),
    ],
)
def test_trouble_is_an_alert_or_a_warning(ends: tuple[int, int], trouble: Trouble, line: bytes) -> None:
    log = Log(Loop(), ends[1])
    log.tell(trouble)
    log.finish()
    assert drain(ends[0]) == line
