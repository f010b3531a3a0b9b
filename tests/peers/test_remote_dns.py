"""Remote deliveries through a real name server, Knot: what it says, and what it does not say, decides."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from qmailpy.remote.equipment import Equipment
from qmailpy.system import dns
from qmailpy.system.net import Stream
from tests.remote_support import Peer, Place, name_server, replies
from tests.support import free_port, write

T = TypeVar("T")
MANY = 300  # exchangers: far more than a packet of UDP holds
ZONE = f"""
two     MX 20 b
two     MX 10 a
a       A 192.0.2.1
a       A 192.0.2.2
a       AAAA 2001:db8::1
b       A 192.0.2.3
six     MX 10 six-mx
six-mx  AAAA ::1
only-a  A 192.0.2.4
null    MX 0 .
dead    MX 10 nowhere
text    TXT "no address"
alias   CNAME two
long    CNAME away.elsewhere.
loop    CNAME loop2
loop2   CNAME loop
here    MX 10 loopback
loopback A 127.0.0.1
half    MX 10 x.broken.
half    MX 20 b
void    MX 10 x.broken.
m\\195\\188nchen A 192.0.2.9
xn--mnchen-3ya MX 10 a
deleg   NS ns.deleg
ns.deleg A 192.0.2.7
odd     MX 10 a\\.b
odd     MX 20 b
{"".join(f"many MX {10 + at} an-exchanger-with-a-rather-long-name-number-{at}" + chr(10) for at in range(MANY))}
an-exchanger-with-a-rather-long-name-number-0 A 192.0.2.5
"""
ELSEWHERE = "away MX 10 mx\nmx A 192.0.2.6\n"

SOFT = b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n\0"
NO_CONNECTION = b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n\0"


def no_host(name: bytes) -> bytes:
    return b"DSorry, I couldn't find any host named %s. (#5.1.2)\n\0" % name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = str(tmp_path_factory.mktemp("knot") / "server")
    with name_server(folder, {"example": ZONE, "elsewhere": ELSEWHERE, "broken": ""}) as address:
        yield address


def ask(server: str, question: Callable[[dns.Resolver], Awaitable[T]]) -> T:
    async def run() -> T:
        return await question(dns.Resolver({b"DNSCACHEIP": server.encode()}))

    return asyncio.run(run())


def deliver(tmp_path: object, server: str, host: bytes) -> tuple[bytes, list[bytes]]:
    """The report, and the addresses that were tried, each of which refuses."""
    place = Place(f"{tmp_path}/home")
    addresses: list[bytes] = []

    def prepare(equipment: Equipment) -> None:
        async def refuse(address: bytes, _port: int, _patience: float, _source: bytes = b"") -> Stream:
            addresses.append(address)
            raise ConnectionRefusedError

        equipment.connect = refuse
        equipment.own_test = lambda: frozenset[bytes]().__contains__  # a test machine may live at 192.0.2.2
        equipment.use_resolver(dns.Resolver({b"DNSCACHEIP": server.encode()}))

    return place.deliver(host=host, prepare=prepare), addresses


@pytest.mark.parametrize(
    ("host", "report", "addresses"),
    [
        (b"two.example", NO_CONNECTION, [b"192.0.2.1", b"192.0.2.2", b"2001:db8::1", b"192.0.2.3"]),
        (b"TWO.Example.", NO_CONNECTION, [b"192.0.2.1", b"192.0.2.2", b"2001:db8::1", b"192.0.2.3"]),
        (b"only-a.example", NO_CONNECTION, [b"192.0.2.4"]),
        (b"alias.example", NO_CONNECTION, [b"192.0.2.1", b"192.0.2.2", b"2001:db8::1", b"192.0.2.3"]),
        (b"long.example", NO_CONNECTION, [b"192.0.2.6"]),
        (b"many.example", NO_CONNECTION, [b"192.0.2.5"]),
        (b"half.example", NO_CONNECTION, [b"192.0.2.3"]),
        (b"odd.example", NO_CONNECTION, [b"192.0.2.3"]),
        ("münchen.example".encode(), NO_CONNECTION, [b"192.0.2.1", b"192.0.2.2", b"2001:db8::1"]),
        (b"null.example", b"DSorry, null.example has a null MX: it does not accept mail. (#5.1.10)\n\0", []),
        (b"dead.example", b"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n\0", []),
        (b"text.example", no_host(b"text.example"), []),
        (b"nobody.example", no_host(b"nobody.example"), []),
        (b"void.example", SOFT, []),
        (b"x.broken", SOFT, []),
        (b"x.refused", SOFT, []),
        (b"x.deleg.example", SOFT, []),  # this server only says who knows
        (b"xn--mnchen-3ya.example", NO_CONNECTION, [b"192.0.2.1", b"192.0.2.2", b"2001:db8::1"]),
        (b"xn--.example", no_host(b"xn--.example"), []),
        (b"x" * 63 + b".example", no_host(b"x" * 63 + b".example"), []),
        (b"loop.example", SOFT, []),
        (b"x" * 64 + b".example", no_host(b"x" * 64 + b".example"), []),
        (b".".join([b"x" * 60] * 5), no_host(b".".join([b"x" * 60] * 5)), []),
        (b"a..example", no_host(b"a..example"), []),
        (b"", no_host(b""), []),
        (b".", no_host(b"."), []),
        (b"\xff.example", no_host(b"?.example"), []),
        (b"two\\.example", no_host(b"two\\.example"), []),
        (b"[300.1.1.1]", SOFT, []),  # in no zone of this server: REFUSED
    ],
)
def test_what_the_dns_says_decides(
    tmp_path: object, server: str, host: bytes, report: bytes, addresses: list[bytes]
) -> None:
    said, tried = deliver(tmp_path, server, host)
    assert (said, sorted(tried)) == (report, sorted(addresses))
    if len(addresses) == 4:
        assert tried[3] == b"192.0.2.3"
        assert tried[2] == b"2001:db8::1"


def test_mail_reaches_the_exchanger_over_ipv4_and_ipv6(tmp_path: object, server: str) -> None:
    for host, family, ip in (
        (b"here.example", socket.AF_INET, b"127.0.0.1"),
        (b"six.example", socket.AF_INET6, b"::1"),
    ):
        place = Place(f"{tmp_path}/{host.decode()}")

        def prepare(equipment: Equipment) -> None:
            equipment.use_resolver(dns.Resolver({b"DNSCACHEIP": server.encode()}))

        with Peer(replies(), family) as peer:
            place.control("smtproutes", f".example::{peer.port}")  # by MX, at another port than 25
            report = place.deliver(host=host, prepare=prepare)
        assert report == b"r\0K" + ip + b" accepted message.\nRemote host said: 250 taken\n\0"


def test_an_exchanger_that_is_ourselves_would_be_a_loop(tmp_path: object, server: str) -> None:
    for host in (b"here.example", b"six.example"):
        report, tried = deliver(f"{tmp_path}/{host.decode()}", server, host)
        assert report.startswith(b"DSorry. Although I'm listed as a best-preference MX or A for that host,\n")
        assert tried == []


def test_an_answer_too_long_for_udp_comes_by_tcp_whole(server: str) -> None:
    assert len(ask(server, lambda resolver: resolver.mx(b"many.example"))) == MANY


def test_the_server_may_be_named_in_every_way(server: str, tmp_path: object) -> None:
    address, _, port = server.partition(":")
    for words in (f"{address}:{port}", f"[{address}]:{port}"):
        assert ask(words, lambda resolver: resolver.a(b"b.example")) == [b"192.0.2.3"]
    with name_server(f"{tmp_path}/six", {"example": ZONE}, address="::1") as six:
        assert ask(six, lambda resolver: resolver.a(b"b.example")) == [b"192.0.2.3"]


@pytest.mark.parametrize("words", ["nonsense", "127.0.0.1:x", "127.0.0.1:999999", "[::1]:70000", "1.2.3.4:-1", "\xff"])
def test_a_server_that_cannot_be_asked_is_no_answer(words: str) -> None:
    with pytest.raises(dns.Soft):
        ask(words, lambda resolver: resolver.a(b"b.example"))


def test_a_server_that_is_not_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "ALL_TRIES", 0.5)
    with pytest.raises(dns.Soft):
        ask(f"127.0.0.1:{free_port()}", lambda resolver: resolver.a(b"b.example"))


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "[::1]:{}"])
def test_a_closed_port_is_no_answer_at_once(address: str) -> None:
    """Not after the half minute that a silent server gets: the delivery would hold its slot for so long."""
    begun = time.monotonic()
    with pytest.raises(dns.Soft):
        ask(address.format(free_port()), lambda resolver: resolver.a(b"b.example"))
    assert time.monotonic() - begun < dns.ONE_TRY


def test_a_closed_port_does_not_end_a_delivery_for_good(tmp_path: object) -> None:
    begun = time.monotonic()
    said, tried = deliver(tmp_path, f"127.0.0.1:{free_port()}", b"nobody.example")
    assert (said, tried) == (SOFT, [])
    assert time.monotonic() - begun < dns.ONE_TRY


def test_another_server_is_asked_when_one_is_closed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = dns._resolver

    def with_a_closed_one_first(server: bytes) -> object:
        resolver = make(server)
        resolver.nameservers = ["127.0.0.9", *resolver.nameservers]
        return resolver

    monkeypatch.setattr(dns, "_resolver", with_a_closed_one_first)
    begun = time.monotonic()
    assert ask(server, lambda resolver: resolver.a(b"b.example")) == [b"192.0.2.3"]
    with pytest.raises(dns.Hard):
        ask(server, lambda resolver: resolver.a(b"nobody.example"))
    assert time.monotonic() - begun < dns.ONE_TRY


def test_answers_are_remembered_and_errors_are_told_apart_again(server: str) -> None:
    async def twice(resolver: dns.Resolver) -> list[bytes]:
        for _ in range(2):
            with pytest.raises(dns.Hard):
                await resolver.a(b"nobody.example")
            with pytest.raises(dns.Hard):
                await resolver.a(b"text.example")
            with pytest.raises(dns.Soft):
                await resolver.a(b"x.broken")
            found = await resolver.a(b"b.example")
        return found

    assert ask(server, twice) == [b"192.0.2.3"]


def test_hundreds_of_questions_at_once_need_few_descriptors(server: str) -> None:
    async def many(resolver: dns.Resolver) -> list[list[bytes]]:
        return await asyncio.gather(*(resolver.a(b"b.example") for _ in range(500)))

    assert ask(server, many) == [[b"192.0.2.3"]] * 500


@pytest.mark.root
def test_without_dnscacheip_the_systems_resolver_is_asked_as_it_is_now(tmp_path: object) -> None:
    async def before_and_after(resolver: dns.Resolver) -> list[bytes]:
        write("/etc/resolv.conf", "nameserver 127.0.0.3\n")
        found = await resolver.a(b"b.example")
        write("/etc/resolv.conf", "nameserver 127.0.0.4\noptions timeout:1\n")
        with pytest.raises(dns.Soft):
            await resolver.a(b"b.elsewhere")
        os.unlink("/etc/resolv.conf")
        with pytest.raises(dns.Soft):  # 127.0.0.1, where nobody is
            await resolver.a(b"b.elsewhere")
        return found

    dns.ALL_TRIES = 1.0  # this process ends with the test
    with name_server(f"{tmp_path}/knot", {"example": ZONE}, port=53, address="127.0.0.3"):
        assert ask("", before_and_after) == [b"192.0.2.3"]
