"""The message that is being delivered."""

import os
import resource
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.local.message import Message, Unreadable
from qmailpy.verdict import PERM, TEMP, Die

LINE = b"Delivered-To: joe@example.org\n"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "message", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000])
def test_every_reader_gets_all_of_it_from_the_first_byte(file: int, size: int) -> None:
    content = os.urandom(size)
    os.write(file, content)
    message = Message(file)
    assert b"".join(message.pieces()) == content
    assert b"".join(message.pieces(b"head")) == b"head" + content
    assert all(message.pieces())
    assert os.lseek(file, 0, os.SEEK_CUR) == size


def test_a_small_message_and_its_head_are_one_piece(file: int) -> None:
    os.write(file, b"small")
    assert list(Message(file).pieces(b"head ")) == [b"head small"]


def test_rewinding_moves_the_descriptor(file: int) -> None:
    os.write(file, b"x")
    Message(file).rewind()
    assert os.lseek(file, 0, os.SEEK_CUR) == 0


def test_a_pipe_is_no_message() -> None:
    read_end, write_end = os.pipe()
    with pytest.raises(Die) as death:
        Message(read_end).refuse_loop(LINE)
    assert (death.value.verdict, death.value.text) == (TEMP, b"Unable to rewind message. (#4.3.0)")
    os.close(read_end)
    os.close(write_end)


def test_a_directory_is_no_message(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(Unreadable):
        list(Message(descriptor).pieces())
    with pytest.raises(Die) as death:
        Message(descriptor).refuse_loop(LINE)
    assert death.value.text == b"Unable to read message: is a directory. (#4.3.0)"
    os.close(descriptor)


def test_a_loop_is_refused_for_good(file: int) -> None:
    os.write(file, b"A: b\n" + LINE + b"\nbody\n")
    Message(file).refuse_loop(b"Delivered-To: JOE@example.org\n")
    with pytest.raises(Die) as death:
        Message(file).refuse_loop(LINE)
    assert death.value.verdict == PERM
    assert death.value.text == b"This message is looping: it already has my Delivered-To line. (#5.4.6)"


@pytest.mark.slow
def test_a_header_line_of_four_gigabytes_costs_no_memory() -> None:
    file = os.memfd_create("message")  # a hole in memory is read twenty times as fast as one in a file
    os.ftruncate(file, (4 << 30) + 100)
    tracemalloc.start()
    Message(file).refuse_loop(LINE)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    os.close(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4_000_000
