"""QMTP and QMQP served resident by our own listener: the same answers, the door, many at once, hostile ones besides."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from qmailpy.wire import netstring, qmtp
from tests.listener_support import Server
from tests.queue_support import new_home, open_door, queued
from tests.support import write

NOT_HERE = netstring.encode(b"Dsorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[str]:
    """With its door open."""
    home = new_home(tmp_path)
    write(f"{home}/control/rcpthosts", "here.example\n")
    write(f"{home}/control/recipientcheck", "0\n")
    with open_door(home):
        yield home


def listener(home: str, program: str, folder: Path) -> Server:
    folder.mkdir()
    return Server(
        str(folder),
        [f"{home}/bin/qmail-listen", "-1HR", "-l", "mx.example.org", "127.0.0.1", "0", f"{home}/bin/{program}"],
        {"QMAILHOME": home},
    )


def call(server: Server, said: bytes, *, hangs_up: bool = False) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", server.port), 30)
    line.sendall(said)
    if hangs_up:
        line.shutdown(socket.SHUT_WR)
    return line


def rest(line: socket.socket) -> bytes:
    heard = b""
    while piece := line.recv(65536):
        heard += piece
    return heard


def test_qmtp_sessions_share_a_process(home: str, tmp_path: Path) -> None:
    server = listener(home, "qmail-qmtpd", tmp_path / "logs")
    said = qmtp.request(b"x\n", b"me@x.example", [b"joe@here.example", b"ann@elsewhere.example"])
    try:
        with ExitStack() as lines:
            idle = lines.enter_context(call(server, said[:-1]))
            wrong = lines.enter_context(call(server, b"9" * 100))
            many = [lines.enter_context(call(server, said * 2, hangs_up=True)) for _ in range(20)]
            assert rest(wrong) == b""
            for line in many:
                answer = rest(line)
                assert answer.count(b"Kok ") == 2
                assert answer.count(NOT_HERE) == 2
            idle.sendall(said[-1:])
            assert b"Kok " in idle.recv(1000)
        assert len(queued(home)) == 41
        assert server.wait_for(r"qmail-qmtpd: refused 127\.0\.0\.1 rule=(?:rcpthosts|limits) helo=- ", 42)
    finally:
        server.end()


def test_qmqp_sessions_share_a_process(home: str, tmp_path: Path) -> None:
    server = listener(home, "qmail-qmqpd", tmp_path / "logs")
    said = netstring.encode(netstring.pack([b"x\n", b"me@x.example", b"ann@elsewhere.example"]))
    try:
        with ExitStack() as lines:
            cut_off = lines.enter_context(call(server, said[:20], hangs_up=True))
            many = [lines.enter_context(call(server, said)) for _ in range(20)]
            assert rest(cut_off) == b""
            assert all(netstring.unpack(rest(line))[0].startswith(b"Kok ") for line in many)
        assert len(queued(home)) == 20
    finally:
        server.end()
