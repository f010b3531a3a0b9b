"""Logins by token: the administrator's program, and what the server hears."""

import asyncio
import base64
import os

import pytest

from qmailpy.remote import tokens
from qmailpy.remote.delivery import deliver as delivery
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.tokens import Tokens
from qmailpy.verdict import Die
from qmailpy.wire.sasl import Credentials
from tests.remote_support import Line, Peer, Place
from tests.support import read, write


@pytest.fixture
def place(tmp_path: object) -> Place:
    return Place(str(tmp_path))


def program(place: Place, script: str) -> bytes:
    path = write(f"{place.path}/token", f"#!/bin/sh\n{script}\n")
    os.chmod(path, 0o755)
    return path.encode()


def ask(*commands: bytes, forget: bool = False) -> list[bytes]:
    async def run() -> list[bytes]:
        known = Tokens()
        found = []
        for command in commands:
            found.append((await known.of(Credentials(b"joe", command))).password)
            if forget:
                known.forget()
        return found

    return asyncio.run(run())


def test_the_first_line_that_the_program_prints_is_the_token(place: Place) -> None:
    command = program(place, 'echo "token-$1"; echo more') + b" of-joe"
    assert ask(command) == [b"token-of-joe"]


def test_a_token_is_asked_for_once_and_again_after_a_refusal(place: Place) -> None:
    command = program(place, f"echo x >> {place.path}/runs; echo token")
    assert ask(command, command, command) == [b"token"] * 3
    assert read(f"{place.path}/runs") == b"x\n"
    ask(command, command, forget=True)
    assert read(f"{place.path}/runs") == b"x\n" * 3


@pytest.mark.parametrize(
    ("script", "clause"),
    [
        ("exit 7", b"the program for its token failed with exit code 7"),
        ("echo", b"the program for its token printed none"),
        ("printf 'a b'", b"the program for its token printed none"),
        ("printf 'a\\001b'", b"the program for its token printed none"),
        ("cat /dev/zero", b"the program for its token cannot be run: timed out"),
        ("kill -9 $$", b"the program for its token failed with exit code 111"),
    ],
)
def test_a_program_that_gives_no_token_is_a_reason_to_wait(place: Place, script: str, clause: bytes) -> None:
    with pytest.raises(Die) as caught:
        ask(program(place, script))
    assert caught.value.text == clause


def test_a_program_that_hangs_is_ended_with_all_its_children(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PATIENCE", 0.1)
    with pytest.raises(Die, match="timed out"):
        ask(program(place, "sleep 1000 & sleep 1000"))


def test_a_program_that_is_not_there_is_named_without_its_words(place: Place) -> None:
    with pytest.raises(Die, match="cannot be run"):
        ask(f"{place.path}/nothing secret".encode())


class Server:
    """Takes one token."""

    def __init__(self) -> None:
        self.words: list[bytes] = []

    def __call__(self, line: Line) -> None:
        line.say(b"220 peer\r\n")
        line.hear()
        line.say(b"250-peer\r\n250 AUTH PLAIN XOAUTH2\r\n")
        command = line.hear()
        assert command.startswith(b"AUTH XOAUTH2 ")
        self.words.append(base64.b64decode(command.split()[2]))
        if b"Bearer good" not in self.words[-1]:
            line.say(b"334 eyJzdGF0dXMiOiI0MDAifQ==\r\n")
            assert line.hear() == b"\r\n"
            line.say(b"535 5.7.8 not good enough\r\n")
        else:
            line.say(b"235 ok\r\n")
            for _ in range(2):
                line.hear()
                line.say(b"250 ok\r\n")
            line.hear()
            line.say(b"354 go\r\n")
            line.hear_body()
            line.say(b"250 taken\r\n")
        line.hear_all()


def deliver(place: Place, server: Server, script: str) -> bytes:
    command = program(place, script)
    with Peer(server) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} tls=none auth=isp sasl=xoauth2")
        return place.deliver(prepare=lambda equipment: use(equipment, command))


def use(equipment: Equipment, command: bytes) -> None:
    equipment.login = lambda _name: Credentials(b"joe@isp.example", command)


def test_the_server_hears_the_token_and_takes_the_mail(place: Place) -> None:
    server = Server()
    assert deliver(place, server, "echo good").startswith(b"r\0K127.0.0.1 accepted message.")
    assert server.words == [b"user=joe@isp.example\1auth=Bearer good\1\1"]


def test_a_token_that_is_not_taken_keeps_the_mail(place: Place) -> None:
    report = deliver(place, Server(), "echo bad")
    assert report.startswith(b"Z")
    assert b"535 5.7.8 not good enough" in report
    assert b"Bearer" not in report


def test_after_a_refusal_the_next_delivery_asks_for_a_new_token(place: Place) -> None:
    server = Server()
    once = f"{place.path}/once"
    command = program(place, f"[ -e {once} ] && echo good && exit; : > {once}; echo bad")
    equipment = Equipment(place.home)
    use(equipment, command)
    with Peer(server) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} tls=none auth=isp sasl=xoauth2")
        first, second = asyncio.run(two(place, equipment))
    assert b"535 5.7.8 not good enough" in first
    assert second.startswith(b"r\0K127.0.0.1 accepted message.")
    assert [b"good" in words for words in server.words] == [False, True]


async def two(place: Place, equipment: Equipment) -> list[bytes]:
    """Two deliveries, one after the other, as of one worker."""
    reports = []
    for _ in range(2):
        descriptor = os.open(place.message, os.O_RDONLY)
        try:
            reports.append(
                await delivery(place.home, b"there.example", b"a@here.example", [b"b@c.example"], descriptor, equipment)
            )
        finally:
            os.close(descriptor)
    return reports
