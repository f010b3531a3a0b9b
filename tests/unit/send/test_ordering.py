"""What is ordered about a message, where the disk refuses a step of it: nothing happens to another message later."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qmailpy.disk.home import Home
from qmailpy.disk.queue import orders
from qmailpy.disk.queue.sending import Queue
from qmailpy.send.controls import Controls
from qmailpy.send.log import Log
from qmailpy.send.ordering import Ordering
from qmailpy.send.waiting import Waiting
from qmailpy.system.loop import Loop
from qmailpy.wire import asking
from tests.queue_support import new_home
from tests.send_support import LOCAL, SENDER, Store
from tests.support import write

PLACE = b"/elsewhere"


class Later:
    """A loop in which time passes when it is told to; it knows what waits."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def after(self, _seconds: float, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def go_on(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Elsewhere(dict[int, Callable[[bytes], None]]):
    """The other queue: number -> who is told that it has the message."""

    def move(self, number: int, _place: bytes, moved: Callable[[bytes], None]) -> None:
        self[number] = moved

    def withdraw(self, number: int) -> bool:
        return number not in self

    def takes(self, number: int) -> None:
        self.pop(number)(b"")


class Scene:
    def __init__(self, store: Store) -> None:
        self.store, self.later, self.elsewhere = store, Later(), Elsewhere()
        loop, log, moving = self.later, Log(Loop(), os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)), self.elsewhere
        home = Home(store.home.encode())
        self.ordering = Ordering(loop, log, store.paths, Queue(store.paths), Controls(home), moving)  # type: ignore[arg-type]
        channels: Any = [
            SimpleNamespace(number=number, waiting=Waiting(), is_busy=self._no, withdraw=self._no) for number in (0, 1)
        ]
        self.finished: list[int] = []
        finishing: Any = SimpleNamespace(add=self.finished.append)
        self.ordering.meet(channels, finishing, SimpleNamespace(straights=SimpleNamespace(keep=self._no)))  # type: ignore[arg-type]

    @staticmethod
    def _no(_number: int) -> bool:
        return False

    def order(self, verb: bytes, number: int) -> bytes:
        key = orders.key_of(self.store.paths, number)
        assert key is not None
        return self.ordering.answer(verb, number, key, PLACE)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(Store(new_home(tmp_path)))


def waiting_message(store: Store) -> tuple[int, str]:
    """In S5, and its file of local recipients."""
    number = store.put([LOCAL], pull=False)
    for name in ("todo", "intd"):
        os.unlink(f"{store.home}/queue/{name}/{number}")
    write(os.fsdecode(store.paths.info(number)), b"F%s\0" % SENDER, 0o600)
    path = os.fsdecode(store.paths.split(b"local", number))
    write(path, b"T%s\0" % LOCAL, 0o600)
    return number, path


def test_what_another_queue_has_is_closed_as_soon_as_the_disk_lets_us(scene: Scene) -> None:
    number, path = waiting_message(scene.store)
    assert scene.order(asking.MOVE, number) == asking.DONE
    scene.later.go_on()
    os.unlink(path)
    os.mkdir(path)  # which cannot be unlinked
    scene.elsewhere.takes(number)
    assert scene.finished == []
    os.rmdir(path)
    scene.later.go_on()
    assert scene.finished == [number]
    assert os.listdir(f"{scene.store.home}/queue/orders") == []


@pytest.mark.parametrize("other", [asking.RELEASE, asking.HOLD, asking.FAIL])
def test_what_was_ordered_anew_is_not_closed_by_a_move_that_waits_for_the_disk(scene: Scene, other: bytes) -> None:
    """Let go it is delivered here, and its number may be another message's when the move is tried again."""
    number, path = waiting_message(scene.store)
    scene.order(asking.MOVE, number)
    scene.later.go_on()
    os.unlink(path)
    os.mkdir(path)
    scene.elsewhere.takes(number)
    (again,) = scene.later.calls
    scene.later.calls = []
    assert scene.order(other, number) == asking.DONE
    os.rmdir(path)
    write(path, b"T%s\0" % LOCAL, 0o600)  # another message's
    again()
    assert os.path.exists(path)
    assert scene.finished == []
