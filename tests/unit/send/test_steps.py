"""A clock that is set back, and mail that waits for a time."""

import os
from pathlib import Path

import pytest

from qmailpy.send.log import Log
from qmailpy.send.steps import Steps
from qmailpy.send.waiting import Waiting
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from tests.support import read

EPOCH = 1_800_000_000


@pytest.mark.parametrize(
    ("passed", "step", "earlier"),
    [
        (100, 0, 0),
        (100, -59, 0),  # nobody is delayed by that
        (100, -86400, 86400),
        (0, -400 * 86400, 400 * 86400),
        (100, 86400, 0),  # all is due earlier without us; so it is after a machine has slept
    ],
)
def test_what_waits_is_due_as_much_earlier_as_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, passed: int, step: int, earlier: int
) -> None:
    now = [EPOCH, 5000]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(clock, "monotonic", lambda: float(now[1]))
    loop, first, second = Loop(), Waiting(), Waiting()
    log = Log(loop, os.open(f"{tmp_path}/log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC))
    first.add(1, EPOCH + 400)
    second.add(2, EPOCH + 123)
    steps = Steps(log, [first, second])
    for at in range(2):
        now[0] += passed + (0 if at else step)
        now[1] += passed
        steps.look()
    assert (first.due(1), second.due(2)) == (EPOCH + 400 - earlier, EPOCH + 123 - earlier)
    log.finish()
    said = b"warning: the clock was set back by %d seconds; mail that waits is due as much earlier\n" % earlier
    assert read(f"{tmp_path}/log") == (said if earlier else b"")
