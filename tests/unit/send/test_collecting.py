"""When mess/ is walked through for litter, and what is asked for; the clock goes when it is told to."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qmailpy.disk.layout import OSSIFIED
from qmailpy.send.collecting import INTERVAL, Collecting
from qmailpy.send.log import Log
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from tests.send_support import LOCAL, Store
from tests.support import bare_home, read


class Scene:
    def __init__(self, home: str, patch: pytest.MonkeyPatch, log: str) -> None:
        self.store, self.seconds, self._log_path = Store(home), 100.0, log
        patch.setattr(clock, "monotonic", lambda: self.seconds)
        self.asked: list[tuple[bytes, int]] = []
        self.answers: list[Callable[[bool], None]] = []
        loop = Loop()
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        self._log = Log(loop, descriptor)
        cleaner: Any = SimpleNamespace(pending=0, ask=self._ask, is_asked_about=lambda _number: False)
        self.cleaner = cleaner
        self.collecting = Collecting(self._log, cleaner, self.store.paths)

    def _ask(self, word: bytes, number: int, answered: Callable[[bool], None]) -> None:
        self.asked.append((word, number))
        self.answers.append(answered)

    def litter(self) -> int:
        number = self.store.put([LOCAL], pull=False)
        os.unlink(f"{self.store.home}/queue/todo/{number}")
        self.store.age("mess", number, OSSIFIED + 100)
        return number

    def walk(self) -> list[int]:
        """Turns until nothing is to be done now.  Result: what was asked for in them."""
        self.asked.clear()
        while True:
            patience = self.collecting.patience()
            if patience is None or patience > 0:
                return [number for _, number in self.asked]
            self.collecting.step(int(os.stat(self.store.home).st_mtime) + 10)

    def log(self) -> bytes:
        self._log.finish()
        return read(self._log_path)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(bare_home(f"{tmp_path}/home"), monkeypatch, f"{tmp_path}/log")


def test_the_walk_is_at_the_start_and_then_each_76431_seconds(scene: Scene) -> None:
    first = scene.litter()
    assert scene.walk() == [first]
    assert scene.asked[0][0] == b"foop"
    second = scene.litter()
    scene.seconds += INTERVAL - 1
    assert scene.walk() == []
    scene.seconds += 1
    assert sorted(scene.walk()) == sorted((first, second))
    assert INTERVAL == 76431


def test_what_is_in_s4_or_s5_is_none_however_old(scene: Scene) -> None:
    accepted = scene.store.put([LOCAL], pull=False)
    taken = scene.litter()
    with open(os.fsdecode(scene.store.paths.info(taken)), "wb"):
        pass
    scene.store.age("mess", accepted, OSSIFIED * 2)
    assert scene.walk() == []


def test_what_cannot_be_removed_is_said(scene: Scene) -> None:
    number = scene.litter()
    scene.walk()
    scene.answers[0](False)
    assert scene.log() == b"warning: qmail-clean unable to clean up foop/%d\n" % number


def test_a_directory_that_cannot_be_listed_is_said_and_tried_again_soon(scene: Scene) -> None:
    number = scene.litter()
    os.rename(f"{scene.store.home}/queue/mess/22", f"{scene.store.home}/elsewhere")
    scene.walk()
    assert scene.log() == b"alert: unable to opendir mess/22, sleeping...\n"
    os.rename(f"{scene.store.home}/elsewhere", f"{scene.store.home}/queue/mess/22")
    scene.seconds += 11
    assert scene.walk() == [number]


def test_who_cleans_is_not_flooded(scene: Scene) -> None:
    scene.litter()
    scene.cleaner.pending = 10_000
    assert scene.collecting.patience() is None
    assert scene.walk() == []
