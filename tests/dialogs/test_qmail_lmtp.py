"""qmail-lmtp from a .qmail, with a server that says exactly what a test wants: every verdict, and its words."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_support import DTLINE, MESSAGE, Done, Joe, joe_in
from tests.support import CHECKOUT, PATH, bare_home, free_port

HELLO = ["220 hi", "250-mx\r\n250-SIZE\r\n250 8BITMIME"]
TAKEN = [*HELLO, "250 sender", "250 recipient", "354 go", "250 taken"]
FATAL = b"qmail-lmtp: fatal: "


class Server:
    """Says its lines one by one, each after a command (or after the message); keeps what it hears."""

    def __init__(self, path: str, lines: list[str], then: str = "hang up") -> None:
        self.path, self.lines, self.then = path, lines, then
        self.heard = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        os.chmod(path, 0o777)
        self._listener.listen()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                for line in self.lines:
                    connection.sendall(line.encode("latin-1") + b"\r\n")
                    end = b"\r\n.\r\n" if line.startswith("354") else b"\n"
                    self._hear(connection, end)
                if self.then == "silence":
                    self._gone.wait(30)

    def _hear(self, connection: socket.socket, end: bytes) -> None:
        while piece := connection.recv(65536):
            self.heard += piece
            if self.heard.endswith(end):
                break

    def close(self) -> None:
        self._gone.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@pytest.fixture
def joe(tmp_path: Path) -> Joe:
    joe = joe_in(str(tmp_path))
    joe.environment["PATH"] = f"{CHECKOUT}/bin:{PATH}"
    joe.environment["QMAILHOME"] = bare_home(f"{tmp_path}/qmail")
    os.chmod(f"{tmp_path}/qmail", 0o755)
    return joe


@contextlib.contextmanager
def serving(joe: Joe, lines: list[str], then: str = "hang up") -> Iterator[Server]:
    server = Server(f"{joe.folder}/lmtp", lines, then)
    try:
        yield server
    finally:
        server.close()


def deliver(joe: Joe, words: str = "", message: bytes = MESSAGE, sender: bytes = b"a@b.org") -> Done:
    return joe.run(joe.argv(sender=sender, default=f"|qmail-lmtp {joe.folder}/lmtp {words}".encode()), message)


def said(joe: Joe, sentence: str) -> bytes:
    return FATAL + sentence.replace("LMTP server", f"LMTP server {joe.folder}/lmtp").encode() + b"\n"


def test_a_message_is_handed_over_with_its_delivered_to_line(joe: Joe) -> None:
    with serving(joe, TAKEN) as server:
        assert deliver(joe) == Done(0, b"did 0+0+1\n", b"")
    wire = (DTLINE + MESSAGE).replace(b"\n", b"\r\n")
    assert server.heard == (
        b"LHLO mx.example.org\r\nMAIL FROM:<a@b.org> SIZE=%d\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n" % len(wire)
        + wire
        + b".\r\nQUIT\r\n"
    )


def test_whatever_is_in_a_message_there_is_one_end_of_data(joe: Joe) -> None:
    with serving(joe, TAKEN) as server:
        message = b"A: \xff\n\n.\n..x\n\r.\r\n.\nMAIL FROM:<>\n\0 no end"
        assert deliver(joe, "", message).code == 0
    body = server.heard.partition(b"DATA\r\n")[2]
    assert b" BODY=8BITMIME\r\n" in server.heard
    assert (
        body == DTLINE[:-1] + b"\r\nA: \xff\r\n\r\n..\r\n...x\r\n .\r\n..\r\nMAIL FROM:<>\r\n\0 no end\r\n.\r\nQUIT\r\n"
    )


@pytest.mark.parametrize(
    ("sender", "words", "command"),
    [
        (b"", "", b"MAIL FROM:<> "),
        (b"#@[]", "", b"MAIL FROM:<> "),
        (b"two words@b", "", b'MAIL FROM:<"two words"@b> '),
        (b"a@b", '"$USER"', b"RCPT TO:<joe>\r\n"),
        (b"a@b", "'a b@c'", b'RCPT TO:<"a b"@c>\r\n'),
    ],
)
def test_addresses_stand_in_commands_as_they_must(joe: Joe, sender: bytes, words: str, command: bytes) -> None:
    with serving(joe, TAKEN) as server:
        assert deliver(joe, words, sender=sender).code == 0
    assert command in server.heard


def test_another_sender_can_be_said(joe: Joe) -> None:
    with serving(joe, TAKEN) as server:
        done = joe.run(joe.argv(default=f'|qmail-lmtp -f "$NEWSENDER" -t 9 {joe.folder}/lmtp'.encode()))
    assert done.code == 0
    assert b"MAIL FROM:<a@b.org> " in server.heard


@pytest.mark.parametrize(
    ("lines", "code", "sentence"),
    [
        (["421 busy"], 111, "LMTP server wants no mail: 421 busy"),
        (["554 go away"], 111, "LMTP server wants no mail: 554 go away"),
        (["220 hi", "502 what?"], 111, "LMTP server wants no mail: 502 what?"),
        ([*HELLO, "550 not from you"], 100, "LMTP server refused joe@example.org: 550 not from you"),
        ([*HELLO, "452 full"], 111, "LMTP server put off joe@example.org: 452 full"),
        ([*TAKEN[:3], "550-no\r\n550 joe"], 100, "LMTP server refused joe@example.org: 550-no 550 joe"),
        ([*TAKEN[:3], "451 later"], 111, "LMTP server put off joe@example.org: 451 later"),
        ([*TAKEN[:4], "503 no"], 100, "LMTP server refused joe@example.org: 503 no"),
        ([*TAKEN[:4], "250 ok"], 111, "LMTP server put off joe@example.org: 250 ok"),
        ([*TAKEN[:5], "552 too large"], 100, "LMTP server refused joe@example.org: 552 too large"),
        ([*TAKEN[:5], "452 4.2.2 quota"], 111, "LMTP server put off joe@example.org: 452 4.2.2 quota"),
        (["HTTP/1.1 400 x"], 111, "Connected to LMTP server but it does not speak LMTP: HTTP/1.1 400 x (#4.3.0)"),
        ([*TAKEN[:4], "354 go\r\n250 x"], 111, "Connected to LMTP server but it does not speak LMTP: 250 x (#4.3.0)"),
        ([], 111, "Connected to LMTP server but the connection died. (#4.4.2)"),
        (TAKEN[:4], 111, "Connected to LMTP server but the connection died. (#4.4.2)"),
        (TAKEN[:5], 111, "Connected to LMTP server but the connection died. Possible duplicate! (#4.4.2)"),
    ],
)
def test_every_answer_has_its_verdict_and_its_words(joe: Joe, lines: list[str], code: int, sentence: str) -> None:
    """A yes that is not to the whole message is none: a server that is a reply behind has not got it."""
    with serving(joe, lines):
        assert deliver(joe) == Done(code, b"", said(joe, sentence))


def test_a_servers_words_are_one_bounded_line(joe: Joe) -> None:
    with serving(joe, [*TAKEN[:3], "550 \x1b[2J\x00\x07" + "x" * 4000]):
        done = deliver(joe)
    assert done.code == 100
    assert len(done.err) < 1300
    assert done.err.count(b"\n") == 1
    assert b"550  [2J? xxx" in done.err


@pytest.mark.parametrize(("lines", "doubt"), [([], ""), (TAKEN[:3], ""), (TAKEN[:5], " Possible duplicate!")])
def test_silence_is_not_waited_for_for_ever(joe: Joe, lines: list[str], doubt: str) -> None:
    with serving(joe, lines, "silence"):
        done = joe.run(joe.argv(default=f"|qmail-lmtp -t 1 {joe.folder}/lmtp".encode()))
    assert done == Done(111, b"", said(joe, f"Connected to LMTP server but it is silent.{doubt} (#4.4.2)"))


def test_of_several_recipients_one_that_may_still_get_it_decides(joe: Joe) -> None:
    with serving(joe, [*TAKEN[:3], "550 no ann", "250 joe", "354 go", "451 joe later"]):
        assert deliver(joe, "ann joe") == Done(111, b"", said(joe, "LMTP server put off joe: 451 joe later"))


def test_nobody_there_defers(joe: Joe) -> None:
    port = free_port()
    for server, reason in (
        (f"{joe.folder}/none", "file does not exist"),
        (f"127.0.0.1:{port}", "connection refused"),
        (f"[::1]:{port}", None),
        (f"{'x' * 64}.invalid:24", "no address of that name now"),
    ):
        done = joe.run(joe.argv(default=f"|qmail-lmtp '{server}'".encode()))
        assert (done.code, done.out) == (111, b"")
        if reason:
            assert done.err == FATAL + f"Unable to connect to LMTP server {server}: {reason}. (#4.4.1)\n".encode()


@pytest.mark.parametrize(
    "line",
    [
        *("qmail-lmtp", "qmail-lmtp -x /s", "qmail-lmtp -t 0 /s", "qmail-lmtp -t 1_0 /s", "qmail-lmtp host"),
        *("qmail-lmtp host:", "qmail-lmtp :24", "qmail-lmtp host:70000", "qmail-lmtp host:2x"),
        *("unset RECIPIENT; qmail-lmtp /s", "unset SENDER; qmail-lmtp /s", "qmail-lmtp /s ''", "cat | qmail-lmtp /s"),
    ],
)
def test_a_slip_in_a_line_defers(joe: Joe, line: str) -> None:
    done = joe.run(joe.argv(default=b"|" + line.encode()))
    assert (done.code, done.out) == (111, b"")
    assert done.err.count(b"\n") == 1


def test_an_address_that_would_be_two_commands_is_refused(joe: Joe) -> None:
    with serving(joe, TAKEN) as server:
        done = joe.run(joe.argv(default=f"|qmail-lmtp {joe.folder}/lmtp".encode(), sender=b"a@b>\r\nRCPT TO:<x"))
    assert done.code == 100
    assert server.heard == b""


@pytest.mark.slow
def test_a_large_message_needs_little_memory(joe: Joe) -> None:
    with serving(joe, TAKEN) as server:
        message = b"A: b\n\n" + b".x\n" * 5_000_000
        path = f"{joe.folder}/message"
        Path(path).write_bytes(message)
        with open(path, "rb") as file:
            words = joe.argv(default=f"|ulimit -v 60000; qmail-lmtp {joe.folder}/lmtp".encode())
            assert joe.run_on(words, file.fileno()).code == 0
    assert server.heard.count(b"\n..x\r") == 5_000_000
