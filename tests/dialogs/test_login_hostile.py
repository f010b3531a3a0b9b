"""Logging in to the real qmail-smtpd by who does not want to log in."""

import base64
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.login_support import Authd
from tests.smtp_service import Service
from tests.support import read, write
from tests.tls_support import Authority

MEGABYTE = b"QUJD" * (1 << 18)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(str(tmp_path_factory.mktemp("authority")))


@pytest.fixture
def service(tmp_path: Path, authority: Authority) -> Service:
    service = Service(str(tmp_path), authority)
    service.control(authplain="1\n", smtperrors="0\n")
    write(f"{service.home}/users/passwords", "ann:{PLAIN}secret\n", 0o600)
    return service


@pytest.fixture
def client(service: Service) -> Iterator["Client"]:
    with service.session(auth=False) as connection:
        client = Client(connection)
        yield client
        client.file.close()


class Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.file = connection, connection.makefile("rb")
        self.hear()
        self.says(b"EHLO x")

    def hear(self) -> bytes:
        line = self.file.readline()
        while line[3:4] == b"-":
            line = self.file.readline()
        return line.rstrip(b"\r\n")

    def says(self, line: bytes) -> bytes:
        self.connection.sendall(line + b"\r\n")
        return self.hear()


def b64(word: bytes) -> bytes:
    return base64.b64encode(word)


@pytest.mark.parametrize(
    "lines",
    [
        [b"AUTH PLAIN", MEGABYTE],
        [b"AUTH PLAIN " + MEGABYTE],
        [b"AUTH LOGIN", MEGABYTE],
        [b"AUTH LOGIN", b64(b"ann"), MEGABYTE],
        [b"AUTH CRAM-MD5", MEGABYTE],
        [b"AUTH SCRAM-SHA-256", MEGABYTE],
        [b"AUTH SCRAM-SHA-256 " + b64(b"n,,n=ann,r=abc"), MEGABYTE],
        [b"AUTH PLAIN !!!!"],
        [b"AUTH PLAIN QQ"],
        [b"AUTH PLAIN QQ==QQ=="],
        [b"AUTH PLAIN ="],
        [b"AUTH PLAIN " + b64(b"\0an\0n\0secret")],
        [b"AUTH PLAIN " + b64(b"\0ann\0sec\0ret")],
        [b"AUTH LOGIN " + b64(b"an\0n")],
        [b"AUTH LOGIN", b64(b"ann"), b64(b"sec\0ret")],
        [b"AUTH LOGIN", b"*"],
        [b"AUTH CRAM-MD5", b64(b"ann")],
        [b"AUTH CRAM-MD5 " + b64(b"ann")],
        [b"AUTH SCRAM-SHA-256 " + b64(b"y,,n=ann,r=\xff")],
        [b"AUTH SCRAM-SHA-256 " + b64(b"n,,n=ann,r=abc"), b64(b"c=biws,r=abc,p=AAAA")],
        [b"AUTH EXTERNAL", b"x"],
        [b"AUTH " + b"X" * 1000],
        [b"AUTH \xff\xfe"],
    ],
)
def test_who_makes_no_sense_is_told_so_and_may_go_on(client: Client, service: Service, lines: list[bytes]) -> None:
    said = [client.says(line) for line in lines]
    assert all(reply[:4] in (b"334 ", b"500 ", b"501 ", b"502 ", b"503 ", b"504 ") for reply in said), said
    assert said[-1][:1] == b"5"
    assert client.says(b"AUTH PLAIN " + b64(b"\0ann\0secret"))[:3] == b"235"
    assert b"secret" not in read(service.log)
    assert b"Traceback" not in read(service.log)


@pytest.mark.parametrize("seed", range(8))
def test_garbage_of_every_kind_is_malformed(client: Client, seed: int) -> None:
    """Three times, then the connection ends."""
    generator = random.Random(seed)
    for _ in range(3):
        mechanism = generator.choice([b"PLAIN", b"CRAM-MD5", b"SCRAM-SHA-256"])
        reply = client.says(b"AUTH " + mechanism + b" " + b64(generator.randbytes(generator.randrange(40))))
        while reply[:3] == b"334":
            reply = client.says(b64(generator.randbytes(generator.randrange(40))))
        assert reply[:3] == b"501", reply
    assert client.hear() == b""


def test_when_qmail_authd_is_killed_between_two_commands_the_client_comes_again(service: Service) -> None:
    write(f"{service.home}/users/passwords", "nothing that anybody could read\n", 0o644)
    with Authd(service.home, []) as daemon:
        write(f"{service.home}/auth/mechanisms", "PLAIN LOGIN\n")
        with service.session(auth=False) as connection:
            client = Client(connection)
            assert client.says(b"AUTH PLAIN " + b64(b"\0ann\0secret"))[:3] == b"454"
            daemon.process.kill()
            daemon.process.wait()
            assert client.says(b"AUTH PLAIN " + b64(b"\0ann\0secret"))[:3] == b"454"
            assert client.says(b"NOOP")[:3] == b"250"
            client.file.close()
    assert b"secret" not in read(service.log)
