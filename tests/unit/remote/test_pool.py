"""Warm connections: what goes over one of them, and what happens when its server has had enough."""

import asyncio
import os
import select
import threading
from collections.abc import Callable

import pytest

from qmailpy.remote import pool
from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.pool import Pool
from qmailpy.rules.routes import parse
from qmailpy.system import net
from tests.remote_support import Line, Peer, Place, replies
from tests.support import PATIENCE

TAKEN = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"
ENVELOPE = b"MAIL FROM:<from@here.example>\r\nRCPT TO:<to@there.example>\r\nDATA\r\n"


@pytest.fixture
def place(tmp_path: object) -> Place:
    return Place(str(tmp_path))


def series(place: Place, count: int, between: "Callable[[Equipment], None] | None" = None) -> tuple[list[bytes], int]:
    """So many deliveries, one after the other, by one pool.  Result: reports, and connections that were made."""
    made = 0

    async def run() -> list[bytes]:
        nonlocal made
        equipment = Equipment(place.home)
        equipment.pool = Pool()

        async def connect(address: bytes, port: int, patience: float, _source: bytes = b"") -> net.Stream:
            nonlocal made
            made += 1
            return await net.connect(address, port, patience)

        equipment.connect = connect
        reports = []
        for number in range(count):
            if number and between is not None:
                between(equipment)
                await asyncio.sleep(0)  # the loop looks who has said something
                await asyncio.sleep(0)  # and hears it
            descriptor = os.open(place.message, os.O_RDONLY)
            try:
                recipients = [b"to@there.example"]
                sender = b"from@here.example"
                reports.append(await deliver(place.home, b"there.example", sender, recipients, descriptor, equipment))
            finally:
                os.close(descriptor)
        equipment.pool.close()
        return reports

    return asyncio.run(run()), made


def mails(heard: bytes) -> int:
    return heard.count(b"MAIL FROM")


def test_the_next_message_takes_the_same_connection_and_says_no_second_ehlo(place: Place) -> None:
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert series(place, 3) == ([TAKEN] * 3, 1)
    assert len(peer.heard) == 1
    assert peer.heard[0].count(b"EHLO") == 1
    assert mails(peer.heard[0]) == 3
    assert peer.heard[0].endswith(b"QUIT\r\n")


def test_what_the_server_offered_still_holds(place: Place) -> None:
    script = replies({"EHLO": b"250-peer\r\n250-PIPELINING\r\n250 SIZE\r\n"})
    with Peer(script) as peer:
        place.route_to(peer)
        reports, made = series(place, 2)
    assert (reports, made) == ([TAKEN] * 2, 1)
    assert peer.heard[0].count(b" SIZE=") == 2


def test_without_a_pool_a_delivery_says_farewell(place: Place) -> None:
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert place.deliver() == TAKEN
    assert peer.heard[0].endswith(b".\r\nQUIT\r\n")


def one_message_and(end: "Callable[[Line], None]") -> "Callable[[Line], None]":
    """A server that takes one message in a connection, and then does this."""

    def script(line: Line) -> None:
        for reply in (b"220 peer\r\n", b"250 peer\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            line.say(reply)
            if reply != b"354 go\r\n":
                line.hear()
        line.hear_body()
        line.say(b"250 taken\r\n")
        end(line)

    return script


@pytest.mark.parametrize(
    "answer", [b"", b"421 enough\r\n", b"452 too many messages\r\n", b"550 go away\r\n", b"nonsense\r\n"]
)
def test_a_server_that_has_had_enough_gets_the_message_by_a_new_connection(place: Place, answer: bytes) -> None:
    def refuse(line: Line) -> None:
        line.hear()  # MAIL
        line.say(answer)

    with Peer(one_message_and(refuse)) as peer:
        place.route_to(peer)
        assert series(place, 3) == ([TAKEN] * 3, 3)


@pytest.mark.parametrize("words", [b"", b"421 closing\r\n"])
def test_a_connection_that_did_not_stay_silent_is_not_used_again(place: Place, words: bytes) -> None:
    with Peer(one_message_and(lambda line: line.say(words) if words else None)) as peer:
        place.route_to(peer)
        assert series(place, 2) == ([TAKEN] * 2, 2)


def test_who_speaks_out_of_turn_while_we_are_silent_is_not_used_again(place: Place) -> None:
    """One reply too many would be taken for the next command's, and each further one with it."""
    silent = threading.Event()

    def surprise(line: Line) -> None:
        silent.wait(PATIENCE)
        line.say(b"250 by the way\r\n")
        line.hear_all()

    def between(equipment: Equipment) -> None:
        assert equipment.pool is not None
        [[line]] = equipment.pool._waiting.values()
        assert isinstance(line.face, net.Stream)
        assert line.face._socket is not None
        silent.set()
        assert select.select([line.face._socket], [], [], PATIENCE)[0]

    with Peer(one_message_and(surprise)) as peer:
        place.route_to(peer)
        assert series(place, 2, between) == ([TAKEN] * 2, 2)
    assert peer.heard[0].endswith(b"\r\n.\r\n")


def test_a_refused_recipient_ends_the_connection(place: Place) -> None:
    with Peer(replies({"RCPT": b"550 no\r\n"})) as peer:
        place.route_to(peer)
        reports, made = series(place, 2)
    assert made == 2
    assert all(report.startswith(b"h127.0.0.1 does not like recipient.") for report in reports)


def test_a_connection_takes_only_so_many_messages(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MESSAGES", 2)
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert series(place, 5) == ([TAKEN] * 5, 3)
    assert [mails(heard) for heard in peer.heard] == [2, 2, 1]
    assert all(heard.endswith(b"QUIT\r\n") for heard in peer.heard)


def test_a_connection_does_not_live_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LIFETIME", 0.0)
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert series(place, 2) == ([TAKEN] * 2, 2)


def test_only_so_many_connections_wait(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST", 0)
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert series(place, 2) == ([TAKEN] * 2, 2)


def test_another_helohost_or_route_means_another_connection(place: Place) -> None:
    with Peer(replies()) as peer:
        place.route_to(peer)
        names = iter(["a.example.org", "a.example.org"])

        def rename(_: Equipment) -> None:
            place.control("helohost", next(names))

        reports, made = series(place, 3, rename)
    assert reports == [TAKEN] * 3
    assert made == 2


LEVELS = [
    *("none", "may", "encrypt", "verify", "implicit", "implicit verify=no", "encrypt auth=isp", "encrypt auth=other"),
    *("implicit auth=isp", "implicit auth=isp verify=no", f"fingerprint fingerprint={'a' * 64}"),
    f"fingerprint fingerprint={'b' * 64}",
]


def test_no_connection_serves_a_route_that_asks_for_something_else() -> None:
    """Above all none in clear, or with a server that has proven nothing, one that asks for more."""
    routes = [parse(f"relay:25 tls={level}".encode()) for level in LEVELS] + [parse(b"relay:587 tls=may")]
    keys = [pool.key_of(b"192.0.2.7", b"relay", route, b"", b"us") for route in routes]
    keys += [
        pool.key_of(b"192.0.2.8", b"relay", routes[0], b"", b"us"),
        pool.key_of(b"192.0.2.7", b"other", routes[0], b"", b"us"),
        pool.key_of(b"192.0.2.7", b"relay", routes[0], b"192.0.2.1", b"us"),
        pool.key_of(b"192.0.2.7", b"relay", routes[0], b"", b"we"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_warm_connection_in_clear_is_none_where_tls_is_asked_for_now(place: Place) -> None:
    with Peer(replies()) as peer:
        place.route_to(peer)

        def between(_: Equipment) -> None:
            place.control("smtproutes", f":127.0.0.1:{peer.port} tls=encrypt")

        [first, second], made = series(place, 2, between)
    assert (first, made) == (TAKEN, 2)
    assert second.startswith(b"ZConnected to 127.0.0.1 but it does not offer TLS, which its route asks for.")
    assert mails(b"".join(peer.heard)) == 1


def test_an_idle_connection_is_closed_politely(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "AWHILE", 0.01)

    close = net.Stream.close

    async def run(equipment: Equipment) -> None:
        equipment.pool = Pool()
        closed = asyncio.Event()

        def tell(stream: net.Stream, last: bytes = b"") -> None:
            close(stream, last)
            closed.set()

        monkeypatch.setattr(net.Stream, "close", tell)
        descriptor = os.open(place.message, os.O_RDONLY)
        try:
            await deliver(place.home, b"h.example", b"s@h.example", [b"r@h.example"], descriptor, equipment)
        finally:
            os.close(descriptor)
        await closed.wait()

    with Peer(replies()) as peer:
        place.route_to(peer)
        asyncio.run(asyncio.wait_for(run(Equipment(place.home)), 10))
    assert peer.heard[0].endswith(b"QUIT\r\n")
