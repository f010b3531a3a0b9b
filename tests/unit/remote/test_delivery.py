"""From a host to a connection: controls, routes, time-outs, loops. A real DNS is asked in tests/peers."""

import asyncio
import os
import socket
import threading

import pytest

from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.system.dns import Hard, Soft
from qmailpy.system.net import Stream, connect
from tests.remote_support import Line, Peer, Place, Script, replies
from tests.support import free_port, read, wait_for, write

TAKEN = b"r\0K127.0.0.1 accepted message.\nRemote host said: 250 taken\n\0"
NO_CONNECTION = b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n\0"
NO_CONTROLS = b"ZUnable to read control files. (#4.3.0)\n\0"
LOOP = (
    b"DSorry. Although I'm listed as a best-preference MX or A for that host,\n"
    b"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n\0"
)


@pytest.fixture
def place(tmp_path: object) -> Place:
    return Place(str(tmp_path))


def test_helohost_comes_before_me(place: Place) -> None:
    place.control("helohost", "other.example.org")
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert place.deliver() == TAKEN
    assert peer.heard[0].startswith(b"EHLO other.example.org\r\n")


def test_without_helohost_and_me_nothing_is_tried(place: Place) -> None:
    os.unlink(f"{place.path}/control/me")
    assert place.deliver() == NO_CONTROLS


@pytest.mark.parametrize("name", ["helohost", "smtproutes", "senderroutes", "timeoutconnect", "timeoutremote"])
def test_a_control_file_that_cannot_be_read_is_a_reason_to_wait(place: Place, name: str) -> None:
    os.mkdir(f"{place.path}/control/{name}")
    assert place.deliver() == NO_CONTROLS


@pytest.mark.parametrize("name", ["a b", "mx.example.org\r", "a>"])
def test_a_name_that_would_break_helo_is_not_said(place: Place, name: str) -> None:
    place.control("helohost", name)
    assert place.deliver().startswith(b"ZThe name in control/helohost (or me) has bytes that no name has.")


def test_a_changed_control_file_counts_at_once(place: Place) -> None:
    equipment = Equipment(place.home)
    for port in range(1001, 1010):  # as long as before, within one tick of the clock
        place.control("smtproutes", f":127.0.0.1:{port}")
        settings = equipment.controls.settings()
        assert settings is not None
        assert settings.routes == {b"": b"127.0.0.1:%d" % port}


def test_an_unchanged_control_file_is_not_read_again(place: Place) -> None:
    os.utime(f"{place.path}/control/me", (1, 1))
    equipment = Equipment(place.home)
    first = equipment.controls.settings()

    def settled() -> bool:
        return equipment.controls.settings() is equipment.controls.settings()

    wait_for(settled, "settings that are remembered")
    assert first is not None


@pytest.mark.parametrize("value", ["0", "x", "99999999999999999999999999"])
def test_odd_timeouts_are_made_usable(place: Place, value: str) -> None:
    place.control("timeoutconnect", value)
    place.control("timeoutremote", value)
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert place.deliver() == TAKEN


@pytest.mark.parametrize(
    ("route", "report"),
    [
        (":relay.example:25 tls=may auth=isp", b"a login needs TLS: tls=verify, tls=fingerprint or tls=implicit"),
        (":relay.example:25 tls=fingerprint", b"tls=fingerprint needs fingerprint="),
        (":127.0.0.1:25 tsl=verify", b"an option there is unknown to this version"),
        (":127.0.0.1 tls=verify", b"options need a port before them, as in relay:25 tls=may"),
    ],
)
def test_a_route_that_cannot_be_followed_as_meant_waits(place: Place, route: str, report: bytes) -> None:
    place.control("smtproutes", route)
    assert place.deliver() == (
        b"ZSorry, I can't use the route for there.example in control/smtproutes: " + report + b". (#4.3.5)\n\0"
    )


def test_tls_may_goes_out_plainly(place: Place) -> None:
    with Peer(replies()) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} tls=may")
        assert place.deliver() == TAKEN


def test_a_route_refuses_in_the_administrators_words(place: Place) -> None:
    place.control("smtproutes", "there.example:error:Not to there, ever. (#5.7.1)")
    assert place.deliver() == b"DNot to there, ever. (#5.7.1)\n\0"


def test_a_relay_may_be_ourselves(place: Place) -> None:
    with Peer(replies()) as peer:
        place.control("smtproutes", f"there.example:[127.0.0.1]:{peer.port}")
        assert place.deliver() == TAKEN


@pytest.mark.parametrize("host", [b"127.0.0.1", b"[127.0.0.2]", b"[0.0.0.0]", b"[0.1.2.3]", b"[IPv6:::1]", b"[::]"])
def test_mail_to_ourselves_would_be_a_loop(place: Place, host: bytes) -> None:
    assert place.deliver(host=host) == LOOP


def test_an_address_of_an_interface_is_ourselves(place: Place) -> None:
    def prepare(equipment: Equipment) -> None:
        equipment.own_test = lambda: frozenset([b"198.51.100.7"]).__contains__

    assert place.deliver(host=b"[198.51.100.7]", prepare=prepare) == LOOP


def test_if_our_own_addresses_are_unknown_mail_waits(place: Place) -> None:
    def prepare(equipment: Equipment) -> None:
        def fail() -> None:
            raise OSError

        equipment.own_test = fail  # type: ignore[assignment]

    report = place.deliver(host=b"[198.51.100.7]", prepare=prepare)
    assert report == b"ZSystem resources temporarily unavailable. (#4.3.0)\n\0"


def test_another_port_at_our_own_address_is_somebody_else(place: Place) -> None:
    with Peer(replies()) as peer:
        place.control("smtproutes", f"127.0.0.1::{peer.port}")
        assert place.deliver(host=b"127.0.0.1") == TAKEN


def test_nobody_at_the_port_is_a_reason_to_wait(place: Place) -> None:
    place.control("smtproutes", f":127.0.0.1:{free_port()}")
    assert place.deliver() == NO_CONNECTION


# time-outs


def timing_out(equipment: Equipment) -> None:
    async def never(address: bytes, port: int, patience: float, _source: bytes = b"") -> Stream:
        raise TimeoutError(address, port, patience)

    equipment.connect = never


def test_a_timeout_is_remembered_and_the_host_left_alone(place: Place) -> None:
    place.control("smtproutes", ":192.0.2.9")
    assert place.deliver(prepare=timing_out) == NO_CONNECTION
    table = read(place.tcpto)
    assert table[:8] == bytes((192, 0, 2, 9, 1, 0, 0, 0))
    assert place.deliver(prepare=timing_out) == NO_CONNECTION
    assert read(place.tcpto) == table  # within two minutes it counts once
    write(place.tcpto, table[:4] + b"\2" + table[5:])

    def refuse_to_be_called(equipment: Equipment) -> None:
        async def called(address: bytes, port: int, patience: float, _source: bytes = b"") -> Stream:
            raise AssertionError(address, port, patience)

        equipment.connect = called

    assert place.deliver(prepare=refuse_to_be_called) == NO_CONNECTION


def test_an_answer_clears_the_count(place: Place) -> None:
    write(place.tcpto, bytes((127, 0, 0, 1, 1, 0, 0, 0)) + bytes(1016))
    with Peer(replies()) as peer:
        place.route_to(peer)
        assert place.deliver() == TAKEN
    assert read(place.tcpto)[:8] == bytes((127, 0, 0, 1, 0, 0, 0, 0))


def test_a_refusal_clears_the_count_too(place: Place) -> None:
    write(place.tcpto, bytes((127, 0, 0, 1, 5, 0, 0, 0)) + bytes(1016))
    place.control("smtproutes", f":127.0.0.1:{free_port()}")
    assert place.deliver() == NO_CONNECTION
    assert read(place.tcpto)[4] == 0


def test_a_timeout_of_an_ipv6_address_is_not_remembered(place: Place) -> None:
    place.control("smtproutes", ":[2001:db8::9]")
    assert place.deliver(prepare=timing_out) == NO_CONNECTION
    assert read(place.tcpto) == bytes(1024)


def test_without_the_table_mail_goes_on(place: Place) -> None:
    os.unlink(place.tcpto)
    place.control("smtproutes", ":192.0.2.9")
    assert place.deliver(prepare=timing_out) == NO_CONNECTION


def test_a_host_that_does_not_answer_costs_timeoutconnect(place: Place) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        first = socket.create_connection(("127.0.0.1", port))  # the queue is full: the kernel drops what comes
        second = socket.socket()
        second.setblocking(False)
        second.connect_ex(("127.0.0.1", port))
        place.control("smtproutes", f":127.0.0.1:{port}")
        place.control("timeoutconnect", "1")
        with first, second:
            assert place.deliver() == NO_CONNECTION
    assert read(place.tcpto)[:8] == bytes((127, 0, 0, 1, 1, 0, 0, 0))


# which addresses, in which order: a resolver of the test's own


class Records:
    """What the DNS would say."""

    def __init__(self, mx: object, **addresses: object) -> None:
        self.records, self.addresses = mx, addresses

    async def mx(self, _name: bytes) -> object:
        if isinstance(self.records, type):
            raise self.records
        return self.records

    async def a(self, name: bytes) -> object:
        return self._of("a_", name)

    async def aaaa(self, name: bytes) -> object:
        return self._of("aaaa_", name)

    def _of(self, kind: str, name: bytes) -> object:
        found = self.addresses.get(kind + name.decode().replace(".", "_"), Hard)
        if isinstance(found, type):
            raise found
        return found


def tried(place: Place, records: Records, own: frozenset[bytes] = frozenset()) -> tuple[bytes, list[bytes]]:
    """The report, and the addresses that were tried, each of which refuses."""
    addresses: list[bytes] = []

    def prepare(equipment: Equipment) -> None:
        async def refuse(address: bytes, _port: int, _patience: float, _source: bytes = b"") -> Stream:
            addresses.append(address)
            raise ConnectionRefusedError

        equipment.connect = refuse
        equipment.source_for = lambda address: b"2001:db8::99" if b":" in address else b"192.0.2.99"
        equipment.own_test = lambda: own.__contains__
        equipment.choose = lambda count: count - 1  # equals stay in their order
        equipment.use_resolver(records)  # type: ignore[arg-type]

    return place.deliver(prepare=prepare), addresses


def test_exchangers_are_tried_by_preference_and_each_by_ipv6_first(place: Place) -> None:
    records = Records(
        [(20, b"c"), (10, b"a"), (10, b"b")],
        a_a=[b"192.0.2.1", b"192.0.2.2"],
        aaaa_a=[b"2001:db8::1"],
        aaaa_b=[b"2001:db8::2"],
        a_c=[b"192.0.2.3"],
    )
    assert tried(place, records) == (
        NO_CONNECTION,
        [b"2001:db8::1", b"192.0.2.1", b"192.0.2.2", b"2001:db8::2", b"192.0.2.3"],
    )


def test_only_exchangers_better_than_ourselves_are_tried(place: Place) -> None:
    records = Records(
        [(10, b"a"), (20, b"us"), (30, b"c")], a_a=[b"192.0.2.1"], a_us=[b"192.0.2.2"], a_c=[b"192.0.2.3"]
    )
    assert tried(place, records, frozenset([b"192.0.2.2"])) == (NO_CONNECTION, [b"192.0.2.1"])
    assert tried(place, records, frozenset([b"192.0.2.1"])) == (LOOP, [])


def test_the_same_by_ipv6(place: Place) -> None:
    records = Records([(10, b"us"), (20, b"b")], aaaa_us=[b"2001:db8::1"], a_b=[b"192.0.2.3"])
    assert tried(place, records, frozenset([b"2001:db8::1"])) == (LOOP, [])


@pytest.mark.parametrize(
    ("family", "report", "addresses"),
    [
        ("0", NO_CONNECTION, [b"2001:db8::1", b"192.0.2.1", b"2001:db8::2"]),
        ("4", NO_CONNECTION, [b"192.0.2.1"]),
        ("6", NO_CONNECTION, [b"2001:db8::1", b"2001:db8::2"]),
        ("5", NO_CONNECTION, [b"2001:db8::1", b"192.0.2.1", b"2001:db8::2"]),  # there is no such family
    ],
)
def test_only_addresses_of_the_family_that_was_named_are_called(
    place: Place, family: str, report: bytes, addresses: list[bytes]
) -> None:
    place.control("outgoingfamily", family)
    records = Records([(10, b"a"), (20, b"b")], aaaa_a=[b"2001:db8::1"], a_a=[b"192.0.2.1"], aaaa_b=[b"2001:db8::2"])
    assert tried(place, records) == (report, addresses)


def test_mail_for_a_host_of_the_other_family_waits(place: Place) -> None:
    place.control("outgoingfamily", "4")
    sentence = b"ZSorry, that host has no IPv4 address, and control/outgoingfamily allows no other. (#4.4.1)\n\0"
    assert tried(place, Records([(10, b"a")], aaaa_a=[b"2001:db8::1"])) == (sentence, [])
    ours = Records([(10, b"us"), (20, b"b")], aaaa_us=[b"2001:db8::1"], a_b=[b"192.0.2.3"])
    assert tried(place, ours, frozenset([b"2001:db8::1"])) == (LOOP, [])  # it is ourselves, by whatever family


def test_an_exchanger_that_is_loopback_is_ourselves(place: Place) -> None:
    assert tried(place, Records([(10, b"a")], a_a=[b"127.0.0.53"])) == (LOOP, [])


def test_an_exchanger_nobody_knows_for_now_may_be_better_than_ourselves(place: Place) -> None:
    records = Records([(10, b"a"), (20, b"us")], a_a=Soft, a_us=[b"192.0.2.2"])
    report, addresses = tried(place, records, frozenset([b"192.0.2.2"]))
    assert report == b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n\0"
    assert addresses == []


def test_a_relay_that_does_not_exist_is_the_administrators_slip_and_defers(place: Place) -> None:
    place.control("smtproutes", ":relay.example")
    report = b"ZSorry, I couldn't find any host named relay.example, my relay in control/smtproutes. (#4.4.4)\n\0"
    assert tried(place, Records(Hard)) == (report, [])


def test_what_is_known_is_tried_even_if_the_rest_is_not(place: Place) -> None:
    records = Records([(10, b"a"), (20, b"b")], a_a=Soft, a_b=[b"192.0.2.2"], aaaa_b=Soft)
    assert tried(place, records) == (NO_CONNECTION, [b"192.0.2.2"])


def test_the_answers_of_the_dns_and_their_sentences(place: Place) -> None:
    soft = b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n\0"
    no_host = b"DSorry, I couldn't find any host named there.example. (#5.1.2)\n\0"
    for records, report in (
        (Records(Soft), soft),
        (Records(Hard), no_host),
        (Records(Hard, a_there_example=Soft), soft),
        (Records(Hard, aaaa_there_example=Soft), soft),
        (Records([(10, b"a")]), b"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n\0"),
        (Records([(10, b"a")], aaaa_a=Soft), soft),
        (Records([(0, b".")]), b"DSorry, there.example has a null MX: it does not accept mail. (#5.1.10)\n\0"),
    ):
        assert tried(place, records) == (report, [])
    assert tried(place, Records(Hard, aaaa_there_example=[b"2001:db8::1"])) == (NO_CONNECTION, [b"2001:db8::1"])


def two_exchangers(place: Place, first: Script, second: Script) -> tuple[bytes, list[list[bytes]]]:
    """A delivery to a host with two exchangers.  Result: the report, and what each of them heard."""
    with Peer(first) as one, Peer(second) as other:

        def prepare(equipment: Equipment) -> None:
            equipment.use_resolver(
                Records([(10, b"a"), (20, b"b")], a_a=[b"192.0.2.1"], a_b=[b"192.0.2.2"])  # type: ignore[arg-type]
            )
            equipment.own_test = lambda: frozenset[bytes]().__contains__
            ports = {b"192.0.2.1": one.port, b"192.0.2.2": other.port}
            equipment.connect = lambda address, _port, patience, _source: connect(
                b"127.0.0.1", ports[address], patience
            )

        report = place.deliver(prepare=prepare)
    return report, [one.heard, other.heard]


def hang_up(_: Line) -> None:
    """A server that is there, and does not speak."""


BUSY, GONE = {"greeting": b"421 busy\r\n"}, {"greeting": b"554 no service\r\n"}


@pytest.mark.parametrize(
    "changed", [BUSY, GONE, {"EHLO": b"421 who\r\n"}, {"EHLO": b"550 x\r\n", "HELO": b"550 x\r\n"}]
)
def test_an_exchanger_that_turns_us_away_is_no_better_than_one_that_is_silent(
    place: Place, changed: dict[str, bytes | None]
) -> None:
    report, _ = two_exchangers(place, replies(changed), replies())
    assert report == TAKEN.replace(b"127.0.0.1", b"192.0.2.2")


def test_one_that_hangs_up_at_once_is_no_better_either(place: Place) -> None:
    report, _ = two_exchangers(place, hang_up, replies())
    assert report == TAKEN.replace(b"127.0.0.1", b"192.0.2.2")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (GONE, GONE, b"DConnected to 192.0.2.2 but greeting failed.\nRemote host said: 554 no service\n\0"),
        (BUSY, GONE, b"ZConnected to 192.0.2.1 but greeting failed.\nRemote host said: 421 busy\n\0"),
        (GONE, BUSY, b"ZConnected to 192.0.2.2 but greeting failed.\nRemote host said: 421 busy\n\0"),
    ],
)
def test_only_where_all_of_them_say_no_for_good_the_mail_bounces(
    place: Place, first: dict[str, bytes | None], second: dict[str, bytes | None], expected: bytes
) -> None:
    assert two_exchangers(place, replies(first), replies(second))[0] == expected


def test_the_classic_way_asks_nobody_else_and_waits(place: Place) -> None:
    place.control("classicgreeting", "1")
    report, (_, second) = two_exchangers(place, replies(GONE), replies())
    assert report == b"ZConnected to 192.0.2.1 but greeting failed.\nRemote host said: 554 no service\n\0"
    assert second == []


def test_once_the_message_is_spoken_of_no_other_address_is_tried(place: Place) -> None:
    report, (_, second) = two_exchangers(place, replies({"MAIL": b"450 later\r\n"}), replies())
    assert report == b"ZConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 450 later\n\0"
    assert second == []


def test_a_cancelled_delivery_closes_its_connection(place: Place) -> None:
    called = threading.Event()

    def script(line: Line) -> None:
        called.set()
        line.hear_all()

    async def run(descriptor: int) -> None:
        work = deliver(place.home, b"h", b"a@b", [b"c@d"], descriptor, Equipment(place.home))
        delivery = asyncio.ensure_future(work)
        await asyncio.to_thread(called.wait)
        delivery.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivery

    with Peer(script) as peer, open(place.message, "rb") as file:
        place.route_to(peer)
        asyncio.run(run(file.fileno()))


# who we are, and where from


def test_a_route_may_say_who_we_are_there(place: Place) -> None:
    with Peer(replies()) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port} helo=other.example.org")
        assert place.deliver() == TAKEN
    assert peer.heard[0].startswith(b"EHLO other.example.org\r\n")


class Callers:
    """A server that notes where its clients come from."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def __call__(self, line: Line) -> None:
        self.addresses.append(line.connection.getpeername()[0])
        replies()(line)


@pytest.mark.parametrize(
    ("option", "outgoing", "expected"),
    [
        (" source=127.0.0.5", "", "127.0.0.5"),
        ("", "127.0.0.6", "127.0.0.6"),
        (" source=127.0.0.5", "127.0.0.6", "127.0.0.5"),
        ("", "::1\n127.0.0.6\n127.0.0.7", "127.0.0.6"),
        (" source=::1", "", "127.0.0.1"),  # of the other family
    ],
)
def test_mail_leaves_from_the_address_that_was_named(place: Place, option: str, outgoing: str, expected: str) -> None:
    callers = Callers()
    with Peer(callers) as peer:
        place.control("smtproutes", f":127.0.0.1:{peer.port}{option}")
        if outgoing:
            place.control("outgoingip", outgoing)
        assert place.deliver() == TAKEN
    assert callers.addresses[:1] == [expected]


@pytest.mark.parametrize("address", ["192.0.2.77", "no-address", "127.0.0.300"])
def test_an_outgoing_address_that_is_not_ours_keeps_the_mail_and_is_named(place: Place, address: str) -> None:
    with Peer(replies()) as peer:
        place.route_to(peer)
        place.control("outgoingip", address)
        report = place.deliver()
    assert report.startswith(b"ZSorry, mail shall leave from %s" % address.encode())
    assert peer.heard == []
