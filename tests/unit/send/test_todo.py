"""When todo/ is looked at, and whose turn it is when new mail meets a backlog; the clock goes when it is told to."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qmailpy.disk.home import Home
from qmailpy.disk.queue.claiming import Claiming
from qmailpy.disk.queue.cleaning import remove_todo
from qmailpy.disk.queue.entering import pull_trigger
from qmailpy.disk.queue.trigger import Trigger
from qmailpy.send import todo
from qmailpy.send.controls import Controls
from qmailpy.send.log import Log
from qmailpy.send.todo import INTERVAL, Todo
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from tests.send_support import LOCAL, REMOTE, Store
from tests.support import bare_home


class Way:
    """A channel that begins nothing and knows who came, in their order."""

    def __init__(self, number: int, came: list[int]) -> None:
        self.number, self._came = number, came
        self.deliveries = SimpleNamespace(limit=0)  # so nothing goes straight
        self.straights: object = None

    def add_fresh(self, message: int) -> None:
        if message not in self._came:
            self._came.append(message)


class Scene:
    def __init__(self, store: Store, patch: pytest.MonkeyPatch, log: str) -> None:
        self.store, self.seconds, self.epoch = store, 5000.0, 1_800_000_000
        patch.setattr(clock, "now", self.now)
        patch.setattr(clock, "monotonic", lambda: self.seconds)
        self.came: list[int] = []
        self.scans = 0
        self.loop = Loop()
        claiming = Claiming(store.paths)
        self._news = claiming.news
        patch.setattr(claiming, "news", self._scan)
        cleaner: Any = SimpleNamespace(pending=0, ask=self._clean)
        channels: Any = [Way(0, self.came), Way(1, self.came)]
        ordering: Any = frozenset()
        home = Home(store.home.encode())
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        self.todo = Todo(
            self.loop,
            Log(self.loop, descriptor),
            claiming,
            Trigger(store.paths),
            Controls(home),
            cleaner,
            channels,
            self.came.append,
            lambda: 0,
            ordering,
        )

    def now(self) -> int:
        return self.epoch + int(self.seconds)

    def _scan(self) -> list[int]:
        self.scans += 1
        return self._news()

    def _clean(self, word: bytes, number: int, answered: Callable[[bool], None]) -> None:
        assert word == b"todo"
        remove_todo(self.store.paths, number)
        answered(True)

    def turn(self, seconds: float = 0.01) -> int:
        """Let time pass and take what is due.  Result: how many messages were taken."""
        self.seconds += seconds
        self.loop.turn(0)
        before = len(self.came)
        self.todo.step(self.now())
        return len(self.came) - before


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(bare_home(f"{tmp_path}/home"))


@pytest.fixture
def scene(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    return Scene(store, monkeypatch, f"{tmp_path}/log")


def test_todo_is_looked_at_at_the_start_when_pulled_and_every_25_minutes(scene: Scene, store: Store) -> None:
    scene.turn()
    assert scene.scans == 1
    forgotten = store.put([LOCAL, REMOTE], pull=False)
    for _ in range(14):
        assert scene.turn(100) == 0
    assert scene.scans == 1
    assert scene.todo.patience() <= INTERVAL - 1400
    assert scene.turn(101) == 1
    assert scene.came == [forgotten]
    pulled = store.put([LOCAL, REMOTE])
    assert scene.turn() == 1
    assert scene.came == [forgotten, pulled]
    pull_trigger(store.paths)
    assert scene.turn() == 0
    assert scene.scans == 4


def test_without_a_trigger_the_clock_looks_more_often(scene: Scene, store: Store) -> None:
    scene.turn()
    os.unlink(os.fsdecode(store.paths.lock(b"trigger")))
    scene.turn(INTERVAL + 1)
    number = store.put([LOCAL, REMOTE], pull=False)
    assert scene.turn(1) == 0
    assert scene.turn(30) == 1
    os.mkfifo(os.fsdecode(store.paths.lock(b"trigger")))
    scene.turn(31)
    again = store.put([LOCAL, REMOTE])
    assert scene.turn() == 1, "it is there again"
    assert scene.came == [number, again]


def test_a_clock_that_is_set_back_delays_no_scan_for_longer_than_25_minutes(scene: Scene, store: Store) -> None:
    scene.turn()
    number = store.put([LOCAL, REMOTE], pull=False)
    scene.epoch -= 400 * 86400
    for _ in range(17):
        scene.turn(100)
    assert scene.came == [number]


def test_of_five_messages_four_are_new_while_there_is_a_backlog(
    scene: Scene, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(todo, "_BACKLOG", 10)
    old = {store.put([b"old@x.example", LOCAL], pull=False) for _ in range(60)}
    taken = scene.turn()
    assert taken == 8, "a turn takes a few, and the deliveries have theirs"
    new = [store.put([b"new@x.example", LOCAL]) for _ in range(9)]
    order = []
    while set(new) - set(scene.came):
        before = len(scene.came)
        assert 0 < scene.turn() <= 8
        order += [number in old for number in scene.came[before:]]
    last = max(scene.came.index(number) for number in new)
    assert last - 8 <= len(new) * 5 // 4, "all new ones came among at most a quarter of old ones"
    assert any(order), "and the backlog goes on"
    assert [number for number in scene.came if number in new] == sorted(new, key=scene.came.index)
    while len(scene.came) < 69:
        assert scene.turn() > 0
    assert set(scene.came) == old | set(new)
    assert scene.turn() == 0
