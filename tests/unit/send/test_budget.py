"""How many bounces one sender gets, and what he is told of the others."""

import email.policy
import os
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import pytest

from qmailpy.disk.home import Home
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules.bounce import record
from qmailpy.send import reports
from qmailpy.send.bounces import Bounces
from qmailpy.send.budget import HOUR, Budget
from qmailpy.send.controls import Controls
from qmailpy.send.log import Log
from qmailpy.send.reports import Reports
from qmailpy.skeletons.submit import Result
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from tests.send_support import SENDER, Store
from tests.support import RecordingQueue, bare_home, write
from tests.unit.disk.queue.test_sending import in_s5


class Scene:
    """A budget of 2, and a clock that goes when it is told to."""

    def __init__(self, home: str, patch: pytest.MonkeyPatch, log: int) -> None:
        self.seconds = 1000.0
        patch.setattr(clock, "monotonic", lambda: self.seconds)
        write(f"{home}/control/bouncebudget", "2\n")
        self.loop = Loop()
        self.collected: list[list[int]] = []
        self.controls = Controls(Home(home.encode()))
        self._log, self._descriptor = Log(self.loop, log), log
        self.budget = Budget(self.loop, self._log, self.controls, self.collected.append)

    def log(self) -> bytes:
        self._log.finish()
        return os.pread(self._descriptor, 10000, 0)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.loop.turn(0)


@pytest.fixture
def home(tmp_path: Path) -> str:
    return bare_home(f"{tmp_path}/home")


@pytest.fixture
def scene(home: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scene:
    return Scene(home, monkeypatch, os.open(f"{tmp_path}/log", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC))


def test_what_is_over_the_budget_comes_at_the_end_of_the_hour(scene: Scene) -> None:
    assert [scene.budget.may_tell(b"me@x", number) for number in range(5)] == [True, True, False, False, False]
    assert scene.budget.may_tell(b"you@x", 9)
    scene.pass_time(HOUR - 1)
    assert scene.collected == []
    assert not scene.budget.may_tell(b"ME@X", 5), "a sender is the same in any letter case"
    scene.pass_time(2)
    assert scene.collected == [[2, 3, 4, 5]]
    assert [scene.budget.may_tell(b"me@x", number) for number in (6, 7, 8)] == [True, True, False]
    scene.pass_time(HOUR + 1)
    assert scene.collected == [[2, 3, 4, 5], [8]]


def test_an_hour_without_trouble_is_forgotten(scene: Scene) -> None:
    for _ in range(3):
        assert scene.budget.may_tell(b"me@x", 1)
        scene.pass_time(HOUR + 1)
    assert scene.collected == []


def test_what_could_not_be_told_costs_nothing(scene: Scene) -> None:
    for _ in range(5):
        assert scene.budget.may_tell(b"me@x", 1)
        scene.budget.take_back(b"me@x")


def test_a_message_that_is_withdrawn_is_not_told_of(scene: Scene) -> None:
    for number in range(4):
        scene.budget.may_tell(b"me@x", number)
    for number in (0, 2, 77):
        scene.budget.withdraw(number)
    scene.pass_time(HOUR + 1)
    assert scene.collected == [[3]]


def test_reports_that_were_asked_for_are_counted_too_and_left_out_above_it(scene: Scene) -> None:
    assert scene.budget.may_report(b"me@x")
    assert scene.budget.may_tell(b"ME@x", 1)
    assert not any(scene.budget.may_report(b"me@x") for _ in range(5))
    assert scene.budget.may_report(b"you@x")
    assert not scene.budget.may_tell(b"me@x", 2), "and a bounce is kept"
    scene.pass_time(HOUR + 1)
    assert scene.collected == [[2]]
    assert scene.log().count(b"further reports to <me@x> are left out\n") == 1
    assert scene.budget.may_report(b"me@x")


def test_no_budget_is_no_limit(scene: Scene, home: str) -> None:
    write(f"{home}/control/bouncebudget", "0\n")
    assert scene.controls.reread() == (b"", False)
    assert all(scene.budget.may_tell(b"me@x", number) for number in range(100))
    assert all(scene.budget.may_report(b"me@x") for _ in range(100))


class AtOnce(Bounces):
    """Submits in this very process."""

    def start(self, number: int, submit: Callable[[], Result], bounced: Callable[[int | None], None]) -> None:
        assert number == -1
        result = submit()
        bounced(None if result.text else result.qp)


@pytest.mark.parametrize("layout", ["qsbmf", "dsn"])
@pytest.mark.parametrize("limit", [1 << 20, 10])
def test_one_notice_tells_of_many_messages(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, limit: int
) -> None:
    monkeypatch.setattr(reports, "_COLLECTED_LIMIT", limit)
    store, told = Store(home), RecordingQueue(f"{tmp_path}/told")
    monkeypatch.setenv("QMAILQUEUE", told.path)
    write(f"{home}/control/bounceformat", layout + "\n")
    loop, queue = Loop(), Queue(store.paths)
    controls = Controls(Home(home.encode()))
    made = Reports(loop, Log(loop, 2), Home(home.encode()), queue, controls, AtOnce(loop))
    numbers = [in_s5(store, [], [b"u%d@there.example" % at]) for at in range(3)]
    for at, number in enumerate(numbers):
        queue.append_bounce(number, record(b"u%d@there.example" % at, b"no (#5.1.1)\n", {}))
    ends: list[int | None] = []
    made.bounce_many(numbers, queue.info(numbers[0]), ends.append)
    [(text, envelope)] = told.messages
    assert ends != [None]
    assert envelope == b"F\0T" + SENDER + b"\0\0"
    assert b"I'm afraid I wasn't able to deliver 3 more of your messages to the following addresses.\n" in text
    assert [b"<u%d@there.example>:\nno (#5.1.1)\n\n" % at in text for at in range(3)] == [True, limit > 10, limit > 10]
    assert (b"More addresses failed than this notice has room for." in text) == (limit == 10)
    assert b"body" not in text
    assert b"Subject: a test" in text
    if layout == "qsbmf":
        assert text.partition(b"\n\n")[2].startswith(b"Hi. This is the qmail-send program at ")
        assert b"\n\n--- Below this line is the header of one of the messages.\n\nReturn-Path: <" in text
    else:
        message = message_from_bytes(text, policy=email.policy.default)
        assert message.get_content_type() == "multipart/report"
        assert not message.defects
