"""Where one part of a delivery hands over to another: the end of a message, another connection, another exchanger."""

import asyncio
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import IO

import pytest

from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.pool import Pool
from qmailpy.system import net
from qmailpy.system.tls import Tls
from tests.remote_support import Line, Peer, Place, Script, replies
from tests.support import free_port, write
from tests.tls_support import Authority

ONE, OTHER = b"192.0.2.1", b"192.0.2.2"
NO_SENSE = b"ZConnected to 127.0.0.1 but its reply makes no sense. Possible duplicate! (#4.4.2)\n"
FULL = b"554 no service\r\n"


@pytest.fixture
def place(tmp_path: object) -> Place:
    found = Place(str(tmp_path))
    found.control("timeoutremote", "5")
    return found


def narrow(stream: net.Stream, size: int) -> net.Stream:
    """Make its buffers in the kernel small."""
    assert stream._socket is not None
    for which in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        stream._socket.setsockopt(socket.SOL_SOCKET, which, size)
    return stream


@pytest.mark.parametrize(
    ("said", "report"),
    [
        (
            b"250 ok\r\n",
            NO_SENSE + b"Remote host said: 250 ok\n\0",
        ),
        (b"552 no\r\n", b"D127.0.0.1 failed after I sent the message.\nRemote host said: 552 no\n\0"),
        (b"250", b"ZConnected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n\0"),
    ],
)
def test_a_yes_of_one_who_goes_before_the_end_has_left_us_is_none(place: Place, said: bytes, report: bytes) -> None:
    write(place.message, (b"x" * 69 + b"\n") * 900)  # one piece, its end in it, more than there is room for on the way

    def script(line: Line) -> None:
        for reply in (b"220 peer\r\n", b"250 peer\r\n", b"250 ok\r\n", b"250 ok\r\n"):
            line.say(reply)
            line.hear()
        line.say(b"354 go\r\n")
        assert line.connection.recv(1000)
        line.say(said)
        line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def connect(address: bytes, port: int, patience: float, _source: bytes = b"") -> net.Stream:
        return narrow(await net.connect(address, port, patience), 4096)

    def prepare(equipment: Equipment) -> None:
        equipment.connect = connect

    with Peer(script) as peer:
        peer.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        place.route_to(peer)
        assert place.deliver(prepare=prepare) == b"r\0" + report


class Exchangers:
    """The DNS and the network of a host with two exchangers.  preferences: theirs."""

    def __init__(self, one: Peer, other: Peer, *preferences: int) -> None:
        self.ports = {ONE: one.port, OTHER: other.port}
        self.preferences = preferences
        self.called: list[bytes] = []

    async def mx(self, _name: bytes) -> list[tuple[int, bytes]]:
        return list(zip(self.preferences, (b"one", b"other"), strict=True))

    async def a(self, name: bytes) -> list[bytes]:
        return [ONE if name == b"one" else OTHER]

    async def aaaa(self, _name: bytes) -> list[bytes]:
        return []

    async def connect(self, address: bytes, _port: int, patience: float, _source: bytes = b"") -> net.Stream:
        self.called.append(address)
        return await net.connect(b"127.0.0.1", self.ports[address], patience)

    def equip(self, equipment: Equipment) -> None:
        equipment.use_resolver(self)  # type: ignore[arg-type]
        equipment.own_test = lambda: lambda _ip: False
        equipment.choose = lambda count: count - 1  # as the DNS gave them
        equipment.connect = self.connect


def in_turn(*scripts: Script) -> Script:
    """A server that does something else on each connection."""
    waiting: Iterator[Script] = iter(scripts)

    def script(line: Line) -> None:
        next(waiting)(line)

    return script


def no_handshake(line: Line) -> None:
    for reply in (b"220 peer\r\n", b"250-peer\r\n250 STARTTLS\r\n"):
        line.say(reply)
        line.hear()
    line.say(b"220 go\r\n")


def full(line: Line) -> None:
    line.say(FULL)
    line.hear_all()


def test_who_turns_us_away_after_tls_has_failed_does_not_speak_for_the_other_exchanger(place: Place) -> None:
    with Peer(in_turn(no_handshake, full)) as one, Peer(replies()) as other:
        found = Exchangers(one, other, 10, 20)
        report = place.deliver(prepare=found.equip)
    assert report.startswith(b"r\0K192.0.2.2 accepted message.\n")
    assert found.called == [ONE, ONE, OTHER]


def test_a_warm_connection_that_is_replaced_and_refused_does_not_speak_for_the_others(place: Place) -> None:
    """It is to the second of two equal exchangers: the first has not been asked at all."""

    def one_message(line: Line) -> None:
        for reply in (b"220 peer\r\n", b"250 peer\r\n", b"250 ok\r\n", b"250 ok\r\n"):
            line.say(reply)
            line.hear()
        line.say(b"354 go\r\n")
        line.hear_body()
        line.say(b"250 taken\r\n")
        line.hear()  # MAIL, and no answer

    async def two(found: Exchangers) -> list[bytes]:
        equipment = Equipment(place.home)
        equipment.pool = Pool()
        found.equip(equipment)
        reports = []
        for _ in range(2):
            descriptor = os.open(place.message, os.O_RDONLY)
            try:
                to = [b"to@there.example"]
                reports.append(await deliver(place.home, b"there.example", b"f@h", to, descriptor, equipment))
            finally:
                os.close(descriptor)
        equipment.pool.close()
        return reports

    def busy(line: Line) -> None:
        line.say(b"421 busy\r\n")

    with Peer(in_turn(busy, replies())) as one, Peer(in_turn(one_message, full)) as other:
        found = Exchangers(one, other, 10, 10)
        reports = asyncio.run(two(found))
    assert [report[:4] for report in reports] == [b"r\0K1", b"r\0K1"]
    assert found.called == [ONE, OTHER, OTHER, ONE]


def test_answers_to_many_commands_do_not_stop_the_commands(place: Place) -> None:
    """All recipients are named at once, and the server answers each before it hears the next."""
    count = 8_000
    answer = b"250 2.1.5 " + b"yes " * 20 + b"\r\n"

    def script(line: Line) -> None:
        line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        commands = line.connection.makefile("rb")
        for reply in (b"220 peer\r\n", b"250-peer\r\n250 PIPELINING\r\n", b"250 ok\r\n", *(count * [answer])):
            line.say(reply)
            commands.readline()
        line.say(b"354 go\r\n")
        while commands.readline() != b".\r\n":
            pass
        line.say(b"250 taken\r\n")

    async def connect(address: bytes, port: int, patience: float, _source: bytes = b"") -> net.Stream:
        return narrow(await net.connect(address, port, patience), 1 << 14)

    def prepare(equipment: Equipment) -> None:
        equipment.connect = connect

    with Peer(script) as peer:
        peer.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        place.route_to(peer)
        report = place.deliver(*[b"%d@there.example" % at for at in range(count)], prepare=prepare)
    assert report.startswith(b"r\0" * count + b"K127.0.0.1 accepted message.\n")


def test_a_server_that_shakes_hands_anew_gets_what_we_are_saying(tmp_path: object) -> None:
    server = Authority(str(tmp_path)).server("again", "IP:127.0.0.1")
    port = free_port()
    words = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", server.certificate, "-key", server.key]

    async def work(said: IO[bytes], commands: IO[bytes]) -> None:
        async with asyncio.timeout(20):
            below = await net.connect(b"127.0.0.1", port, 5)
            stream = await Tls().secure(below, b"127.0.0.1", b"", named=False)
            await stream.send(b"hello\n")
            hear(said, b"hello\n")
            commands.write(b"r\n")
            stream._incoming.write(await below.receive())
            assert stream.take() == b""  # it has asked, and we have begun
            await stream.send(b"right behind\n")
            hear(said, b"right behind\n")
            stream.close()

    def hear(said: IO[bytes], line: bytes) -> None:
        assert any(each == line for each in iter(said.readline, b""))

    with subprocess.Popen(
        [*words, "-tls1_2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            hear(process.stdout, b"ACCEPT\n")
            asyncio.run(work(process.stdout, process.stdin))
        finally:
            process.kill()
