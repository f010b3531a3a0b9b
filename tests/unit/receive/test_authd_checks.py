"""Programs that check passwords: one that hangs is killed with all it has started, and nobody waits for it."""

import os

import pytest

from qmailpy.disk.home import Home
from qmailpy.receive.authd.checks import AT_ONCE, WAITING, Checks
from qmailpy.skeletons import checking
from qmailpy.system import signals
from qmailpy.system.loop import Loop
from qmailpy.wire.authd import LATER, Answer, Question
from tests.support import read, wait_for, write

QUESTION = Question(b"password", b"ann", b"secret", b"")


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_one_that_hangs_is_killed_with_what_it_has_started(
    loop: Loop, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "SECONDS", 0.3)
    script = write(f"{tmp_path}/check", f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/pid\nwait\n", 0o755)
    checks = Checks(loop, Home(str(tmp_path).encode()))
    checks.program = [script.encode()]
    loop.on_signal(signals.SIGCHLD, checks.reap)
    answers: list[Answer] = []
    checks.begin(QUESTION, answers.append)
    while not checks.idle:
        loop.turn(5.0)
    loop.close()
    signals.default(signals.SIGCHLD)
    (answer,) = answers
    assert answer.verdict == LATER
    assert b"took more than" in answer.said
    pid = int(read(f"{tmp_path}/pid"))
    wait_for(lambda: not os.path.exists(f"/proc/{pid}") or b") Z " in read(f"/proc/{pid}/stat"), "its end")


def test_those_for_whom_there_is_no_room_come_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def start(*_: object, **__: object) -> tuple[int, int]:
        started.append(len(started))
        return 10_000_000 + len(started), -1

    monkeypatch.setattr(checking, "start", start)
    checks = Checks(loop, Home(b"/nowhere"))
    answers: list[Answer] = []
    for _ in range(AT_ONCE + WAITING + 5):
        checks.begin(QUESTION, answers.append)
    assert len(started) == AT_ONCE
    assert [answer.verdict for answer in answers] == [LATER] * 5
    assert not checks.idle


def test_a_program_that_cannot_be_forked_is_trouble(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> tuple[int, int]:
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr(checking, "start", start)
    answers: list[Answer] = []
    Checks(loop, Home(b"/nowhere")).begin(QUESTION, answers.append)
    assert [answer.verdict for answer in answers] == [LATER]
