"""The door's client against doors that behave in every way a door can."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from qmailpy.disk import drop
from qmailpy.disk.home import Home
from qmailpy.skeletons import queue_client
from qmailpy.skeletons.queue_client import HOLD, Client, Way
from qmailpy.wire import door as wire
from qmailpy.wire.door import Answer
from tests.queue_support import ENVELOPE, MESSAGE, conversation, new_home
from tests.support import read, write

Behaviour = Callable[[socket.socket], None]


@pytest.fixture
def home(tmp_path: object) -> Home:
    return Home(os.fsencode(new_home(tmp_path)))


@contextmanager
def doors(home: Home, *behaviours: Behaviour) -> Iterator[None]:
    """A listening socket where each caller in turn meets the next of these."""
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(30)
    folder = os.getcwd()
    os.chdir(home.path)  # for a name that fits
    listener.bind("door/socket")
    os.chdir(folder)
    listener.listen(10)
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            for behaviour in behaviours:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(30)
                    behaviour(connection)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)
        finally:
            listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert failures == []


def hear(connection: socket.socket, heard: list[tuple[bytes, bytes]]) -> None:
    reader = wire.FrameReader()
    while not heard or heard[-1][0] != b"E":
        piece = connection.recv(65536)
        if not piece:
            return
        reader.feed(piece)
        while (frame := reader.next()) is not None:
            heard.append(frame)


def taking(heard: list[tuple[bytes, bytes]]) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        hear(connection, heard)
        connection.sendall(Answer(0, 5).encode())

    return behave


def busy(connection: socket.socket) -> None:
    connection.sendall(Answer(71, 0, b"the door is busy").encode())


def hanging_up(connection: socket.socket) -> None:
    connection.recv(1)


def hand_over(client: Client, content: bytes = MESSAGE) -> Answer:
    for at in range(0, len(content), 65536):
        client.write(content[at : at + 65536])
    return client.close(ENVELOPE)


def content_of(heard: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(content for letter, content in heard if letter == b"m")


@pytest.mark.parametrize("size", [0, 10, HOLD, HOLD + 1, 3 * HOLD])
def test_a_message_of_any_size_arrives(home: Home, size: int) -> None:
    heard: list[tuple[bytes, bytes]] = []
    content = os.urandom(size)
    with doors(home, taking(heard)):
        answer = hand_over(Client(home, wire.ONE_MESSAGE), content)
    assert (answer.code, answer.qp) == (0, 5)
    assert content_of(heard) == content
    assert b"".join(piece for letter, piece in heard if letter == b"e") == ENVELOPE


@pytest.mark.parametrize("size", [10, 3 * HOLD])
def test_a_busy_door_is_called_again(home: Home, size: int) -> None:
    heard: list[tuple[bytes, bytes]] = []
    content = os.urandom(size)
    with doors(home, busy, busy, taking(heard)):
        assert hand_over(Client(home, wire.ONE_MESSAGE), content).code == 0
    assert content_of(heard) == content


def test_a_door_that_stays_busy_is_71_and_nothing_is_dropped(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_client, "BUSY_PATIENCE", 0.0)
    with doors(home, busy):
        answer = hand_over(Client(home, wire.ONE_MESSAGE, patience=0.0))
    assert (answer.code, answer.text) == (71, b"the door is busy")
    assert os.listdir(home.at(b"drop")) == [b"aside"]


def test_a_queue_before_the_door_counts_as_busy(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_client, "BUSY_PATIENCE", 0.0)
    waiting = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fsdecode(home.at(b"door")) + "/socket")
        listener.listen(0)
        for _ in range(2):
            caller = socket.socket(socket.AF_UNIX)
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
            waiting.append(caller)
        answer = hand_over(Client(home, wire.ONE_MESSAGE, patience=0.0))
        for caller in waiting:
            caller.close()
    assert answer.code == 71


@pytest.mark.parametrize("size", [10, HOLD + 1])
def test_a_door_that_hangs_up_without_a_word_is_called_again(home: Home, size: int) -> None:
    heard: list[tuple[bytes, bytes]] = []
    content = os.urandom(size)
    with doors(home, hanging_up, hanging_up, taking(heard)):
        assert hand_over(Client(home, wire.ONE_MESSAGE), content).code == 0
    assert content_of(heard) == content


def test_an_early_answer_ends_a_long_message(home: Home) -> None:
    def refuse(connection: socket.socket) -> None:
        received = 0
        while received < HOLD + 100_000:
            received += len(connection.recv(65536))
        connection.sendall(Answer(82, 0, b"Dtoo large").encode())

    client = Client(home, wire.ONE_MESSAGE)
    with doors(home, refuse):
        for _ in range(1000):
            client.write(bytes(65536))
            if client.answer is not None:
                break
    answer = client.close(ENVELOPE)
    assert (answer.code, answer.text) == (82, b"Dtoo large")


def test_a_door_lost_in_the_middle_of_a_long_message_is_74(home: Home) -> None:
    def lose(connection: socket.socket) -> None:
        received = 0
        while received < HOLD + 100_000:
            received += len(connection.recv(65536))

    client = Client(home, wire.ONE_MESSAGE)
    with doors(home, lose):
        while client.answer is None:
            client.write(bytes(65536))
    assert client.close(ENVELOPE).code == 74


def test_a_silent_input_is_covered_by_empty_frames(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "KEEP_ALIVE", 0.01)
    heard: list[tuple[bytes, bytes]] = []
    read_end, write_end = os.pipe()

    def behave(connection: socket.socket) -> None:
        reader = wire.FrameReader()
        while (b"m", b"") not in heard:
            reader.feed(connection.recv(65536))
            while (frame := reader.next()) is not None:
                heard.append(frame)
        os.write(write_end, b"x")
        connection.sendall(Answer(52).encode())

    client = Client(home, wire.ONE_MESSAGE)
    assert client.await_input(read_end), "as long as nothing is streamed the read itself waits"
    with doors(home, behave):
        client.write(bytes(HOLD + 1))
        while client.await_input(read_end):
            os.read(read_end, 1)
    assert client.close(ENVELOPE).code == 52
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("size", [10, HOLD + 1])
def test_a_closed_door_leaves_the_clients_bytes_in_drop(home: Home, size: int) -> None:
    content = os.urandom(size)
    answer = hand_over(Client(home, wire.ONE_MESSAGE, patience=0.0), content)
    assert (answer.code, answer.qp) == (0, os.getpid())
    [name] = drop.waiting(home.at(b"drop"), 0)
    dropped = read(os.fsdecode(home.at(b"drop", name)))
    if size <= wire.PIECE_LIMIT:
        assert dropped == conversation(content)
    assert dropped.endswith(conversation(b"")[len(wire.MAGIC) + 1 :])


@pytest.mark.parametrize("size", [11, HOLD + 1])
def test_what_the_door_would_refuse_is_not_dropped(home: Home, size: int) -> None:
    write(os.fsdecode(home.control(b"queuebytes")), "10\n")
    answer = hand_over(Client(home, wire.ONE_MESSAGE, patience=0.0), bytes(size))
    assert (answer.code, answer.text[:1]) == (82, b"D")
    assert os.listdir(home.at(b"drop")) == [b"aside"]


@pytest.mark.parametrize("size", [10, HOLD + 1])
def test_giving_up_leaves_nothing(home: Home, size: int) -> None:
    client = Client(home, wire.ONE_MESSAGE, patience=0.0)
    client.write(bytes(size))
    client.abandon()
    client.abandon()
    assert os.listdir(home.at(b"drop")) == [b"aside"]


def test_no_drop_is_56_with_a_sentence(home: Home) -> None:
    os.rmdir(home.at(b"drop", b"aside"))
    os.rmdir(home.at(b"drop"))
    answer = hand_over(Client(home, wire.ONE_MESSAGE, patience=0.0))
    assert answer.code == 56
    assert answer.text.startswith(b"the door is closed")


class OwnWay(Way):
    def __init__(self) -> None:
        self.content = self.envelope = b""
        self.abandoned = 0

    def message(self, piece: bytes) -> Answer | None:
        self.content += piece
        return None

    def finish(self, envelope: bytes) -> Answer | None:
        self.envelope = envelope
        return Answer(0, 9)

    def abandon(self) -> None:
        self.abandoned += 1


@pytest.mark.parametrize("size", [0, 10, 3 * HOLD])
def test_root_uses_his_own_way_at_once_and_drops_nothing(home: Home, size: int) -> None:
    own = OwnWay()
    content = os.urandom(size)
    assert hand_over(Client(home, wire.ONE_MESSAGE, lambda: own), content).qp == 9
    assert (own.content, own.envelope) == (content, ENVELOPE)
    assert os.listdir(home.at(b"drop")) == [b"aside"]


def test_who_comes_again_with_it_is_told_that_the_door_is_closed(home: Home) -> None:
    answer = hand_over(Client(home, wire.ONE_MESSAGE, patience=0.0, drops=False))
    assert (answer.code, answer.text) == (56, b"the door is closed (is qmail-queued running?)")
    assert os.listdir(home.at(b"drop")) == [b"aside"]
