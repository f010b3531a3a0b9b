"""mailq and sendmail -bp: everybody his own messages, whoever may read the queue all of them, new ones too.

Here one uid has every role; users of a machine of their own are in tests/privilege/test_injection.py.
"""

import os
import socket
from pathlib import Path

import pytest

from qmailpy.skeletons import mail_list
from qmailpy.wire import door as wire
from tests.inject_support import run
from tests.queue_support import answer, call, new_home, open_door, queue, queued
from tests.send_support import Sender, Store
from tests.support import wait_for, write

LIST = wire.greeting(wire.LIST)


def told(home: str, said: bytes = LIST) -> bytes:
    """All that the door answers to these bytes."""
    with call(home) as connection:
        connection.sendall(said)
        heard = b""
        while piece := connection.recv(65536):
            heard += piece
    return heard


def text_of(heard: bytes) -> bytes:
    found = wire.decode_list(heard)
    assert isinstance(found, wire.List), heard
    return found.text


@pytest.mark.parametrize(
    ("name", "words"), [("mailq", []), ("mailq", ["-v"]), ("sendmail", ["-bp"]), ("sendmail", ["-bpu"])]
)
@pytest.mark.parametrize("forced", ["", "1"])
def test_a_message_that_has_just_come_is_listed(tmp_path: Path, name: str, words: list[str], forced: str) -> None:
    home = new_home(tmp_path)
    with open_door(home):
        assert run(home, "sendmail", "-f", "a@b.c", "x@y.z", "\x07@y.z", message=b"\nx\n").code == 0
        [message] = queued(home)
        done = run(home, name, *words, environment={"QMAILEXEC": forced})
        size = len(message.content)
        assert (done.code, done.err) == (0, b"")
        head, *recipients = done.out.split(b"\n")
        assert head.endswith(b" GMT  #%d  %d  <a@b.c>  new" % (message.number, size))
        assert recipients == [b"\ttodo\tx@y.z", b"\ttodo\t_@y.z", b""]
        # the door, which is the owner here, tells the same
        assert text_of(told(home)) == done.out


def test_what_qmail_send_has_taken_up_is_listed_whole_where_it_may_be_read(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with open_door(home):
        assert queue(home)[0] == 0
        [message] = queued(home)
        part, number = message.number % 23, message.number
        write(f"{home}/queue/info/{part}/{number}", b"Fa@b.c\0")
        write(f"{home}/queue/remote/{part}/{number}", b"Tx@y.z\0Dd@e.f\0")
        os.unlink(f"{home}/queue/todo/{number}")
        os.unlink(f"{home}/queue/intd/{number}")
        expected = b"  #%d  %d  <a@b.c> \n\tremote\tx@y.z\n  done\tremote\td@e.f\n" % (number, len(message.content))
        assert text_of(told(home)).endswith(expected)
        assert run(home, "mailq").out.endswith(expected)


def test_other_peoples_messages_and_half_ones_are_not_told(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    other = os.getuid() + 1
    for number, line in ((46, b"by uid %d" % other), (47, b"by uid %d" % os.getuid()), (48, b"by nobody")):
        write(f"{home}/queue/mess/{number % 23}/{number}", b"Received: (qmail 1 invoked %s); x\n" % line)
    write(f"{home}/queue/todo/46", b"u%d\0p1\0Fa@b.c\0Tsecret@y.z\0" % other)
    write(f"{home}/queue/intd/47", b"u")
    with open_door(home):
        assert text_of(told(home)) == b""


def test_bpc_only_counts(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with open_door(home):
        for name, words in (("mailq", ["-bpc"]), ("sendmail", ["-bpc"])):
            assert run(home, name, *words).out == b"0\n"
        assert queue(home, envelope=b"Fa@b.c\0Tx  #7@y.z\0Tx@y.z\0\0")[0] == 0
        assert queue(home)[0] == 0
        for name, words in (("mailq", ["-bpc"]), ("sendmail", ["-bpc"])):
            assert run(home, name, *words).out == b"2\n"
        assert (
            mail_list.count(text_of(told(home)) + b"1 Jan 2026 00:00:00 GMT  #9  10  in delivery\nand more: x\n") == 3
        )


def test_an_envelope_of_any_size_is_cut_in_the_list(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with open_door(home):
        envelope = b"Fa@b.c\0" + b"".join(b"T%d@y.z\0" % at for at in range(100_000)) + b"\0"
        assert queue(home, envelope=envelope)[0] == 0
        lines = text_of(told(home)).split(b"\n")
    assert len(lines) == 1 + 100 + 1 + 1
    assert lines[-2] == b"\ttodo\tand more"


def test_one_list_at_a_time_and_then_a_rest(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with open_door(home, settings="from qmailpy.receive.door import telling; telling._REST = 1e6"):
        assert text_of(told(home)) == b""
        with call(home) as connection:
            connection.sendall(LIST)
            refused = answer(connection)
        assert refused is not None
        assert (refused.code, refused.text) == (wire.BUSY, b"others are asking about their messages")
        assert queue(home)[0] == 0  # messages are taken all the while


def test_who_asks_while_the_door_rests_gets_his_list_soon(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with open_door(home):
        for _ in range(5):
            assert run(home, "mailq").code == 0


@pytest.mark.parametrize("said", [LIST + b"m\0\0\0\1x", LIST + LIST, LIST[:-1] + b"L", LIST[:-1] + b"qqq"])
def test_a_strange_caller_does_no_harm(tmp_path: Path, said: bytes) -> None:
    home = new_home(tmp_path)
    with open_door(home) as door:
        try:
            told(home, said)
        except ConnectionResetError:
            pass
        assert queue(home)[0] == 0
        assert door.process.poll() is None


def test_who_hangs_up_before_his_list_does_no_harm(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with open_door(home):
        for _ in range(20):
            with call(home) as connection:
                connection.sendall(LIST)
                connection.shutdown(socket.SHUT_RDWR)
        assert queue(home)[0] == 0
        assert run(home, "mailq").code == 0


def test_a_list_left_in_drop_is_no_message(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    write(f"{home}/drop/{'a' * 32}", LIST, 0o600)
    with open_door(home):
        assert queue(home)[0] == 0
        assert len(queued(home)) == 1


def asked_again(home: str) -> tuple[int, bytes]:
    """What the door answers to who wishes that his messages are tried now."""
    with call(home) as connection:
        connection.sendall(wire.greeting(wire.FLUSH))
        said = answer(connection)
    assert said is not None
    return said.code, said.text


def test_a_wish_to_be_tried_now_is_fulfilled_once_in_ten_seconds(tmp_path: Path) -> None:
    store = Store(new_home(tmp_path))
    settings = "from qmailpy.receive.door import telling; telling._REST = 0.0"
    with Sender(store.home) as sender, open_door(store.home, settings=settings):
        # two recipients: who has deferred both waits from that moment on
        assert queue(store.home, envelope=b"Fa@b.c\0Tx@y.z\0Tv@y.z\0\0")[0] == 0
        for count in (2, 4):
            for _ in range(2):
                sender.remote.serve(b"Z", b"later\n")
            wait_for(lambda: sum(line.startswith("delivery") for line in sender.lines()) == count, "both deferrals")  # noqa: B023
            if count == 2:
                assert asked_again(store.home) == (0, b"")
        assert asked_again(store.home) == (0, b"")
        assert sender.remote.is_quiet()


def test_a_wish_without_qmail_send_is_told_so_and_may_come_again(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with open_door(home, settings="from qmailpy.receive.door import telling; telling._REST = 0.0"):
        assert asked_again(home) == (0, b"")  # there is no message to ask about
    with open_door(home, settings="from qmailpy.receive.door import telling; telling._REST = 0.0"):
        assert queue(home)[0] == 0
        for _ in range(2):
            assert asked_again(home) == (81, b"qmail-send does not run")
