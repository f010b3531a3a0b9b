"""A connection that waits, and not for ever."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.system.stream import SilentPeer, Stream, UnknownHost, connect_tcp, connect_unix
from tests.support import free_port


@pytest.fixture
def pair() -> Iterator[tuple[Stream, socket.socket]]:
    ours, theirs = socket.socketpair()
    stream = Stream(ours, 0.2)
    yield stream, theirs
    stream.close()
    theirs.close()


def test_what_is_sent_arrives_and_the_end_is_empty(pair: tuple[Stream, socket.socket]) -> None:
    stream, theirs = pair
    stream.send(b"hello")
    assert theirs.recv(100) == b"hello"
    theirs.sendall(b"hi")
    assert stream.receive() == b"hi"
    theirs.close()
    assert stream.receive() == b""
    with pytest.raises(BrokenPipeError):
        stream.send(b"x" * 1_000_000)


def test_a_large_piece_is_sent_whole(pair: tuple[Stream, socket.socket]) -> None:
    stream, theirs = pair
    got = bytearray()

    def read() -> None:
        while len(got) < 3_000_000:
            got.extend(theirs.recv(65536))

    reader = threading.Thread(target=read)
    reader.start()
    stream.send(b"x" * 3_000_000)
    reader.join()
    assert len(got) == 3_000_000


def test_a_peer_that_says_nothing_or_reads_nothing_is_silent(pair: tuple[Stream, socket.socket]) -> None:
    stream, _ = pair
    with pytest.raises(SilentPeer):
        stream.receive()
    stream.await_anew()
    with pytest.raises(SilentPeer):
        stream.send(b"x" * 10_000_000)


def test_bytes_one_by_one_give_a_peer_no_more_time(pair: tuple[Stream, socket.socket]) -> None:
    stream, theirs = pair

    def listen() -> None:
        while True:
            theirs.send(b"x")
            stream.receive()

    with pytest.raises(SilentPeer):
        listen()


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect_unix(f"{tmp_path}/none".encode(), 1)
    with pytest.raises(ConnectionRefusedError):
        connect_tcp(b"127.0.0.1", free_port(), 1)
    with pytest.raises(UnknownHost):
        connect_tcp(b"x" * 64 + b".invalid", 24, 1)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_connection_is_made(tmp_path: Path, kind: str) -> None:
    path = f"{tmp_path}/socket"
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as listener:
        listener.bind(path if kind == "unix" else ("127.0.0.1", 0))
        listener.listen()
        stream = (
            connect_unix(path.encode(), 5)
            if kind == "unix"
            else connect_tcp(b"127.0.0.1", listener.getsockname()[1], 5)
        )
        other, _ = listener.accept()
        other.sendall(b"hi")
        assert stream.receive() == b"hi"
        other.close()
        stream.close()
