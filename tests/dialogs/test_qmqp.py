"""The real qmail-qmqpd on pipes, the real qmail-qmqpc with servers of every kind: each row of the protocol."""

import re
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from qmailpy.wire import netstring
from qmailpy.wire.envelope import Envelope
from tests.queue_support import is_empty, new_home, open_door, queued
from tests.support import CHECKOUT, PATH, RecordingQueue, free_port, wait_for, write

SERVER, CLIENT = f"{CHECKOUT}/bin/qmail-qmqpd", f"{CHECKOUT}/bin/qmail-qmqpc"
WHO = {"TCPREMOTEIP": "192.0.2.7", "TCPREMOTEHOST": "client.example", "TCPLOCALHOST": "mx.example.org"}
MESSAGE = b"Subject: x\n\n.\r\nbody\0\xff"
SENDER, RECIPIENTS = b"me@sender.example", [b"joe@here.example", b"", b"joe@here.example"]
ACCEPTED = re.compile(rb"\d+:Kok \d+ qp \d+,")
BAD_ADDRESS = b"51:Dsorry, I can't accept addresses like that (#5.1.3),"


def request(message: bytes = MESSAGE, sender: bytes = SENDER, recipients: list[bytes] = RECIPIENTS) -> bytes:
    return netstring.encode(netstring.pack([message, sender, *recipients]))


class Server:
    """qmail-qmqpd of a home; serve() is one connection."""

    def __init__(self, folder: Path, code: int = 0, text: str = "") -> None:
        self.home = new_home(folder)
        self.queue = RecordingQueue(f"{folder}/queue", code, text)
        self.code, self.log = -1, b""

    def serve(self, said: bytes, environment: Mapping[str, str] | None = None) -> bytes:
        done = subprocess.run(
            [SERVER],
            input=said,
            env={
                "PATH": PATH,
                "QMAILHOME": self.home,
                **WHO,
                **(self.queue.environment if environment is None else environment),
            },
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.code, self.log = done.returncode, done.stderr
        return done.stdout

    @property
    def accepted(self) -> list[tuple[bytes, bytes]]:
        return [one for one in self.queue.messages if one[1]]


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_message_goes_into_the_queue_as_it_is_and_nobody_is_asked(server: Server) -> None:
    write(f"{server.home}/control/rcpthosts", "nowhere.example\n")
    assert ACCEPTED.fullmatch(server.serve(request()))
    assert (server.code, server.log) == (0, b"")
    [(message, envelope)] = server.accepted
    received, _, rest = message.partition(b" -0000\n")
    assert received.startswith(b"Received: from client.example (192.0.2.7)\n  by mx.example.org with QMQP; ")
    assert rest == MESSAGE
    assert envelope == b"Fme@sender.example\0Tjoe@here.example\0T\0Tjoe@here.example\0\0"


def test_one_request_a_connection(server: Server) -> None:
    assert ACCEPTED.fullmatch(server.serve(request() * 2))
    assert len(server.accepted) == 1


@pytest.mark.parametrize(
    ("sender", "recipients"),
    [
        (b"a" * 1000, [b"x"]),
        (b"a\0b", [b"x"]),
        (b"", [b"a" * 1000, b"x"]),
        (b"", [b"x", b"a\0b"]),
        (b"\0" * 100_000, [b"x"]),
    ],
)
def test_an_address_that_nobody_can_have_is_refused_for_good(
    server: Server, sender: bytes, recipients: list[bytes]
) -> None:
    assert server.serve(request(MESSAGE, sender, recipients)) == BAD_ADDRESS
    assert (server.code, server.accepted) == (0, [])
    assert b"qmail-qmqpd: refused 192.0.2.7 rule=address" in server.log


def test_999_bytes_are_an_address_and_a_message_may_be_empty(server: Server) -> None:
    assert ACCEPTED.fullmatch(server.serve(request(b"", b"a" * 999, [b"b" * 999])))


@pytest.mark.parametrize(
    ("code", "text", "answer"),
    [
        (53, "", b"Zqq write error or disk full (#4.3.0)"),
        (31, "", b"Dmail server permanently rejected message (#5.3.0)"),
        (82, "Dno spam please", b"Dno spam please"),
    ],
)
def test_what_the_queue_says_is_the_answer(tmp_path: Path, code: int, text: str, answer: bytes) -> None:
    server = Server(tmp_path, code, text)
    assert server.serve(request()) == netstring.encode(answer)
    assert b"rule=queue" in server.log


def test_the_same_by_the_door_and_a_client_that_ends_anywhere_leaves_nothing(server: Server) -> None:
    said = request(b"x\n", b"a@b", [b"c@d"])
    with open_door(server.home):
        for length in range(len(said)):
            assert server.serve(said[:length], {}) == b""
            assert server.code == 0
        wait_for(lambda: is_empty(server.home), "an empty queue")
        assert ACCEPTED.fullmatch(server.serve(said, {}))
        assert [message.todo.recipients for message in queued(server.home)] == [[b"c@d"]]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"x", 100),
        (b"0:,", 100),
        (b"1:x,", 100),
        (b"3:0:,,", 100),
        (b"007:", 100),
        (b"-1:", 100),
        (b"1_0:", 100),
        (b"200000001:", 111),
        (b"2000000000000:", 111),
        (b"10:200000001:x", 111),
        (b"10:11:x", 100),
        (b"10:7:xxxxxxx,", 100),
        (b"9:1:x;0:,0:,", 100),
        (b"12:1:x,1:ab0:,,", 100),
        (b"10:1:x,0:,0:,;", 100),
        (request()[:-1] + b";", 100),
        (b"GET / HTTP/1.1\r\n\r\n", 100),
    ],
)
def test_what_is_not_qmqp_ends_the_connection_without_a_word(server: Server, said: bytes, code: int) -> None:
    assert server.serve(said) == b""
    assert (server.code, server.accepted) == (code, [])
    assert b"internal error" not in server.log


def test_more_recipients_than_the_queue_takes_are_refused(server: Server) -> None:
    said = netstring.encode(netstring.pack([MESSAGE, SENDER]) + b"0:," * 200_001)
    assert server.serve(said) == netstring.encode(b"Dsorry, too many recipients (#5.5.3)")
    assert server.accepted == []


# the client


class Peer:
    """A server that hears one request and answers as it is told; heard: all of it."""

    def __init__(self, answer: bytes | None, hears: int = -1) -> None:
        """answer: None: it hangs up; hears: bytes after which it stops hearing."""
        self.answer, self.hears, self.heard = answer, hears, b""
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        connection, _ = self.socket.accept()
        with connection, suppress(OSError):  # whoever hangs up has heard enough
            decoder = netstring.Decoder(1 << 30)
            while self.hears < 0 or len(self.heard) < self.hears:
                piece = connection.recv(65536)
                self.heard += piece
                if not piece or decoder.feed(piece):
                    break
            if self.answer is not None:
                for at in range(len(self.answer)):
                    connection.sendall(self.answer[at : at + 1])

    def stop(self) -> None:
        with socket.socket() as last:  # if nobody has called
            last.connect(("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


@contextmanager
def peer(answer: bytes | None, hears: int = -1) -> Iterator[Peer]:
    one = Peer(answer, hears)
    try:
        yield one
    finally:
        one.stop()


def queue(
    home: str, message: bytes = MESSAGE, envelope: bytes = Envelope(SENDER, RECIPIENTS).encode()
) -> tuple[int, bytes]:
    """qmail-qmqpc in qmail-queue's place: exit code, and what it says on 2."""
    write(f"{home}/envelope", envelope)
    with open(f"{home}/envelope", "rb") as file:
        done = subprocess.run(
            [CLIENT],
            input=message,
            stdout=file,
            stderr=subprocess.PIPE,
            env={"PATH": PATH, "QMAILHOME": home},
            check=False,
            timeout=60,
        )
    return done.returncode, done.stderr


def servers(home: str, *lines: str) -> None:
    write(f"{home}/control/qmqpservers", "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"5:Kgood,", 0),
        (b"4:Dbad,", 31),
        (b"6:Zlater,", 71),
        (b"K", 0),
        (b"1:K;and more that is no netstring", 0),
        (b"1:x,Zz", 71),
        (b"0:,", 74),
        (b"", 74),
        (None, 74),
    ],
)
def test_the_servers_letter_is_the_exit_code(tmp_path: Path, answer: bytes | None, code: int) -> None:
    home = new_home(tmp_path)
    with peer(answer) as one:
        servers(home, f"127.0.0.1:{one.port}")
        done, said = queue(home)
    assert done == code
    assert one.heard == request()
    assert (said == b"") is (code == 0)


def test_a_refusal_is_told_in_the_servers_words(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with peer(netstring.encode(b"Dno\nthanks (#5.7.1)")) as one:
        servers(home, f"127.0.0.1:{one.port}")
        assert queue(home) == (31, b"qmail-qmqpc: fatal: 127.0.0.1 says: no?thanks (#5.7.1)\n")


def test_servers_are_tried_in_order_and_what_is_no_address_is_skipped(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with peer(b"1:K,") as one, peer(b"1:K,") as other:
        servers(
            home,
            "no.address.example",
            "# none",
            f"127.0.0.1:{free_port()}",
            f"127.0.0.1:{one.port}",
            f"127.0.0.1:{other.port}",
        )
        assert queue(home)[0] == 0
    assert (one.heard, other.heard) == (request(), b"")


def test_a_server_that_goes_away_after_it_was_reached_is_not_replaced_by_another(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    with peer(None, 10) as one, peer(b"1:K,") as other:
        servers(home, f"127.0.0.1:{one.port}", f"127.0.0.1:{other.port}")
        assert queue(home, bytes(10_000_000))[0] == 74
    assert other.heard == b""


@pytest.mark.parametrize(
    ("lines", "code"), [(None, 55), ([], 55), (["nowhere.example"], 55), (["127.0.0.1:{port}", "x"], 73)]
)
def test_without_any_server_it_fails_for_now(tmp_path: Path, lines: list[str] | None, code: int) -> None:
    home = new_home(tmp_path)
    if lines is not None:
        servers(home, *[line.format(port=free_port()) for line in lines])
    done, said = queue(home)
    assert done == code
    assert said.startswith(b"qmail-qmqpc: fatal: ")


@pytest.mark.parametrize(
    ("envelope", "code"),
    [(b"", 91), (b"F", 91), (b"X\0", 91), (b"Fa\0Tb\0", 91), (b"Fa\0Xb\0\0", 91), (b"F" + b"a" * 2000, 11)],
)
def test_an_envelope_that_is_none_is_handed_to_nobody(tmp_path: Path, envelope: bytes, code: int) -> None:
    home = new_home(tmp_path)
    servers(home, f"127.0.0.1:{free_port()}")
    assert queue(home, envelope=envelope)[0] == code


def test_without_a_home_it_is_61(tmp_path: Path) -> None:
    done = subprocess.run(
        [CLIENT], env={"QMAILHOME": f"{tmp_path}/none"}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 61


def test_client_and_server_understand_each_other(server: Server) -> None:
    """qmail-inject by qmail-qmqpc to qmail-qmqpd, a large message among them, on a socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        servers(server.home, f"127.0.0.1:{listener.getsockname()[1]}")
        for message in (b"To: joe\n\nhello\n", b"To: joe\n\n" + b"x" * 78 + b"\n" * 3_000_000):
            injecting = subprocess.Popen(
                [f"{CHECKOUT}/bin/qmail-inject", "-a", "joe@there.example"],
                stdin=subprocess.PIPE,
                env={"PATH": PATH, "QMAILHOME": server.home, "QMAILQUEUE": CLIENT, "USER": "me"},
            )
            feeding = threading.Thread(target=injecting.communicate, args=(message,))
            feeding.start()
            connection, _ = listener.accept()
            with connection:
                environment = {"PATH": PATH, "QMAILHOME": server.home, **WHO, **server.queue.environment}
                subprocess.run(
                    [SERVER],
                    stdin=connection.fileno(),
                    stdout=connection.fileno(),
                    env=environment,
                    check=True,
                    timeout=60,
                )
            feeding.join()
            assert injecting.returncode == 0
            assert server.accepted[-1][0].endswith(message.partition(b"\n\n")[2])
    assert all(b"Tjoe@there.example\0\0" in envelope for _, envelope in server.accepted)
