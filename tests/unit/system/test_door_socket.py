"""The door's socket and lock."""

import os

import pytest

from qmailpy.system import door
from qmailpy.verdict import Die


@pytest.fixture
def folder(tmp_path: object) -> bytes:
    return str(tmp_path).encode()


def talk(path: bytes) -> None:
    listener = door.listen(path)
    try:
        assert os.stat(path).st_mode & 0o777 == 0o666
        assert door.accept(listener) is None
        line = door.Line(path)
        assert line.send(b"hello", 1.0)
        connection = door.accept(listener)
        assert connection is not None
        peer = door.peer_of(connection)
        assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
        assert connection.recv(10) == b"hello"
        connection.send(b"answer")
        assert line.receive(1.0) == b"answer"
        connection.close()
        assert line.receive(1.0) == b""
        assert not line.send(b"more", 1.0)
        line.close()
    finally:
        listener.close()
    with pytest.raises(ConnectionRefusedError):
        door.Line(path)


def test_a_conversation(folder: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        door.Line(folder + b"/socket")
    talk(folder + b"/socket")
    talk(folder + b"/socket")
    assert os.listdir(folder) == [b"socket"], "put in place by rename, nothing beside it"


def test_a_path_longer_than_a_socket_address(folder: bytes) -> None:
    deep = folder + b"/" + b"d" * 100 + b"/" + b"e" * 100
    os.makedirs(deep)
    talk(deep + b"/socket")
    with pytest.raises(Die, match="too long"):
        door.listen(deep + b"/" + b"s" * 100)


def test_a_peer_that_does_not_move_is_not_waited_for_for_ever(folder: bytes) -> None:
    listener = door.listen(folder + b"/socket")
    line = door.Line(folder + b"/socket")
    with pytest.raises(TimeoutError):
        line.receive(0.01)
    with pytest.raises(TimeoutError):
        line.send(bytes(10 << 20), 0.01)
    line.close()
    listener.close()


def test_one_lock(folder: bytes) -> None:
    held = door.lock(folder + b"/lock")
    assert held is not None
    assert door.lock(folder + b"/lock") is None
    os.close(held)
    again = door.lock(folder + b"/lock")
    assert again is not None
    os.close(again)


def test_a_lock_is_never_a_symbolic_link(folder: bytes) -> None:
    os.symlink("elsewhere", folder + b"/lock")
    with pytest.raises(OSError):
        door.lock(folder + b"/lock")


def test_an_inherited_descriptor_must_be_a_socket() -> None:
    with open("/dev/null", "rb") as file, pytest.raises(OSError):
        door.inherited(file.fileno())
