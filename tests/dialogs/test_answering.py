"""qmail-send's own socket: what it tells the door of messages that it has taken up, and what it does for it."""

import os
import socket
from pathlib import Path

import pytest

from qmailpy.wire import asking
from tests.inject_support import run
from tests.queue_support import new_home, open_door
from tests.send_support import LOCAL, REMOTE, Sender, Store
from tests.support import wait_for

UID = 77  # of tests/send_support's messages


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(new_home(tmp_path))


def call(home: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    try:
        connection.connect(f"{home}/door/send/socket")
    except OSError:
        connection.close()
        raise
    return connection


def ask(home: str, question: asking.Question) -> list[bytes] | None:
    """The texts; None where it hangs up before they have come."""
    reader = asking.TextReader(len(question.numbers))
    try:
        with call(home) as connection:
            connection.sendall(question.encode())
            while piece := connection.recv(65536):
                reader.feed(piece)
    except ConnectionError:
        return None
    return reader.texts if reader.done else None


def defer_all(store: Store, sender: Sender, count: int = 1) -> list[int]:
    """So many messages, each with a local and a remote recipient, and both wait."""
    numbers = [store.put([LOCAL, REMOTE]) for _ in range(count)]
    for _ in numbers:
        sender.local.serve(b"Z", b"later\n")
        sender.remote.serve(b"Z", b"later\n")
    wait_for(lambda: sum(line.startswith("delivery") for line in sender.lines()) == 2 * count, "all deferrals")
    return numbers


def test_it_tells_of_a_message_only_for_who_has_brought_it(store: Store) -> None:
    with Sender(store.home) as sender:
        (number,) = defer_all(store, sender)
        texts = ask(store.home, asking.Question(asking.TELL, UID, [number, number + 1, 1 << 63]))
        assert texts is not None
        head = b"  #%d  %d  <me@here.example> \n" % (number, len(store.read("mess", number)))
        assert texts[0].endswith(head + b"\tlocal\t" + LOCAL + b"\n\tremote\t" + REMOTE + b"\n")
        assert texts[1:] == [b"", b""]
        assert ask(store.home, asking.Question(asking.TELL, UID + 1, [number])) == [b""]
        assert ask(store.home, asking.Question(asking.TELL, asking.ANYBODY, [number])) == texts[:1]
        assert ask(store.home, asking.Question(asking.TELL, UID, [])) == []


def test_a_message_is_tried_now_for_who_has_brought_it(store: Store) -> None:
    with Sender(store.home) as sender:
        first, second = defer_all(store, sender, 2)
        assert ask(store.home, asking.Question(asking.NOW, UID + 1, [first])) == [b""]
        assert sender.local.is_quiet()
        assert ask(store.home, asking.Question(asking.NOW, UID, [second])) == [b"tried"]
        for spawner in (sender.local, sender.remote):
            assert spawner.serve().message.endswith(b"/%d" % second)
        sender.log.wait("end", msg=str(second))
        assert sender.local.is_quiet()
        assert ask(store.home, asking.Question(asking.NOW, UID, [first, second])) == [b"tried", b""]


def test_very_many_recipients_are_cut(store: Store) -> None:
    number = store.put([b"%d@there.example" % at for at in range(3000)])
    with Sender(store.home):
        wait_for(lambda: "remote" in store.state(number) and "todo" not in store.state(number), "it to be taken up")
        texts = ask(store.home, asking.Question(asking.TELL, UID, [number]))
    assert texts is not None
    assert texts[0].count(b"\n") == 1 + 1000 + 1
    assert texts[0].endswith(b"\tand more\n")


@pytest.mark.parametrize("said", [b"GET / HTTP/1.0\r\n\r\n", asking.MAGIC + b"x" + bytes(10), b"q"])
def test_strange_and_silent_callers_keep_nobody(store: Store, said: bytes) -> None:
    with Sender(store.home) as sender:
        sender.wait_started()
        strange = [call(store.home) for _ in range(20)]
        for connection in strange:
            try:
                connection.sendall(said)
            except (BrokenPipeError, ConnectionResetError):
                continue
        store.put([LOCAL])
        sender.local.serve()
        sender.log.ends(1)
        for connection in strange:
            connection.close()
        wait_for(lambda: ask(store.home, asking.Question(asking.TELL, UID, [1])) == [b""], "an answer")


def test_one_who_asks_and_does_not_read_keeps_nobody(store: Store) -> None:
    big = store.put([b"%s%d@there.example" % (b"x" * 900, at) for at in range(1000)])
    with Sender(store.home) as sender:
        wait_for(lambda: "todo" not in store.state(big), "it to be taken up")
        with call(store.home) as connection:
            connection.sendall(asking.Question(asking.TELL, UID, [big] * asking.MOST).encode())
            store.put([LOCAL])
            sender.local.serve()
            sender.log.ends(1)


def test_it_is_gone_at_the_end_and_a_stale_one_does_not_matter(store: Store) -> None:
    with Sender(store.home) as sender:
        sender.wait_started()
        sender.kill()
    assert os.listdir(f"{store.home}/door/send") == ["socket"]
    with Sender(store.home) as sender:
        sender.wait_started()
        assert ask(store.home, asking.Question(asking.TELL, UID, [1])) == [b""]
        assert sender.term() == 0
    assert os.listdir(f"{store.home}/door/send") == []


def test_a_home_of_an_older_version_has_no_such_place_and_mail_flows(store: Store) -> None:
    os.rmdir(f"{store.home}/door/send")
    with Sender(store.home) as sender:
        store.put([LOCAL])
        sender.local.serve()
        sender.log.ends(1)
        assert not any("warning" in line for line in sender.lines())


def test_q_with_a_part_of_an_address_tries_what_it_names(store: Store) -> None:
    with Sender(store.home) as sender, open_door(store.home):
        first, second = defer_all(store, sender, 2)
        for wish, tried in ((f"-qI{first}", [first]), ("-qRTHERE.ex", [first, second]), ("-qSnobody", []),
                            (f"-q!I{first}", [second]), ("-qSme@here", [first, second])):  # fmt: skip
            done = run(store.home, "sendmail", wish)
            assert (done.code, done.out, done.err) == (0, b"", b"")
            paths = sorted(sender.local.serve(b"Z", b"later\n").message.rpartition(b"/")[2] for _ in tried)
            assert paths == sorted(b"%d" % number for number in tried)
            for _ in tried:
                sender.remote.serve(b"Z", b"later\n")
            assert not sender.local.has_command()
            wait_for(lambda: sender.lines()[-1].startswith("status: local 0/10 remote 0/20"), "rest")
