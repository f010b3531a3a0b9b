"""The hosts that qmail-explain names are those that a delivery calls, in that order; its words are those of the report.

Knot is the DNS, the addresses are real ones of this machine, each with a server that turns us away at once: so a
delivery goes on to the next, and the order in which they were called is known.
"""

import asyncio
import json
import os
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.rules import tcpto
from qmailpy.system import clock, dns
from tests.explain_support import Explained
from tests.remote_support import name_server
from tests.support import free_port

ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "::1")
ZONE = """
two     MX 20 b
two     MX 10 a
a       A 127.0.0.2
a       A 127.0.0.3
a       AAAA ::1
b       A 127.0.0.4
alias   CNAME two
via     MX 10 also-b
also-b  CNAME b
equals  MX 10 b
equals  MX 10 c
equals  MX 10 d
equals  MX 30 a
c       A 127.0.0.5
d       A 127.0.0.6
only    A 127.0.0.5
only    AAAA ::1
twice   MX 10 b
twice   MX 20 b
digits  MX 10 127.0.0.6.
mapped  AAAA ::ffff:127.0.0.6
half    MX 10 x.broken.
half    MX 20 b
left    MX 10 nowhere
left    MX 20 b
null    MX 0 .
dead    MX 10 nowhere
text    TXT "no address"
loop    CNAME loop2
loop2   CNAME loop
m\\195\\188 TXT "no host"
xn--m-eha MX 10 b
"""
HERE = """
a       MX 10 a.example.
zero    A 0.0.0.0
v6      AAAA ::1
mapped  AAAA ::ffff:127.0.0.1
worse   MX 10 a.example.
worse   MX 20 b.example.
doubt   MX 10 x.broken.
doubt   MX 20 a.example.
"""
CALLED = ["two", "alias", "via", "equals", "only", "twice", "digits", "mapped", "half", "left", "mü"]
NOT_CALLED = ["null.example", "dead.example", "text.example", "nobody.example", "x.broken", "x.refused", "loop.example"]
NOT_CALLED += ["a.here", "zero.here", "v6.here", "mapped.here", "worse.here", "doubt.here", "[127.0.0.1]", "a..example"]
NOT_CALLED += ["refused.example", "odd.example"]


class Refusing:
    """A server on one port of all ADDRESSES that turns everybody away and knows who was called in which order."""

    def __init__(self) -> None:
        self.port = free_port()
        self.called: list[str] = []
        self._waiting = selectors.DefaultSelector()
        for address in ADDRESSES:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listener = socket.create_server((address, self.port), family=family)
            self._waiting.register(listener, selectors.EVENT_READ, address)
        self._end, ours = socket.socketpair()
        self._waiting.register(ours, selectors.EVENT_READ, "")
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            for key, _ in self._waiting.select():
                if not key.data:
                    return
                assert isinstance(key.fileobj, socket.socket)
                connection, _ = key.fileobj.accept()
                with connection:
                    self.called.append(key.data)
                    connection.sendall(b"421 not now\r\n")

    def close(self) -> None:
        self._end.close()
        self._thread.join()
        for key in list(self._waiting.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._waiting.close()


class Ground:
    def __init__(self, folder: str, server: str, refusing: Refusing) -> None:
        self.server, self.refusing = server, refusing
        os.mkdir(folder)
        os.chmod(os.path.dirname(folder), 0o711)
        self.explained = Explained(folder)
        self.home = Home(self.explained.home.encode())
        self.explained.put(
            "control/smtproutes",
            f".example::{refusing.port}\nrefused.example:error:not there\nodd.example:x tls=may\n",
        )
        for name, size in (("tcpto", 1024), ("tcpto6", 2048)):
            self.explained.put(f"queue/lock/{name}", bytes(size))
        self.message = f"{folder}/message"
        Path(self.message).write_bytes(b"Subject: x\n\nx\n")

    def explain(self, *hosts: str) -> list[list[dict[str, object]]]:
        """The steps of each."""
        program = f"{self.explained.home}/bin/qmail-explain"
        done = self.explained.run(program, "-j", *(f"x@{host}" for host in hosts), DNSCACHEIP=self.server)
        assert done.stderr == b"", done
        return [json.loads(line)["steps"] for line in done.stdout.splitlines()]

    def deliver(self, host: str) -> bytes:
        """The report of a delivery of one message; it sees who is called in refusing.called."""

        async def run(descriptor: int) -> bytes:
            equipment = Equipment(self.home)
            equipment.use_resolver(dns.Resolver({b"DNSCACHEIP": self.server.encode()}))
            return await deliver(self.home, host.encode(), b"a@b.example", [b"x@y"], descriptor, equipment)

        self.refusing.called.clear()
        descriptor = os.open(self.message, os.O_RDONLY)
        try:
            return asyncio.run(run(descriptor))
        finally:
            os.close(descriptor)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = str(tmp_path_factory.mktemp("hosts"))
    refusing = Refusing()
    try:
        with name_server(f"{folder}/knot", {"example": ZONE, "here": HERE, "broken": ""}) as server:
            yield Ground(f"{folder}/ground", server, refusing)
    finally:
        refusing.close()


def tried(steps: list[dict[str, object]]) -> list[tuple[int, str]]:
    """(preference, address) of all that would be called, in their order."""
    found: list[tuple[int, str]] = []
    preference = 0
    for step in steps:
        facts = step.get("facts")
        if isinstance(facts, dict):
            preference = int(facts.get("preference", preference))
            if "try" in facts:
                assert int(facts["try"]) == len(found) + 1
                found.append((preference, facts["ip"]))
    return found


def test_the_hosts_that_are_named_are_those_that_are_called(ground: Ground) -> None:
    names = [f"{name}.example" for name in CALLED]
    for name, steps in zip(names, ground.explain(*names), strict=True):
        expected = tried(steps)
        report = ground.deliver(name)
        assert b"greeting failed" in report, report
        assert sorted(ground.refusing.called) == sorted(ip for _, ip in expected), (name, steps)
        preferences = {ip: preference for preference, ip in expected}
        called = [(preferences[ip], ip) for ip in ground.refusing.called]
        if name == "equals.example":  # chance decides among equals, each time
            assert [one for one in called if one[0] != 10] == [one for one in expected if one[0] != 10]
            assert [one[0] for one in called] == [one[0] for one in expected]
        else:
            assert called == expected, (name, steps)


def test_the_sentence_is_that_of_the_report_where_nobody_is_called(ground: Ground) -> None:
    kinds = {b"D": "bounces", b"Z": "waits"}
    for name, steps in zip(NOT_CALLED, ground.explain(*NOT_CALLED), strict=True):
        report = ground.deliver(name)
        text = " ".join(report[1:].rstrip(b"\0").decode().split())
        assert ground.refusing.called == []
        assert (steps[-1]["kind"], steps[-1]["text"]) == (kinds[report[:1]], text), name
        assert tried(steps) == [], name


def test_what_is_said_of_names_and_families(ground: Ground) -> None:
    said = ground.explain(*(f"{name}.example" for name in ("alias", "via", "equals", "half", "left", "mü", "only")))
    texts = [[str(step["text"]) for step in steps] for steps in said]
    port = ground.refusing.port
    assert "alias.example is an alias (CNAME) of two.example" in texts[0]
    assert f"::1 port {port}, from ::1, TLS to the name a.example" in texts[0]
    assert f"127.0.0.4 port {port}, from 127.0.0.1, TLS to the name b.example" in texts[0]
    assert "also-b.example is an alias (CNAME) of b.example" in texts[1]
    assert "10 c.example, one of 3 with this preference, in an order that chance decides" in texts[2]
    assert "10 x.broken: the DNS does not say its address now" in texts[3]
    assert "10 nowhere.example: it has no address, and is left out" in texts[4]
    assert "its name in the DNS is xn--m-eha.example" in texts[5]
    assert "only.example itself, which has no MX" in texts[6]
    note = f"$DNSCACHEIP says here that {ground.server} is asked; qmail-start may have been told of another one"
    assert all(note in one for one in texts)


def test_the_guard_against_loops_says_who_is_ourselves(ground: Ground) -> None:
    (steps,) = ground.explain("worse.here")
    texts = [step["text"] for step in steps if step["kind"] == "address"]
    ours = " is this machine: mail would come back, from here and from all that are no better"
    assert texts == [f"{ip}{ours}" for ip in ("::1", "127.0.0.2", "127.0.0.3", "127.0.0.4")]


def test_who_timed_out_lately_is_left_alone_by_both(ground: Ground) -> None:
    table = bytes(1024)
    for _ in range(2):
        at, record = tcpto.timed_out(table, bytes((127, 0, 0, 2)), clock.now() - 300 + 150 * _) or (0, b"")
        table = table[:at] + record + table[at + len(record) :]
    ground.explained.put("queue/lock/tcpto", table)
    try:
        (steps,) = ground.explain("two.example")
        expected = tried(steps)
        text = next(str(step["text"]) for step in steps if str(step["text"]).startswith("127.0.0.2 "))
        assert "timed out 2 times, 2 minutes ago: left alone for 61 minutes to 94 minutes more" in text
        ground.deliver("two.example")
        assert ground.refusing.called == [ip for _, ip in expected] == ["::1", "127.0.0.3", "127.0.0.4"]
    finally:
        ground.explained.put("queue/lock/tcpto", bytes(1024))


def test_without_the_dns_nothing_is_asked(ground: Ground) -> None:
    program = f"{ground.explained.home}/bin/qmail-explain"
    done = ground.explained.run(program, "--no-dns", "x@two.example", DNSCACHEIP=f"127.0.0.1:{free_port()}")
    assert done.returncode == 0
    assert done.stdout.endswith(b"    note: the DNS is not asked\n")
    done = ground.explained.run(program, "x@two.example", DNSCACHEIP=f"127.0.0.1:{free_port()}")
    assert done.returncode == 111
    assert done.stdout.endswith(b"    waits: Sorry, I couldn't find any host by that name. (#4.1.2)\n")
