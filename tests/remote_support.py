"""Peers for remote deliveries: SMTP servers that keep to a script or break it, a real DNS server, a home."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Self

import pytest

from qmailpy.disk.home import Home
from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.wire.wished import decode
from tests.support import PATH, PATIENCE, free_port, has_program, wait_for, wait_for_exit, write

HELO = "client.example.org"
MESSAGE = b"From: a\n\n.hello\nworld"
ON_THE_WIRE = b"From: a\r\n\r\n..hello\r\nworld\r\n.\r\n"

NEXT = b"(next)"
GOOD = {
    "greeting": b"220 peer\r\n",
    "EHLO": b"250 peer\r\n",
    "HELO": b"250 peer\r\n",
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go\r\n",
    "dot": b"250 taken\r\n",
    "QUIT": b"221 bye\r\n",
}


class Gone(Exception):
    """The client has closed the connection."""


class Line:
    """The peer's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.rest = b""
        self.heard = b""

    def say(self, words: bytes) -> None:
        self.connection.sendall(words)

    def say_by_the_byte(self, words: bytes) -> None:
        """Each byte in a packet of its own, as far as TCP lets us say."""
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in words:
            self.connection.sendall(bytes((byte,)))

    def hear(self, end: bytes = b"\r\n") -> bytes:
        """Everything up to and with this end.  Errors: Gone."""
        while end not in self.rest:
            try:
                piece = self.connection.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise Gone
            self.rest += piece
            self.heard += piece
        words, _, self.rest = self.rest.partition(end)
        return words + end

    def hear_body(self) -> bytes:
        return self.hear(b"\r\n.\r\n")

    def hear_all(self) -> None:
        """Until the client closes."""
        with contextlib.suppress(Gone):
            self.hear(b"never")


Script = Callable[[Line], None]


class Peer:
    """A server on a loopback port that runs a script for each connection, one after the other."""

    def __init__(self, script: Script, family: int = socket.AF_INET) -> None:
        self.script = script
        self.heard: list[bytes] = []
        self.trouble: list[BaseException] = []
        self.family = family
        self.address = "127.0.0.1" if family == socket.AF_INET else "::1"
        self.listener = socket.create_server((self.address, 0), family=family)
        self.last: object = None
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(self.family) as last:  # those who called before are served before
            last.bind((self.address, 0))
            self.last = last.getsockname()
            last.connect((self.address, self.port))
            self.thread.join(2 * PATIENCE)
        self.listener.close()
        assert not self.thread.is_alive()
        assert not self.trouble, self.trouble

    def _serve(self) -> None:
        while True:
            connection, caller = self.listener.accept()
            with connection:
                if caller == self.last:
                    return
                connection.settimeout(PATIENCE)
                line = Line(connection)
                try:
                    self.script(line)
                except (Gone, BrokenPipeError, ConnectionResetError):
                    pass
                except BaseException as trouble:  # noqa: BLE001 - told to the test
                    self.trouble.append(trouble)
                self.heard.append(line.heard)


def replies(changed: Mapping[str, bytes | None] | None = None, *, byte_by_byte: bool = False) -> Script:
    """A server with these replies in the place of GOOD's; None: it closes the connection instead.

    RCPT may be a list of replies joined by NEXT, one for each recipient.
    """
    table: dict[str, bytes | None] = {**GOOD, **(changed or {})}

    def script(line: Line) -> None:
        say = line.say_by_the_byte if byte_by_byte else line.say
        answers = (table["RCPT"] or b"").split(NEXT)
        step = "greeting"
        while True:
            reply = table[step]
            if step == "RCPT" and reply is not None:
                reply = answers.pop(0) if len(answers) > 1 else answers[0]
            if reply is None:
                return
            say(reply)
            if step == "QUIT":
                line.hear_all()
                return
            if step == "DATA" and reply.startswith(b"3"):
                line.hear_body()
                step = "dot"
            else:
                step = line.hear().split()[0].decode()

    return script


class Place:
    """A home with control files, and deliveries from it."""

    def __init__(self, folder: str) -> None:
        self.path = folder
        os.makedirs(f"{folder}/queue/lock")
        self.tcpto = write(f"{folder}/queue/lock/tcpto", bytes(1024))
        self.control("me", HELO)
        self.home = Home(folder.encode())
        self.message = write(f"{folder}/message", MESSAGE)

    def control(self, name: str, content: str) -> None:
        write(f"{self.path}/control/{name}", content + "\n")

    def route_to(self, peer: Peer) -> None:
        """All mail goes to this peer."""
        self.control("smtproutes", f":127.0.0.1:{peer.port}")

    def deliver(
        self,
        *recipients: bytes,
        host: bytes = b"there.example",
        sender: bytes = b"from@here.example",
        prepare: Callable[[Equipment], None] | None = None,
        whole: bool = False,
        marked: bool = False,
        wishes: bytes = b"",
    ) -> bytes:
        """One delivery of the message, in a loop of its own.

        prepare: changes the equipment; marked: with the line that says that mail waits for the relay; wishes: of the
        sender, as wire/wished writes them.
        Recipients: one if none is named.
        """
        to = list(recipients) or [b"to@there.example"]

        async def run(descriptor: int) -> bytes:
            equipment = Equipment(self.home)
            if prepare is not None:
                prepare(equipment)
            wished = decode(wishes, len(to))
            return await deliver(self.home, host, sender, to, descriptor, equipment, whole=whole, wishes=wished)

        descriptor = os.open(self.message, os.O_RDONLY)
        try:
            report = asyncio.run(run(descriptor))
        finally:
            os.close(descriptor)
        return report if marked else re.sub(rb"Mail waits for the relay \S+ port \d+\.\n", b"", report)


@contextlib.contextmanager
def name_server(folder: str, zones: Mapping[str, str], port: int = 0, address: str = "127.0.0.1") -> Iterator[str]:
    """Knot with these zones (name -> records; None: one that it cannot load).  Result: what $DNSCACHEIP is to be.

    A zone whose records are empty has no file: the server says SERVFAIL. A name in no zone: REFUSED.
    """
    if not has_program("knotd"):
        pytest.skip("needs knotd (Debian: knot)")
    port = port or free_port()
    os.makedirs(folder)
    names = "".join(f"  - domain: {name}\n" for name in zones)
    for name, records in zones.items():
        if records:
            head = f"$ORIGIN {name}.\n$TTL 60\n@ SOA ns admin 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n"
            write(f"{folder}/{name}", head + records)
    write(
        f"{folder}/conf",
        f'server:\n  rundir: "{folder}"\n  listen: {address}@{port}\n  udp-workers: 1\n  tcp-workers: 1\n'
        f'  background-workers: 1\nlog:\n  - target: stdout\n    any: info\ndatabase:\n  storage: "{folder}"\n'
        f'template:\n  - id: default\n    storage: "{folder}"\n    file: "%s"\n    zonefile-load: whole\n'
        f"    journal-content: none\nzone:\n{names}",
    )
    program = shutil.which("knotd", path=PATH)
    assert program is not None
    log = f"{folder}/log"
    with open(log, "wb") as output:
        server = subprocess.Popen([program, "-c", f"{folder}/conf"], stdout=output, stderr=output)
    try:
        wait_for(lambda: server.poll() is not None or _has_line(log, b"server started"), "the name server")
        assert server.poll() is None, open(log).read()  # noqa: SIM115
        yield f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    finally:
        server.terminate()
        wait_for_exit(server)


def _has_line(path: str, part: bytes) -> bool:
    with open(path, "rb") as file:
        return part in file.read()
