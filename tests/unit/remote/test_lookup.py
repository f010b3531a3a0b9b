"""How long, and for how many, the DNS is asked on behalf of one delivery; what is done without the rest."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from qmailpy.remote import lookup
from qmailpy.remote.equipment import Equipment
from qmailpy.remote.lookup import Found
from qmailpy.rules.exchangers import LIMIT
from qmailpy.system import clock
from qmailpy.system.dns import Hard, Soft
from tests.remote_support import Place

Answer = Callable[[bytes], Awaitable[list[bytes]]]


async def nothing(_name: bytes) -> list[bytes]:
    raise Hard


async def soft(_name: bytes) -> list[bytes]:
    raise Soft


async def never(_name: bytes) -> list[bytes]:
    await asyncio.get_running_loop().create_future()
    return []


class Dns:
    """Answers as it is told."""

    def __init__(self, exchangers: int = 0, a: Answer = nothing, aaaa: Answer = nothing) -> None:
        self.exchangers, self.a, self.aaaa = exchangers, a, aaaa

    async def mx(self, _name: bytes) -> list[tuple[int, bytes]]:
        if not self.exchangers:
            raise Hard
        return [(at, b"m%d" % at) for at in range(self.exchangers)]


def found(place: Place, dns: Dns) -> Found:
    async def run() -> Found:
        equipment = Equipment(place.home)
        equipment.use_resolver(dns)  # type: ignore[arg-type]
        equipment.source_for = lambda _address: None
        async with asyncio.timeout(10):
            return await lookup.by_mx(equipment, b"x.example")

    return asyncio.run(run())


def addresses(*answer: bytes) -> Answer:
    async def give(_name: bytes) -> list[bytes]:
        return list(answer)

    return give


@pytest.fixture
def place(tmp_path: object) -> Place:
    return Place(str(tmp_path))


def test_one_familys_silence_does_not_keep_the_other_waiting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "LATE", 0.01)
    four, six = addresses(b"192.0.2.1"), addresses(b"2001:db8::1")
    assert [one.ip for one in found(place, Dns(a=four, aaaa=never)).addresses] == [b"192.0.2.1"]
    assert [one.ip for one in found(place, Dns(a=never, aaaa=six)).addresses] == [b"2001:db8::1"]


def test_a_no_for_one_family_waits_for_the_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a slow answer would be taken for none."""
    monkeypatch.setattr(lookup, "LATE", 0.0)

    async def slow(_name: bytes) -> list[bytes]:
        for _ in range(10):
            await asyncio.sleep(0)
        return [b"2001:db8::1"]

    assert [one.ip for one in found(place, Dns(aaaa=slow)).addresses] == [b"2001:db8::1"]
    assert [one.ip for one in found(place, Dns(a=soft, aaaa=slow)).addresses] == [b"2001:db8::1"]


@pytest.mark.parametrize(
    ("a", "aaaa", "error"), [(nothing, soft, lookup.Unknown), (nothing, nothing, lookup.NoSuchHost)]
)
def test_only_who_is_sure_of_both_families_says_no(
    place: Place, a: Answer, aaaa: Answer, error: type[Exception]
) -> None:
    with pytest.raises(error):
        found(place, Dns(a=a, aaaa=aaaa))
    with pytest.raises(error):
        found(place, Dns(a=aaaa, aaaa=a))


def test_of_thousands_of_exchangers_the_best_are_looked_up(place: Place) -> None:
    one = found(place, Dns(3000, a=addresses(b"192.0.2.1")))
    assert [address.name for address in one.addresses] == [b"m%d" % at for at in range(LIMIT)]
    assert (one.more, one.by_mx, one.doubtful) == (3000 - LIMIT, True, False)


def test_of_thousands_of_addresses_some_are_taken(place: Place) -> None:
    many = [b"10.1.%d.%d" % (at // 250, at % 250) for at in range(3000)]
    assert [one.ip for one in found(place, Dns(a=addresses(*many))).addresses] == many[: lookup.MOST]


def test_when_it_has_been_enough_the_rest_is_not_known(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def ticks() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += lookup.ENOUGH * 0.6

    monkeypatch.setattr(clock, "monotonic", ticks().__next__)
    one = found(place, Dns(20, a=addresses(b"192.0.2.1")))
    assert [address.name for address in one.addresses] == [b"m%d" % at for at in range(lookup.AT_ONCE)]
    assert [(exchanger.name, may_come) for exchanger, may_come in one.missing] == [
        (b"m%d" % at, True) for at in range(lookup.AT_ONCE, 20)
    ]
    assert one.doubtful


def test_who_is_missing_is_told_with_the_reason(place: Place) -> None:
    async def some(name: bytes) -> list[bytes]:
        if name == b"m1":
            raise Soft
        if name == b"m2":
            raise Hard
        return [b"192.0.2.1"]

    one = found(place, Dns(4, a=some))
    assert [(exchanger.name, may_come) for exchanger, may_come in one.missing] == [(b"m1", True), (b"m2", False)]
    assert one.doubtful


@pytest.mark.parametrize("name", [b"localhost", b"LocalHost."])
def test_a_relay_on_this_machine_needs_no_dns(place: Place, name: bytes) -> None:
    async def run() -> Found:
        equipment = Equipment(place.home)
        equipment.use_resolver(Dns(a=never, aaaa=never))  # type: ignore[arg-type]
        equipment.source_for = lambda address: address if address == b"127.0.0.1" else None  # no IPv6 here
        async with asyncio.timeout(10):
            return await lookup.of_relay(equipment, name)

    assert [address.ip for address in asyncio.run(run()).addresses] == [b"127.0.0.1", b"::1"]
