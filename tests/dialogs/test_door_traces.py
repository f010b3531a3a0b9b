"""The door's story: into qmail-send's pipe or its own log, and a reader that does not read holds nobody up."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qmailpy.rules import trace
from tests.queue_support import call, is_open, new_home, open_door, queue
from tests.support import read, wait_for, wait_for_exit, write

TEXT = b"Subject: x\nMessage-ID: <one@here>\n\nbody\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    path = new_home(tmp_path)
    write(f"{path}/control/trace", "1\n")
    return path


@contextmanager
def told_to(home: str, told: int) -> Iterator[None]:
    """A door as qmail-start makes it; told: its descriptor 1."""
    read_end, write_end = os.pipe()
    process = subprocess.Popen([f"{home}/bin/qmail-queued", "standby", "traces"], stdin=read_end, stdout=told)
    os.close(read_end)
    try:
        wait_for(lambda: process.poll() is not None or is_open(home), "the door")
        yield
    finally:
        os.close(write_end)
        assert wait_for_exit(process) == 0


def events(text: bytes) -> list[dict[str, bytes]]:
    found = [trace.decode(line) for line in text.split(b"\n")[:-1]]
    assert None not in found
    return [fields for fields in found if fields is not None]


def test_a_message_that_is_taken_and_one_that_is_refused(home: str) -> None:
    ear, mouth = os.pipe()
    with told_to(home, mouth):
        assert queue(home, TEXT)[0] == 0
        assert queue(home, TEXT, b"Fs@x\0Tno end")[0] == 54
        with call(home) as connection:
            connection.sendall(b"nonsense\n" * 100)
            assert connection.recv(1000)
    os.close(mouth)
    accepted, *refused = events(os.read(ear, 65536))
    os.close(ear)
    assert (accepted["event"], accepted["id"], accepted["recipients"]) == (b"accepted", b"<one@here>", b"1")
    number, written = trace.split_key(accepted["msg"]) or (0, 0)
    assert written == os.stat(f"{home}/queue/mess/{number % 23}/{number}").st_mtime_ns
    assert (accepted["uid"], accepted["qp"]) == (b"%d" % os.geteuid(), accepted["pid"])
    assert {fields["event"] for fields in refused} == {b"refused"}
    assert {fields["msg"] for fields in refused} == {b"-"}


def test_nobody_waits_for_a_reader_that_does_not_read_and_what_was_lost_is_counted(home: str) -> None:
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    full = 0
    with told_to(home, mouth):
        try:
            while True:
                full += os.write(mouth, b"x" * 4096)
        except BlockingIOError:
            pass
        assert [queue(home, TEXT)[0] for _ in range(3)] == [0, 0, 0]
        while full:
            full -= len(os.read(ear, full))
        assert queue(home, TEXT)[0] == 0
    os.close(mouth)
    (last,) = events(os.read(ear, 65536))
    os.close(ear)
    assert (last["event"], last["lost"]) == (b"accepted", b"3")


def test_a_service_writes_whole_lines_into_its_own_log(home: str) -> None:
    with open_door(home, arguments=["service"]) as door:
        assert queue(home, TEXT)[0] == 0
        wait_for(lambda: b"event=accepted" in read(door.log), "its line")
        (line,) = read(door.log).splitlines()
        door.process.terminate()
    assert line.startswith(b"trace: msg=")
    assert b" by=qmail-queued event=accepted qp=" in line


def test_it_is_silent_without_the_file_and_without_a_reader(home: str) -> None:
    with open_door(home) as door:  # by hand: descriptor 1 is somebody's terminal
        assert queue(home, TEXT)[0] == 0
        assert read(door.log) == b""
    os.unlink(f"{home}/control/trace")
    with open_door(home, arguments=["service"]) as door:
        assert queue(home, TEXT)[0] == 0
        door.process.terminate()
    assert read(door.log) == b""
