"""Which of several addresses lets us in first, and what is remembered of the others."""

import asyncio
from collections.abc import Callable

import pytest

from qmailpy.remote import connecting
from qmailpy.remote.equipment import Equipment
from qmailpy.rules.exchangers import Address
from qmailpy.system.net import Stream
from tests.remote_support import Place

V6, V4, OTHER = Address(10, b"2001:db8::1", b"a"), Address(10, b"192.0.2.1", b"a"), Address(10, b"192.0.2.2", b"b")


class Network:
    """Addresses that answer at once, never, or with a refusal."""

    def __init__(self, **_: object) -> None:
        self.tried: list[bytes] = []
        self.timed_out: list[bytes] = []
        self.silent: set[bytes] = set()
        self.refusing: set[bytes] = set()
        self.open: list[Stream] = []

    async def connect(self, address: bytes, _port: int, patience: float, _source: bytes = b"") -> Stream:
        self.tried.append(address)
        if address in self.silent:
            await asyncio.sleep(patience)
            raise TimeoutError
        if address in self.refusing:
            raise ConnectionRefusedError
        stream = Stream()
        self.open.append(stream)
        return stream

    def first_of(self, place: Place, addresses: list[Address], patience: float = 30.0) -> bytes | None:
        async def run() -> bytes | None:
            equipment = Equipment(place.home)
            equipment.connect = self.connect
            equipment.remember_timeout = lambda ip: self.timed_out.append(ip)  # type: ignore[method-assign]  # noqa: PLW0108
            reached = await connecting.first_of(equipment, addresses, connecting.Way(25, patience))
            return reached[0].ip if reached else None

        return asyncio.run(run())


@pytest.fixture
def place(tmp_path: object) -> Place:
    return Place(str(tmp_path))


def test_a_silent_address_costs_two_seconds_at_most() -> None:
    assert connecting.QUICK <= 2


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr(connecting, "QUICK", 0.01)
    return Network()


def test_the_first_that_answers_is_taken_and_no_other_is_asked(place: Place, network: Network) -> None:
    assert network.first_of(place, [V6, V4, OTHER]) == V6.ip
    assert network.tried == [V6.ip]


def test_a_refusal_leads_to_the_next_at_once(place: Place, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "QUICK", 1e6)
    network.refusing = {V6.ip}
    assert network.first_of(place, [V6, V4]) == V4.ip
    assert network.timed_out == []


def test_a_silent_address_does_not_hold_up_the_other_family_and_is_remembered(place: Place, network: Network) -> None:
    network.silent = {V6.ip}
    assert network.first_of(place, [V6, V4]) == V4.ip
    assert network.timed_out == [V6.ip]


def test_another_exchanger_has_to_wait_until_the_better_one_has_failed(place: Place, network: Network) -> None:
    network.silent = {V4.ip}
    assert network.first_of(place, [V4, OTHER], patience=0.05) == OTHER.ip
    assert network.tried == [V4.ip, OTHER.ip]
    assert network.timed_out == [V4.ip]


def test_nobody_answers(place: Place, network: Network) -> None:
    network.silent = {V6.ip}
    network.refusing = {V4.ip, OTHER.ip}
    assert network.first_of(place, [V6, V4, OTHER], patience=0.05) is None
    assert network.timed_out == [V6.ip]


def test_an_address_that_is_known_not_to_answer_is_left_out(place: Place, network: Network) -> None:
    is_dead: Callable[..., bool] = lambda _self, ip, _longest=0: ip == V6.ip  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Equipment, "is_dead", is_dead)
        assert network.first_of(place, [V6, V4]) == V4.ip
    assert network.tried == [V4.ip]


def test_who_comes_too_late_is_hung_up_on(place: Place, network: Network) -> None:
    both = asyncio.Event()
    closed: list[Stream] = []

    async def together(address: bytes, _port: int, patience: float, _source: bytes = b"") -> Stream:
        network.tried.append(address)
        if len(network.tried) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), patience)
        stream = Stream()
        stream.close = lambda last=b"": closed.append(stream)  # type: ignore[method-assign]  # noqa: ARG005
        return stream

    network.connect = together  # type: ignore[method-assign]
    assert network.first_of(place, [V6, V4]) == V6.ip
    assert len(closed) == 1


def test_silent_exchangers_do_not_hold_a_delivery_for_ever(
    place: Place, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "ALTOGETHER", 2.5)
    many = [Address(at, b"192.0.2.%d" % at, b"m%d" % at) for at in range(50)]
    network.silent = {address.ip for address in many}
    assert network.first_of(place, many, patience=0.05) is None
    assert network.tried == [address.ip for address in many[: len(network.tried)]]
    assert 1 <= len(network.tried) <= 3
    assert network.timed_out == network.tried  # so the next delivery begins with others
