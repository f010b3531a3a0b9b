"""A DNS server that says what a test wants, in bytes: right answers, wrong ones, none, or half of one."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

A, NS, CNAME, SOA, MX, TXT, AAAA, OPT = 1, 2, 5, 6, 15, 16, 28, 41
NAMES = {A: "A", AAAA: "AAAA", MX: "MX", CNAME: "CNAME", TXT: "TXT"}
RESPONSE, AUTHORITY, TRUNCATED, DESIRED, AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080  # flags
USUAL = RESPONSE | DESIRED | AVAILABLE
NXDOMAIN, SERVFAIL, FORMERR, NOTIMP, REFUSED = 3, 2, 1, 4, 5
ASKED = b"\xc0\x0c"  # the question's name, compressed


def name(text: bytes) -> bytes:
    """On the wire, from labels with dots."""
    return b"".join(bytes((len(label),)) + label for label in text.split(b".") if label) + b"\0"


def record(owner: bytes, kind: int, content: bytes, ttl: int = 60) -> bytes:
    """owner: on the wire."""
    return owner + number(kind) + number(1) + number(ttl, 4) + number(len(content)) + content


def number(value: int, size: int = 2) -> bytes:
    return value.to_bytes(size, "big")


def mx(preference: int, exchanger: bytes) -> bytes:
    return record(ASKED, MX, number(preference) + name(exchanger))


def ipv4(address: bytes) -> bytes:
    return record(ASKED, A, bytes(int(part) for part in address.split(b".")))


class Question:
    """query: the whole packet; asked: its question as it stands there; kind: its type; tcp: how it came."""

    def __init__(self, query: bytes, *, tcp: bool) -> None:
        self.query, self.tcp = query, tcp
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]])
            at += 1 + query[at]
        self.name = b".".join(labels)
        self.asked = query[12 : at + 5]
        self.kind = int.from_bytes(query[at + 1 : at + 3], "big")
        self.edns = query[10:12] != b"\0\0"

    def answer(self, *records: bytes, flags: int = USUAL, rcode: int = 0, authority: tuple[bytes, ...] = ()) -> bytes:
        return self.packet(b"".join((*records, *authority)), len(records), len(authority), flags | rcode)

    def packet(self, content: bytes, answers: int, authority: int = 0, flags: int = USUAL) -> bytes:
        """With these counts, whatever the content is."""
        counts = number(1) + number(answers) + number(authority) + number(0)
        return self.query[:2] + number(flags) + counts + self.asked + content


Script = Callable[[Question], "bytes | list[bytes] | None"]


class Liar:
    """On 127.0.0.1, UDP and TCP.  script: None is silence, several packets go out one after the other.

    By TCP packets get their length; `raw` is said as it is; a connection stays open until the client closes it, or is
    closed at once if the script says b"".
    """

    def __init__(self, script: Script, *, raw: bytes | None = None) -> None:
        self.script, self._raw = script, raw
        self.asked: list[Question] = []
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._tcp.getsockname()[1]
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._serve_udp), threading.Thread(target=self._serve_tcp)]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        for thread in self._threads:
            thread.join()
        for one in (self._udp, self._tcp, *self._open):
            one.close()

    def _hear(self, query: bytes, *, tcp: bool) -> list[bytes] | None:
        question = Question(query, tcp=tcp)
        self.asked.append(question)
        said = self.script(question)
        return [said] if isinstance(said, bytes) else said

    def _serve_udp(self) -> None:
        while True:
            query, caller = self._udp.recvfrom(65536)
            if not query:
                return
            for packet in self._hear(query, tcp=False) or ():
                with contextlib.suppress(OSError):
                    self._udp.sendto(packet, caller)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            connection.settimeout(10)
            self._open.append(connection)
            size = connection.recv(2, socket.MSG_WAITALL)
            if not size:
                return
            said = self._hear(connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL), tcp=True)
            with contextlib.suppress(OSError):
                if self._raw is not None:
                    connection.sendall(self._raw)
                for packet in said or ():
                    connection.sendall(number(len(packet)) + packet if packet else b"")
                if said == [b""]:
                    connection.close()
