"""For tests of the way into the queue: a door that is started and stopped, qmail-queue on given bytes, a checker."""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qmailpy.disk.home import Home
from qmailpy.disk.queue.paths import Paths
from qmailpy.wire import door as wire
from qmailpy.wire import envelope
from qmailpy.wire.envelope import Envelope, Todo
from tests.support import NOBODY, bare_home, read, wait_for, wait_for_exit, write

SENDER, RECIPIENT = b"me@here.example", b"you@there.example"
ENVELOPE = Envelope(SENDER, [RECIPIENT]).encode()
MESSAGE = b"Subject: a test\n\nbody\n"
LIBRARY = os.path.realpath(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib", "current"))
INTERPRETER = "/usr/bin/python3"
HURRY = "server._CHORES = 0.1"  # settings of a door that looks at the clock often


_CHANGED = """#!/usr/bin/python3 -IS
import sys
sys.path.insert(0, {library!r})
from qmailpy.disk import layout
from qmailpy.receive.door import server, session
from qmailpy.wire import door
{settings}
from qmailpy.programs import start
start("qmail-queued", {home!r})
"""


def new_home(folder: object) -> str:
    """An embedded home of whoever runs the tests."""
    return bare_home(f"{folder}/home")


def emptied(home: str) -> str:
    """The same home with an empty queue, whatever was in it.  Result: its path."""
    for folder in ("pid", "intd", "todo", *(f"mess/{number}" for number in range(23))):
        for name in os.listdir(f"{home}/queue/{folder}"):
            os.unlink(f"{home}/queue/{folder}/{name}")
    return home


class Door:
    """A running door.  log: the file its descriptor 2 goes to."""

    def __init__(self, home: str, *, arguments: Sequence[str] = (), files: int = 0, settings: str = "") -> None:
        """files: its limit of open descriptors; settings: Python that changes figures before it starts."""
        self.home, self.log = home, f"{home}/../door.log"
        read_end, self.stdin = os.pipe()
        program = f"{home}/bin/qmail-queued"
        if settings:
            program = write(f"{home}/../door", _CHANGED.format(library=LIBRARY, settings=settings, home=home), 0o755)
        command = [program, *arguments]
        if files:
            command = ["sh", "-c", f'ulimit -n {files} && exec "$0" "$@"', *command]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=read_end, stdout=log, stderr=log)
        os.close(read_end)

    def wait(self) -> None:
        """Until it answers."""
        wait_for(lambda: self.process.poll() is not None or is_open(self.home), "the door")
        assert self.process.poll() is None, read(self.log)

    def stop(self) -> int:
        """By the end of its descriptor 0.  Result: its exit status."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1
        return wait_for_exit(self.process)

    def kill(self) -> None:
        """As the power cut does."""
        self.process.kill()
        self.stop()


def is_open(home: str) -> bool:
    try:
        call(home).close()
    except OSError:
        return False
    return True


def call(home: str) -> socket.socket:
    """A connection to the door."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    try:
        connection.connect(f"{home}/door/socket")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def open_door(home: str, *, arguments: Sequence[str] = (), files: int = 0, settings: str = "") -> Iterator[Door]:
    """A door that is open now and stopped afterwards, whatever happens."""
    door = Door(home, arguments=arguments, files=files, settings=settings)
    try:
        door.wait()
        yield door
    finally:
        if door.process.poll() is None:
            door.process.terminate()
        door.stop()


def queue(
    home: str, message: bytes | int = MESSAGE, envelope: bytes | int = ENVELOPE, **options: object
) -> tuple[int, bytes]:
    """Run qmail-queue.  message, envelope: bytes, or a descriptor to read.  Result: exit code, what it said on 2."""
    process = start_queue(home, message, envelope, **options)
    _, said = process.communicate()
    return process.returncode, said


def start_queue(
    home: str, message: bytes | int = MESSAGE, envelope: bytes | int = ENVELOPE, **options: object
) -> "subprocess.Popen[bytes]":
    """As queue(), without waiting for it."""
    ours = []
    descriptors = []
    for content in (message, envelope):
        if isinstance(content, bytes):
            descriptor = os.memfd_create("test")
            os.write(descriptor, content)
            os.lseek(descriptor, 0, os.SEEK_SET)
            ours.append(descriptor)
        else:
            descriptor = content
        descriptors.append(descriptor)
    try:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            [f"{home}/bin/qmail-queue"],
            stdin=descriptors[0],
            stdout=descriptors[1],
            stderr=subprocess.PIPE,
            **options,
        )
    finally:
        for descriptor in ours:
            os.close(descriptor)


class Queued:
    """A message in S4."""

    def __init__(self, number: int, content: bytes, todo: Todo) -> None:
        """content: of mess/N, with the Received line."""
        self.number, self.content, self.todo = number, content, todo

    @property
    def body(self) -> bytes:
        """Without the Received line."""
        return self.content.partition(b"\n")[2]


def conversation(message: bytes = MESSAGE, envelope: bytes = ENVELOPE, speaker: bytes = wire.ONE_MESSAGE) -> bytes:
    """All that a client says."""
    return wire.greeting(speaker) + one_message(message, envelope)


def one_message(message: bytes = MESSAGE, envelope: bytes = ENVELOPE) -> bytes:
    """Its frames."""
    return wire.frames(b"m", message) + wire.frame(b"M") + wire.frames(b"e", envelope) + wire.frame(b"E")


def answer(connection: socket.socket) -> wire.Answer | None:
    """The door's next answer; None if it has hung up."""
    heard = b""
    while (decoded := wire.decode_answer(heard)) is None:
        try:
            piece = connection.recv(1 if len(heard) >= 11 else 11 - len(heard))
        except ConnectionResetError:
            piece = b""
        if not piece:
            return None
        heard += piece
    return decoded[0]


def queued(home: str) -> list[Queued]:
    """All messages in S4, in the order of their numbers; the queue is checked on the way, so nothing may move in it."""
    check_legal(home)
    paths = Paths(Home(os.fsencode(home)))
    found = []
    for name in sorted(os.listdir(f"{home}/queue/todo"), key=int):
        number = int(name)
        todo = envelope.decode_todo(read(f"{home}/queue/todo/{name}"))
        assert todo is not None
        found.append(Queued(number, read(os.fsdecode(paths.mess(number))), todo))
    return found


def check_legal(home: str) -> None:
    """Every message is in one of S1 to S4, mess/N is inode N in the right folder, nothing is readable for more."""
    mess = {}
    for folder in range(23):
        for name in os.listdir(f"{home}/queue/mess/{folder}"):
            status = os.stat(f"{home}/queue/mess/{folder}/{name}")
            assert status.st_ino == int(name)
            assert int(name) % 23 == folder
            assert status.st_mode & 0o777 == 0o644
            mess[int(name)] = status
    for folder_name in ("intd", "todo"):
        for name in os.listdir(f"{home}/queue/{folder_name}"):
            assert int(name) in mess, f"{folder_name}/{name} without mess"
            assert os.stat(f"{home}/queue/{folder_name}/{name}").st_mode & 0o777 == 0o644
    for name in os.listdir(f"{home}/queue/todo"):
        assert envelope.decode_todo(read(f"{home}/queue/todo/{name}")) is not None


def litter(home: str) -> list[str]:
    """Files of the queue that belong to no message in S4."""
    accepted = set(os.listdir(f"{home}/queue/todo"))
    found = [f"pid/{name}" for name in os.listdir(f"{home}/queue/pid")]
    found += [f"intd/{name}" for name in os.listdir(f"{home}/queue/intd") if name not in accepted]
    for folder in range(23):
        names = os.listdir(f"{home}/queue/mess/{folder}")
        found += [f"mess/{folder}/{name}" for name in names if name not in accepted]
    return found


def is_empty(home: str) -> bool:
    return not litter(home) and not os.listdir(f"{home}/queue/todo")


STRANGER = NOBODY  # a uid that is neither ours nor a role's, where root runs the tests
