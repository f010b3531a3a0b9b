"""Programs of users that hang, flood, stay, kill and grow: nobody else's mail notices (spec/03-pipes.md 4).

The test is in qmail-send's place. In an embedded home there are two users: the owner, and alias with a home of its own.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.spawn_support import Spawner, new_home, queued
from tests.support import has_program, is_running, read, wait_for, wait_for_files, write

HASTY = "turns.SLOW = 0.3; qmail_lspawn.LINGER = 0.3"
WAIT = b"Other deliveries to this user are taking long, so this one has to wait. (#4.2.0)\n"
CRASHED = b"qmail-local crashed.\n"

Spawn = Callable[..., Spawner]


@pytest.fixture(params=[{}, {"QMAILEXEC": "1"}], ids=["resident", "exec"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    extra: dict[str, str] = request.param
    return extra


@pytest.fixture
def home(tmp_path: Path) -> str:
    home = new_home(tmp_path)
    os.mkfifo(f"{home}/home/gate")
    write(f"{home}/home/.qmail-gate", "|echo here > waiting; read line < gate\n")
    write(f"{home}/alias/.qmail-other", "|echo somebody else\n")
    return home


@pytest.fixture
def spawn(home: str, environment: dict[str, str]) -> Iterator[Spawn]:
    started: list[Spawner] = []

    def start(settings: str = HASTY) -> Spawner:
        started.append(Spawner(home, "qmail-lspawn", "./Maildir/", settings=settings, **environment))
        return started[-1]

    yield start
    for each in started:
        each.kill()
    if os.path.exists(f"{home}/home/pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(read(f"{home}/home/pid")), signal.SIGKILL)


def ask(spawner: Spawner, message: bytes, *slots: int, extension: str = "") -> None:
    """The same delivery in each of these slots."""
    for slot in slots:
        spawner.ask(slot, f"{spawner.user}{extension}@mx.example.org".encode(), message)


def others_still_get_mail(spawner: Spawner, message: bytes, slot: int, heard: int) -> None:
    """There is alias, another user, with a home of its own.  heard: reports before."""
    spawner.ask(slot, b"other@mx.example.org", message)
    assert (slot, b"K", b"somebody else\ndid 0+0+1\n") in said(spawner, heard + 1)


def said(spawner: Spawner, count: int) -> list[tuple[int, bytes, bytes]]:
    return [(report.slot, report.letter, report.text) for report in spawner.hear(count)]


@contextlib.contextmanager
def gate_open(home: str) -> Iterator[None]:
    """Every program that waits there goes on, also one that comes only now: each reads a line."""
    gate = os.open(f"{home}/home/gate", os.O_RDWR)
    os.write(gate, b"\n" * 20)
    yield
    os.close(gate)


def left_behind(home: str) -> int:
    """The pid that a program wrote down."""
    path = f"{home}/home/pid"
    return int(wait_for(lambda: os.path.exists(path) and read(path).strip(), "the program's pid"))


def test_ten_sleeping_programs_of_one_user_leave_room_for_everybody(spawn: Spawn, home: str) -> None:
    message = queued(home)
    spawner = spawn()
    ask(spawner, message, *range(10), extension="-gate")
    assert [letter for _, letter, _ in said(spawner, 5)] == [b"Z"] * 5, "five run, which is half of ten"
    assert {text for _, _, text in said(spawner, 5)} == {WAIT}
    others_still_get_mail(spawner, message, 11, 5)
    ask(spawner, message, 12)  # all five are slow by now: at once
    assert (12, b"Z", WAIT) in said(spawner, 7)
    with gate_open(home):
        assert [letter for _, letter, _ in said(spawner, 12)].count(b"K") == 6
    ask(spawner, message, 13)
    assert (13, b"K", b"did 1+0+0\n") in said(spawner, 13)
    assert spawner.end() == 0


def test_a_burst_of_quick_deliveries_is_never_deferred(spawn: Spawn, home: str, environment: dict[str, str]) -> None:
    message = queued(home)
    write(f"{home}/control/userconcurrency", "2\n")
    count = 40 if environment else 200
    spawner = spawn("")
    ask(spawner, message, *range(10))
    for asked in range(10, count):
        spawner.hear(asked - 9)
        ask(spawner, message, spawner.reports[asked - 10].slot)
    assert {letter for _, letter, _ in said(spawner, count)} == {b"K"}
    assert len(wait_for_files(f"{home}/home/Maildir/new", count)) == count
    assert spawner.end() == 0


def test_one_that_waits_is_delivered_as_soon_as_another_ends(spawn: Spawn, home: str) -> None:
    message = queued(home)
    write(f"{home}/control/userconcurrency", "1\n")
    spawner = spawn("turns.SLOW = 60.0")
    ask(spawner, message, 0, extension="-gate")
    wait_for(lambda: os.path.exists(f"{home}/home/waiting"), "the first one to run")  # lookups overtake each other
    ask(spawner, message, 1, 2)
    others_still_get_mail(spawner, message, 3, 0)
    with gate_open(home):
        assert [letter for _, letter, _ in said(spawner, 4)] == [b"K"] * 4
    assert spawner.end() == 0


def test_the_administrator_may_lift_the_limit(spawn: Spawn, home: str) -> None:
    message = queued(home)
    write(f"{home}/control/userconcurrency", "0\n")
    spawner = spawn()
    ask(spawner, message, *range(12), extension="-gate")
    ask(spawner, message, 12)
    assert said(spawner, 1) == [(12, b"K", b"did 1+0+0\n")]
    with gate_open(home):
        assert {letter for _, letter, _ in said(spawner, 13)} == {b"K"}
    assert spawner.end() == 0


@pytest.mark.parametrize(
    ("program", "letter", "text"),
    [
        # what stays in the background with the report open holds the slot for a moment only
        ("|sleep 1000 & echo $! > pid; echo started\n", b"K", b"started\ndid 0+0+1\n"),
        # nor what goes on after qmail-local was killed
        ("|kill -9 $PPID; echo $$ > pid; exec sleep 1000\n", b"Z", CRASHED),
        # a signal to the whole group reaches the program alone
        ("|kill -9 0\n", b"Z", b"Aack, child crashed. (#4.3.0)\n"),
        ("|kill -9 $$\n", b"Z", b"Aack, child crashed. (#4.3.0)\n"),
        ("|exec 1>&- 2>&-; exit 0\n", b"K", b"did 0+0+1\n"),
    ],
)
def test_what_a_program_does_ends_its_own_delivery_only(
    spawn: Spawn, home: str, program: str, letter: bytes, text: bytes
) -> None:
    message = queued(home)
    write(f"{home}/home/.qmail-bad", program)
    spawner = spawn()
    ask(spawner, message, 1, extension="-gate")
    ask(spawner, message, 0, extension="-bad")
    assert said(spawner, 1) == [(0, letter, text)]
    others_still_get_mail(spawner, message, 2, 1)
    with gate_open(home):
        assert (1, b"K", b"did 0+0+1\n") in said(spawner, 3)
    assert spawner.end() == 0


def test_a_program_over_its_time_is_ended_with_its_group(spawn: Spawn, home: str) -> None:
    message = queued(home)
    write(f"{home}/control/userseconds", "1\n")
    write(f"{home}/home/.qmail-slow", "|sleep 1000 & echo $! > pid; echo working; sleep 1000\n|echo never\n")
    spawner = spawn()
    ask(spawner, message, 0, extension="-slow")
    ask(spawner, message, 1)
    assert said(spawner, 2) == [
        (0, b"Z", b"working\nThe program took longer than 1 seconds and was ended. (#4.3.0)\n"),
        (1, b"K", b"did 1+0+0\n"),
    ]
    background = left_behind(home)
    wait_for(lambda: not is_running(background), "the end of its background too")
    assert spawner.end() == 0


def test_an_endless_flood_costs_its_own_delivery_only(spawn: Spawn, home: str) -> None:
    message = queued(home)
    write(f"{home}/control/userseconds", "1\n")
    write(f"{home}/home/.qmail-flood", "|yes\n")
    spawner = spawn()
    ask(spawner, message, 0, extension="-flood")
    for slot in range(1, 6):
        others_still_get_mail(spawner, message, slot, slot - 1)
    (flood, *_) = said(spawner, 6)
    assert flood == (0, b"Z", (b"y\n" * 1483) + b"\nError report too long, sorry.\n")
    with open(f"/proc/{spawner.process.pid}/status", "rb") as file:
        peak = next(line for line in file if line.startswith(b"VmHWM:"))
    assert int(peak.split()[1]) < 60_000, "kB: nothing grows with the flood"
    assert spawner.end() == 0


def test_a_programs_limits_are_its_own(spawn: Spawn, home: str) -> None:
    """They come from control files, hold for the program, and are gone in the next delivery of the same process."""
    message = queued(home)
    write(f"{home}/home/.qmail-limits", "|ulimit -v; ulimit -p\n")
    spawner = spawn()
    ask(spawner, message, 0, extension="-limits")
    ((_, _, before),) = said(spawner, 1)
    write(f"{home}/control/usermemory", "104857600\n")
    write(f"{home}/control/userprocesses", "3000\n")
    ask(spawner, message, 1, extension="-limits")
    assert said(spawner, 2)[1][2] == b"102400\n3000\ndid 0+0+1\n"
    for name in ("usermemory", "userprocesses"):
        os.unlink(f"{home}/control/{name}")
    ask(spawner, message, 2, extension="-limits")
    assert said(spawner, 3)[2][2] == before
    assert spawner.end() == 0


def test_a_program_that_lowers_its_parents_limits_hurts_no_later_delivery(spawn: Spawn, home: str) -> None:
    if not has_program("prlimit"):
        pytest.skip("needs prlimit (Debian: util-linux)")
    message = queued(home, b"Subject: long\n\n" + b"x" * 5000)
    write(f"{home}/home/.qmail-bad", "|prlimit --pid $PPID --fsize=1000:1000 && echo lowered\n")
    spawner = spawn()
    ask(spawner, message, 0, extension="-bad")
    assert said(spawner, 1) == [(0, b"K", b"lowered\ndid 0+0+1\n")]
    for slot in (1, 2):
        ask(spawner, message, slot)
        assert said(spawner, slot + 1)[slot] == (slot, b"K", b"did 1+0+0\n")
    assert spawner.end() == 0
