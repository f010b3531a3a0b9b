"""Domains that may have a part of the remote channel only."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmailpy.disk.home import Home
from qmailpy.send.controls import Controls
from qmailpy.send.jobs import Job
from qmailpy.send.lanes import Lane, Lanes
from qmailpy.send.log import Log
from qmailpy.system.loop import Loop
from tests.support import bare_home, write


class Scene:
    def __init__(self, home: str) -> None:
        self.home = home
        write(f"{home}/control/concurrencydomain", "slow.example:2\n")
        self.controls = Controls(Home(home.encode()))
        loop = Loop()
        self.lanes = Lanes(Log(loop, os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)), self.controls, is_remote=True)

    def reread(self, **files: str) -> None:
        for name, content in files.items():
            write(f"{self.home}/control/{name}", content + "\n")
        assert self.controls.reread() == (b"", False)
        self.lanes.reread()

    def enter(self, count: int) -> list[Lane]:
        found = [self.lanes.enter(b"x@slow.example") for _ in range(count)]
        return [lane for lane in found if lane is not None]

    def next(self) -> tuple[bytes, int | Job] | None:
        found = self.lanes.next()
        if found is None:
            return None
        self.lanes.again(found[0])
        return found[:2]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(bare_home(f"{tmp_path}/home"))


def test_a_domain_without_a_rule_has_no_lane(scene: Scene) -> None:
    assert scene.lanes.of(b"x@fast.example") is None
    assert scene.lanes.is_open_for(b"x@fast.example")
    assert scene.lanes.enter(b"x@fast.example") is None
    scene.lanes.leave(None)


def test_a_message_is_parked_until_there_is_room_and_comes_out_in_its_turn(scene: Scene) -> None:
    assert scene.lanes.is_open_for(b"x@SLOW.example")
    running = scene.enter(2)
    assert not scene.lanes.is_open_for(b"x@slow.example")
    scene.lanes.park(7, [b"slow.example"])
    scene.lanes.park(8, [b"slow.example"])
    assert 7 in scene.lanes
    assert scene.next() is None
    scene.lanes.leave(running.pop())
    assert not scene.lanes.is_open_for(b"x@slow.example"), "others have waited for longer"
    assert scene.next() == (b"slow.example", 7)
    running += scene.enter(1)
    assert scene.next() is None
    assert 7 not in scene.lanes
    scene.lanes.leave(running.pop())
    assert scene.next() == (b"slow.example", 8)
    scene.lanes.leave(running.pop())
    assert scene.lanes.is_open_for(b"x@slow.example")


def test_a_pass_that_had_no_room_comes_before_other_messages(scene: Scene) -> None:
    [lane, _] = scene.enter(2)
    job = Job(9, b"", 0, 0, dying=False, again=False)
    scene.lanes.park(7, [b"slow.example"])
    scene.lanes.stall(lane, job)
    assert sorted(scene.lanes.numbers()) == [7, 9]
    scene.lanes.leave(lane)
    assert scene.next() == (b"slow.example", job)


def test_a_held_domain_gives_nothing_until_it_is_released(scene: Scene) -> None:
    scene.reread(holddomains="*.example")
    assert not scene.lanes.is_open_for(b"x@slow.example")
    scene.lanes.park(7, [b"slow.example", b"other.example"])
    assert scene.next() is None
    scene.reread(holddomains="slow.example")
    assert scene.next() == (b"other.example", 7)
    assert 7 in scene.lanes
    scene.reread(holddomains="")
    assert scene.next() == (b"slow.example", 7)
    assert 7 not in scene.lanes
    assert scene.next() is None


def test_a_message_that_is_withdrawn_is_nowhere(scene: Scene) -> None:
    scene.reread(holddomains="*")
    scene.lanes.park(7, [b"a.example", b"b.example"])
    assert scene.lanes.withdraw(7)
    assert not scene.lanes.withdraw(7)
    scene.reread(holddomains="")
    assert scene.next() is None


def test_rules_that_come_and_go_lose_nobody(scene: Scene) -> None:
    running = scene.enter(2)
    scene.lanes.park(7, [b"slow.example"])
    os.unlink(f"{scene.home}/control/concurrencydomain")
    scene.reread()
    assert scene.next() == (b"slow.example", 7)
    scene.lanes.park(8, [b"slow.example"])
    assert scene.next() == (b"slow.example", 8)
    for lane in running:
        scene.lanes.leave(lane)


DOMAINS = [b"slow.example", b"held.example", b"free.example"]


@given(st.lists(st.tuples(st.sampled_from("penwhr"), st.integers(0, 5), st.sampled_from(DOMAINS)), max_size=60))
def test_whatever_happens_who_is_parked_comes_out_once_where_he_was_parked(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, bytes]]
) -> None:
    scene = Scene(bare_home(f"{tmp_path_factory.mktemp('lanes')}/home"))
    parked: set[tuple[bytes, int]] = set()
    running: list[Lane] = []
    for step, number, domain in steps:
        if step == "p":
            scene.lanes.park(number, [domain])
            parked.add((domain, number))
        elif step == "e" and (lane := scene.lanes.enter(b"x@" + domain)) is not None:
            running.append(lane)
        elif step == "n" and (found := scene.next()) is not None:
            assert isinstance(found[1], int)
            parked.remove((found[0], found[1]))
        elif step == "w":
            assert scene.lanes.withdraw(number) == any(other == number for _, other in parked)
            parked = {(at, other) for at, other in parked if other != number}
        elif step == "h":
            scene.reread(holddomains=domain.decode())
        elif step == "r" and running:
            scene.lanes.leave(running.pop())
        assert {number for _, number in parked} == set(scene.lanes.numbers())
    for lane in running:
        scene.lanes.leave(lane)
    scene.reread(holddomains="")
    while (found := scene.next()) is not None:
        assert isinstance(found[1], int)
        parked.remove((found[0], found[1]))
    assert not parked


def test_a_dot_at_the_end_of_a_domain_does_not_lead_around_its_rule(tmp_path: Path) -> None:
    scene = Scene(bare_home(f"{tmp_path}/home"))
    first = scene.lanes.enter(b"a@slow.example")
    second = scene.lanes.enter(b"a@Slow.Example.")
    assert first is second
    assert not scene.lanes.is_open_for(b"b@slow.example.")
