"""Whose turn it is, with a loop whose clock the test sets."""

import random
from collections.abc import Callable

import pytest

from qmailpy.skeletons.turns import SLOW, Turns
from qmailpy.system import clock
from qmailpy.system.loop import Loop

Done = Callable[[], None]


class World:
    """Turns, a clock, and what became of each delivery."""

    def __init__(self, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        self.loop = Loop()
        self.turns = Turns(self.loop, limit)
        self.running: dict[str, Done] = {}
        self.refused: list[str] = []

    def take(self, user: str, name: str) -> None:
        self.turns.take(user, lambda done: self.running.update({name: done}), lambda: self.refused.append(name))

    def end(self, name: str) -> None:
        self.running.pop(name)()

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.loop.turn(0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(2, monkeypatch)


def test_so_many_run_and_the_next_one_waits_for_one_of_them_to_end(world: World) -> None:
    for name in ("a", "b", "c", "d"):
        world.take("joe", name)
    assert list(world.running) == ["a", "b"]
    world.end("b")
    assert list(world.running) == ["a", "c"]
    world.end("a")
    world.end("c")
    assert list(world.running) == ["d"]
    world.end("d")
    assert not world.refused
    assert not world.turns._users, "nothing is remembered of who has nothing under way"


def test_who_has_waited_for_long_is_refused(world: World) -> None:
    for name in ("a", "b", "c"):
        world.take("joe", name)
    world.later(SLOW - 0.1)
    assert world.refused == []
    world.later(0.1)
    assert world.refused == ["c"]
    world.end("a")
    assert list(world.running) == ["b"]


def test_while_all_that_run_are_slow_a_further_one_is_refused_at_once(world: World) -> None:
    world.take("joe", "a")
    world.later(SLOW)
    world.take("joe", "b")
    world.take("joe", "c")
    assert world.refused == [], "b is young"
    world.end("b")
    assert list(world.running) == ["a", "c"]
    world.later(SLOW)
    world.take("joe", "d")
    assert world.refused == ["d"]


def test_users_do_not_wait_for_each_other(world: World) -> None:
    for name in ("a", "b", "c"):
        world.take("joe", name)
    world.take("sue", "s")
    assert list(world.running) == ["a", "b", "s"]


def test_without_a_limit_all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(0, monkeypatch)
    for number in range(100):
        world.take("joe", str(number))
    assert len(world.running) == 100


def test_a_thousand_that_cannot_be_started_end_one_after_the_other(world: World) -> None:
    """Not one within the other: there is a limit to that."""
    ended = []
    world.take("joe", "a")
    world.take("joe", "b")
    for number in range(2000):

        def fail(done: Done, number: int = number) -> None:
            ended.append(number)
            done()

        world.turns.take("joe", fail, lambda: None)
    world.end("a")
    assert ended == list(range(2000))
    world.end("b")
    assert not world.turns._users


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_each_is_started_or_refused_once_and_the_limit_holds(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    limit = dice.randrange(1, 4)
    world = World(limit, monkeypatch)
    users = ("joe", "sue", "ann")
    started: set[str] = set()
    count = 300
    for number in range(count):
        world.take(dice.choice(users), f"{number}")
        started |= set(world.running)
        assert all(len(one.running) <= limit for one in world.turns._users.values())
        for name in [name for name in world.running if dice.random() < 0.2]:
            world.end(name)
            started |= set(world.running)
        world.later(dice.choice((0, 0.1, 3)))
        started |= set(world.running)
    while world.running:
        world.end(next(iter(world.running)))
        started |= set(world.running)
    assert started.isdisjoint(world.refused)
    assert started | set(world.refused) == {str(number) for number in range(count)}
    assert not world.turns._users
