"""The door and everybody who may knock: whatever they do, it serves others, and nothing half lies in the queue."""

import os
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from qmailpy.wire import door as wire
from qmailpy.wire.envelope import Envelope
from tests.queue_support import (
    ENVELOPE,
    HURRY,
    MESSAGE,
    RECIPIENT,
    STRANGER,
    Door,
    answer,
    call,
    check_legal,
    conversation,
    is_empty,
    litter,
    new_home,
    one_message,
    open_door,
    queue,
    queued,
)
from tests.support import read, wait_for, wait_for_exit, write

LONG = bytes(700_000)  # goes to the disk before it is whole


@pytest.fixture
def home(tmp_path: object) -> str:
    return new_home(tmp_path)


@pytest.fixture
def door(home: str) -> Iterator[Door]:
    with open_door(home, settings=HURRY) as opened:
        yield opened
        assert b"fail" not in read(opened.log)
        assert b"internal error" not in read(opened.log)


def still_open(home: str, door: Door) -> None:
    """The same process takes a message from an honest client, ends in order, and nothing else is in the queue."""
    assert door.process.poll() is None
    assert queue(home) == (0, b"")
    assert door.stop() == 0, "from here on nothing moves in the queue"
    assert [message.body for message in queued(home)] == [MESSAGE]
    assert litter(home) == []


def accepted(home: str) -> list[str]:
    """Names in todo/: unlike queued() this may be asked while the door works."""
    return os.listdir(f"{home}/queue/todo")


def no_litter(home: str) -> bool:
    return not litter(home)


def say(home: str, content: bytes) -> socket.socket:
    connection = call(home)
    connection.settimeout(30)
    try:
        connection.sendall(content)
    except (BrokenPipeError, ConnectionResetError):  # it has heard enough
        pass
    return connection


def test_gone_after_each_byte_of_a_conversation(home: str, door: Door) -> None:
    whole = conversation()
    for length in range(len(whole)):
        say(home, whole[:length]).close()
    still_open(home, door)


def test_gone_in_the_middle_of_a_long_message(home: str, door: Door) -> None:
    whole = conversation(LONG)
    for length in (*range(0, len(whole), 50_000), *range(len(whole) - 60, len(whole))):
        say(home, whole[:length]).close()
    still_open(home, door)


def test_gone_before_the_answer_and_the_message_is_taken_all_the_same(home: str, door: Door) -> None:
    say(home, conversation()).close()
    wait_for(lambda: accepted(home), "the message")
    assert door.process.poll() is None


def test_one_byte_at_a_time(home: str, door: Door) -> None:
    connection = call(home)
    for byte in conversation():
        connection.sendall(bytes((byte,)))
    reply = answer(connection)
    connection.close()
    assert reply is not None
    assert reply.code == 0
    assert queued(home)[0].body == MESSAGE
    assert door.process.poll() is None


def frame_of(letter: bytes, length: int) -> bytes:
    return letter + struct.pack(">I", length)


HELLO = wire.greeting(wire.ONE_MESSAGE)

# what is said, and the code of the answer (None: it hangs up without one)
MALFORMED: list[tuple[str, bytes, int]] = [
    ("another protocol", b"HELO there\r\n", 74),
    ("another version", b"qmailpy-door-9\n1", 74),
    ("an unknown speaker", wire.MAGIC + b"?", 74),
    ("zeros", bytes(1000), 74),
    ("an unknown letter", HELLO + frame_of(b"x", 0), 74),
    ("a frame of 65537 bytes", HELLO + frame_of(b"m", 65537), 74),
    ("a frame of 4 GB", HELLO + frame_of(b"m", 0xFFFFFFFF), 74),
    ("an end with content", HELLO + frame_of(b"M", 1) + b"x", 74),
    ("the envelope before the message", HELLO + wire.frame(b"e", ENVELOPE), 74),
    ("the end before the message", HELLO + wire.frame(b"E"), 74),
    ("a message that ends twice", HELLO + wire.frame(b"M") + wire.frame(b"M"), 74),
    ("a message that goes on after its end", HELLO + wire.frame(b"M") + wire.frame(b"m", b"x"), 74),
    ("no envelope", HELLO + wire.frame(b"M") + wire.frame(b"E"), 54),
    ("half an envelope", conversation(envelope=ENVELOPE[:-1]), 54),
    ("an envelope of another kind", conversation(envelope=b"hello"), 91),
    ("an address of 2000 bytes", conversation(envelope=Envelope(b"a" * 2000, []).encode()), 11),
    ("half an envelope after a long message", conversation(LONG, ENVELOPE[:-1]), 54),
    ("another kind after a long message", conversation(LONG, b"hello"), 91),
]


@pytest.mark.parametrize(("content", "code"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed(home: str, door: Door, content: bytes, code: int) -> None:
    connection = say(home, content)
    reply = answer(connection)
    assert reply is not None
    assert reply.code == code
    assert reply.text
    assert answer(connection) is None
    connection.close()
    still_open(home, door)


def test_a_huge_message_is_refused_while_it_comes(home: str) -> None:
    write(f"{home}/control/queuebytes", "2000000\n")
    with open_door(home, settings=HURRY) as door:
        connection = call(home)
        connection.sendall(HELLO)
        sent = 0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - one sentence
            while sent < 50_000_000:
                connection.sendall(wire.frame(b"m", bytes(65536)))
                sent += 65536
        reply = answer(connection)
        connection.close()
        assert reply is not None
        assert (reply.code, reply.text[:1]) == (82, b"D")
        still_open(home, door)


def test_an_envelope_without_end_is_refused(home: str, door: Door) -> None:
    connection = say(home, HELLO + wire.frame(b"M") + wire.frame(b"e", b"Fa\0"))
    recipients = wire.frame(b"e", (b"T" + b"b" * 998 + b"\0") * 65)  # few enough to meet no other limit
    try:
        for _ in range(1100):
            connection.sendall(recipients)
    except (BrokenPipeError, ConnectionResetError):
        pass
    reply = answer(connection)
    connection.close()
    assert reply is not None
    assert (reply.code, reply.text[:1]) == (82, b"D")
    still_open(home, door)


def most_memory(pid: int) -> int:
    """Bytes that this process has ever had in memory."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) << 10


def test_a_large_envelope_is_in_memory_once(home: str, door: Door) -> None:
    recipients = (b"T" + b"b" * 998 + b"\0") * 65
    assert queue(home) == (0, b"")
    before = most_memory(door.process.pid)
    connection = say(home, HELLO + wire.frame(b"M") + wire.frame(b"e", b"Fa\0"))
    for _ in range(900):  # 58 MB
        connection.sendall(wire.frame(b"e", recipients))
    connection.sendall(wire.frame(b"e", b"\0") + wire.frame(b"E"))
    reply = answer(connection)
    connection.close()
    assert reply is not None
    assert reply.code == 0
    # once, and what a growing piece of memory has to spare
    assert most_memory(door.process.pid) - before < 1.5 * 900 * len(recipients)
    assert len(accepted(home)) == 2


def test_messages_that_come_together_share_their_way_to_the_disk(home: str, door: Door) -> None:
    """Many at once, one of them gone before its answer: each is accepted or not for itself."""
    callers = [call(home) for _ in range(40)]
    for caller in callers:
        caller.sendall(conversation(MESSAGE))
    callers.pop().close()
    for caller in callers:
        reply = answer(caller)
        caller.close()
        assert reply is not None
        assert reply.code == 0
    assert door.stop() == 0
    assert len(queued(home)) in (39, 40)
    assert litter(home) == []
    check_legal(home)


def test_thousands_of_tiny_frames_are_heard_and_hold_nobody_up(home: str, door: Door) -> None:
    tiny = wire.frame(b"m", b"x") * 200_000
    connection = call(home)
    connection.setblocking(False)
    connection.sendall(HELLO)
    sent = turns = 0
    while sent < len(tiny):
        try:
            sent += connection.send(tiny[sent : sent + 65536])
        except BlockingIOError:
            turns += 1
            if turns % 50 == 1 and turns < 500:
                assert queue(home) == (0, b"")
    connection.settimeout(30)
    connection.sendall(conversation(b"")[len(HELLO) :])
    reply = answer(connection)
    connection.close()
    assert reply is not None
    assert reply.code == 0
    assert max(queued(home), key=lambda message: len(message.body)).body == b"x" * 200_000
    assert door.process.poll() is None


def test_who_does_not_read_his_answers_is_read_no_more_and_others_are_served(home: str, door: Door) -> None:
    connection = call(home)
    connection.setblocking(False)
    content = wire.greeting(wire.RESIDENT) + one_message(b"x") * 20000
    sent = 0
    try:
        while sent < len(content):
            sent += connection.send(content[sent : sent + 65536])
    except BlockingIOError:
        pass
    assert queue(home) == (0, b"")
    connection.close()
    assert queue(home) == (0, b"")
    assert door.stop() == 0
    check_legal(home)
    assert litter(home) == []


def test_a_resident_gets_an_answer_and_a_number_of_its_own_for_each_message(home: str, door: Door) -> None:
    with call(home) as connection:
        connection.sendall(wire.greeting(wire.RESIDENT))
        numbers = set()
        for count in range(5):
            connection.sendall(one_message(b"%d" % count))
            reply = answer(connection)
            assert reply is not None
            assert reply.code == 0
            numbers.add(reply.qp)
        connection.sendall(one_message(b"5") + one_message(b"6"))
        for _ in range(2):
            reply = answer(connection)
            assert reply is not None
            numbers.add(reply.qp)
    assert len(numbers) == 7
    assert min(numbers) > 1 << 22
    found = queued(home)
    assert sorted(message.body for message in found) == [b"%d" % count for count in range(7)]
    assert {message.todo.pid for message in found} == numbers
    assert door.process.poll() is None


def test_a_resident_whose_message_fails_at_the_disk_may_go_on(home: str, door: Door) -> None:
    with call(home) as connection:
        os.rename(f"{home}/queue/intd", f"{home}/queue/away")
        connection.sendall(wire.greeting(wire.RESIDENT) + one_message())
        reply = answer(connection)
        assert reply is not None
        assert reply.code == 65
        os.rename(f"{home}/queue/away", f"{home}/queue/intd")
        connection.sendall(one_message())
        reply = answer(connection)
        assert reply is not None
        assert reply.code == 0
    assert len(queued(home)) == 1
    assert door.process.poll() is None


@pytest.mark.parametrize(
    "content", [b"", HELLO[:5], HELLO, HELLO + wire.frame(b"m", b"half"), HELLO + frame_of(b"m", 9)]
)
def test_the_silent_are_hung_up_on(home: str, content: bytes) -> None:
    with open_door(home, settings=HURRY + "; door.IDLE = 0.5") as door:
        connection = say(home, content)
        wait_for(lambda: connection.recv(1000) == b"", "the end")
        connection.close()
        still_open(home, door)


def test_empty_frames_keep_a_conversation_alive(home: str) -> None:
    with open_door(home, settings=HURRY + "; door.IDLE = 2.0") as door:
        silent, alive = say(home, HELLO), say(home, HELLO)
        silent.setblocking(False)

        def silent_is_out() -> bool:
            alive.sendall(wire.frame(b"m"))
            try:
                return silent.recv(1000) == b""
            except BlockingIOError:
                return False

        wait_for(silent_is_out, "the silent one to be hung up on")
        silent.close()
        alive.sendall(conversation()[len(HELLO) :])
        reply = answer(alive)
        alive.close()
        assert reply is not None
        assert reply.code == 0
        assert door.process.poll() is None


def test_a_message_that_takes_longer_than_a_day_is_52(home: str) -> None:
    with open_door(home, settings=HURRY + "; session.DEATH = 0.5") as door:
        connection = say(home, HELLO + wire.frame(b"m", LONG[:65536]) * 5)
        reply = answer(connection)
        connection.close()
        assert reply is not None
        assert reply.code == 52
        still_open(home, door)


def test_more_callers_than_places_are_told_so_at_once(home: str) -> None:
    with open_door(home, files=80, settings=HURRY) as door:
        callers = [call(home) for _ in range(200)]
        replies = [reply for caller in callers[8:] if (reply := answer(caller)) is not None]
        assert [reply.code for reply in replies] == [71] * 192
        assert replies[0].text == b"the door is busy"
        for caller in callers:
            caller.close()
        still_open(home, door)


@pytest.mark.root
@pytest.mark.slow
def test_ten_thousand_callers_of_one_uid_leave_room_for_root(home: str) -> None:
    os.chmod(f"{home}/..", 0o711)
    with open_door(home, files=1024) as door:
        ready, go_on = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setuid(STRANGER)
                attack(home, 10_000)
                os.write(ready[1], b"x")
                os.read(go_on[0], 1)
            finally:
                os._exit(0)
        assert os.read(ready[0], 1) == b"x"
        assert queue(home) == (0, b"")
        other = queue(home, user=STRANGER - 1, group=STRANGER - 1, extra_groups=[])
        assert other == (0, b""), "another stranger is served too"
        os.write(go_on[1], b"x")
        os.waitpid(pid, 0)
        for end in (*ready, *go_on):
            os.close(end)
        assert queue(home) == (0, b"")
        assert len(queued(home)) == 3
        assert door.process.poll() is None


def attack(home: str, times: int) -> None:
    """Call again and again and hold on to every connection; each tenth says something."""
    held = []
    for attempt in range(times):
        try:
            connection = call(home)
            if attempt % 10 == 0:
                connection.sendall(HELLO + frame_of(b"m", 65536))
            held.append(connection)
        except OSError:
            pass
        if len(held) > 900:  # our own limit of descriptors
            held.pop(len(held) // 2).close()


# drop/: a name, what makes it, and words of the log line


def link_to(target: str) -> Callable[[str], None]:
    return lambda path: os.symlink(target, path)


def hard_link(path: str) -> None:
    os.link(write(f"{path}.outside/file", conversation()), path)


def folder(path: str) -> None:
    os.mkdir(path)


def fifo(path: str) -> None:
    os.mkfifo(path)


def sparse(path: str) -> None:
    os.truncate(write(path, HELLO), 1 << 40)


def sparse_without_greeting(path: str) -> None:
    os.truncate(write(path, b""), 1 << 40)


def holding(content: bytes) -> Callable[[str], None]:
    def make(path: str) -> None:
        write(path, content)

    return make


def unreadable(path: str) -> None:
    write(path, conversation(), 0o000)


DROPPED: list[tuple[str, Callable[[str], None], bytes]] = [
    ("symlink", link_to("/etc/passwd"), b"symbolic link loop"),
    ("dangling", link_to("/nowhere"), b"symbolic link loop"),
    ("itself", link_to("itself"), b"symbolic link loop"),
    ("hardlink", hard_link, b"it has 2 names"),
    ("folder", folder, b"not a regular file"),
    ("fifo", fifo, b"not a regular file"),
    ("sparse", sparse, b"message larger"),
    ("zeros", sparse_without_greeting, b"message larger"),
    ("some-zeros", holding(bytes(10)), b"not a client"),
    ("empty", holding(b""), b"ends too early"),
    ("text", holding(b"Subject: hello\n\n"), b"not a client"),
    ("half", holding(conversation()[:-1]), b"ends too early"),
    ("half-a-frame", holding(conversation() + b"m"), b"ends too early"),
    ("two", holding(conversation() + one_message()), b"something follows"),
    ("no-envelope", holding(conversation(envelope=b"")), b"envelope ended"),
    ("bad-envelope", holding(conversation(envelope=b"hello")), b"envelope is not"),
    ("long-and-bad", holding(conversation(LONG, b"hello")), b"envelope is not"),
    ("line\nfeed \x1b[0m", holding(b"x"), b"drop/line?feed??[0m set aside"),
]


@pytest.mark.parametrize(("name", "make", "words"), DROPPED, ids=[row[0].split("\n")[0] for row in DROPPED])
def test_what_cannot_be_a_message_is_set_aside(
    home: str, tmp_path: object, name: str, make: Callable[[str], None], words: bytes
) -> None:
    make(f"{home}/drop/{name}")
    if os.path.isdir(f"{home}/drop/{name}.outside"):
        os.rename(f"{home}/drop/{name}.outside", f"{tmp_path}/outside")
    write(f"{home}/drop/good", conversation())
    with open_door(home, settings=HURRY) as door:
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        assert os.listdir(f"{home}/drop/aside") == [name]
        [line] = read(door.log).splitlines()
        assert line.startswith(b"qmail-queued: warning: drop/")
        assert words in line
        assert [message.body for message in queued(home)] == [MESSAGE]
        assert door.process.poll() is None
        assert no_litter(home)


def test_a_flood_of_rubbish_fills_neither_log_nor_day(home: str) -> None:
    for number in range(300):
        write(f"{home}/drop/{number}", b"rubbish")
    write(f"{home}/drop/good", conversation())
    with open_door(home, settings=HURRY) as door:
        wait_for(lambda: accepted(home), "the good one")
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        assert len(os.listdir(f"{home}/drop/aside")) == 300
        assert len(read(door.log).splitlines()) < 50


def test_what_is_dropped_while_the_door_is_open_is_taken_in_too(home: str, door: Door) -> None:
    assert door.process.poll() is None
    write(f"{home}/drop/.half", conversation()[:20])
    write(f"{home}/../whole", conversation())
    os.rename(f"{home}/../whole", f"{home}/drop/whole")
    wait_for(lambda: accepted(home), "the message")
    wait_for(lambda: sorted(os.listdir(f"{home}/drop")) == [".half", "aside"], "the file to go")


def test_a_long_message_in_drop_is_taken_in_whole(home: str) -> None:
    content = os.urandom(3_000_000)
    write(f"{home}/drop/long", conversation(content))
    with open_door(home):
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        assert queued(home)[0].body == content


def test_what_cannot_be_taken_in_now_stays_and_is_tried_again(home: str) -> None:
    write(f"{home}/drop/one", conversation())
    os.rename(f"{home}/queue/todo", f"{home}/queue/away")
    with open_door(home, settings=HURRY) as door:
        wait_for(lambda: b"drop/one deferred: unable to create" in read(door.log), "the log line")
        assert sorted(os.listdir(f"{home}/drop")) == ["aside", "one"]
        os.rename(f"{home}/queue/away", f"{home}/queue/todo")
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        assert [message.todo.recipients for message in queued(home)] == [[RECIPIENT]]
        assert no_litter(home)


@pytest.mark.root
def test_the_owner_of_a_dropped_file_is_the_sender_uid(home: str) -> None:
    write(f"{home}/drop/one", conversation())
    os.chown(f"{home}/drop/one", STRANGER, STRANGER)
    with open_door(home):
        wait_for(lambda: os.listdir(f"{home}/drop") == ["aside"], "an empty drop/")
        [message] = queued(home)
    assert message.todo.uid == STRANGER
    assert b"invoked by uid %d)" % STRANGER in message.content


def test_nobody_is_left_when_the_door_ends(home: str) -> None:
    with open_door(home, settings=HURRY) as door:
        idle, half = call(home), say(home, conversation(LONG)[:400_000])
        wait_for(lambda: not no_litter(home), "the half one to be in mess/")
        half.close()
        assert door.stop() == 0
        assert answer(idle) is None
        idle.close()
    assert is_empty(home)
    assert not os.path.exists(f"{home}/door/socket")
    assert wait_for_exit(door.process) == 0
