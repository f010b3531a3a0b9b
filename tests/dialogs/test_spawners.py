"""qmail-lspawn and qmail-rspawn with the test in qmail-send's place at their pipes (spec/03 2-7)."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qmailpy.wire.delivery import NARROW, Command
from tests.remote_support import Line, Peer, replies
from tests.spawn_support import MESSAGE, Spawner, new_home, queued, spawners
from tests.support import NOBODY, PATIENCE, is_running, read, wait_for, wait_for_files, write


@pytest.fixture(params=[{}, {"QMAILEXEC": "1"}], ids=["resident", "exec"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    extra: dict[str, str] = request.param
    return extra


@pytest.fixture
def home(tmp_path: Path) -> str:
    return new_home(tmp_path)


@pytest.fixture
def spawn() -> Iterator[Callable[..., Spawner]]:
    with spawners() as start:
        yield start


def test_lspawn_announces_its_limit_and_leaves_at_the_end_of_commands(spawn: Callable[..., Spawner], home: str) -> None:
    spawner = spawn(home, "qmail-lspawn", "./Maildir/")
    assert spawner.announcement() == 120
    assert spawner.end() == 0


def test_a_wide_lspawn_announces_more(spawn: Callable[..., Spawner], home: str) -> None:
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", "wide")
    assert (spawner.announcement() or 0) >= 1000
    assert spawner.end() == 0


def test_lspawn_without_its_argument_says_so(spawn: Callable[..., Spawner], home: str) -> None:
    spawner = spawn(home, "qmail-lspawn")
    assert spawner.end() == 100


@pytest.mark.parametrize("notation", [(), ("wide",)], ids=["narrow", "wide"])
def test_a_message_is_delivered_to_the_users_maildir(
    spawn: Callable[..., Spawner], home: str, environment: dict[str, str], notation: tuple[str, ...]
) -> None:
    message = queued(home)
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", *notation, **environment)
    spawner.ask(7, f"{spawner.user}@mx.example.org".encode(), message)
    (report,) = spawner.hear(1)
    assert (report.slot, report.letter, report.text) == (7, b"K", b"did 1+0+0\n")
    (path,) = wait_for_files(f"{home}/home/Maildir/new")
    with open(path, "rb") as file:
        assert file.read().endswith(MESSAGE)
    assert spawner.end() == 0


def test_many_deliveries_at_once_all_report(
    spawn: Callable[..., Spawner], home: str, environment: dict[str, str]
) -> None:
    message = queued(home)
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", **environment)
    for slot in range(20):
        spawner.ask(slot, f"{spawner.user}@mx.example.org".encode(), message)
    assert [report.letter for report in spawner.hear(20)] == [b"K"] * 20
    assert len(wait_for_files(f"{home}/home/Maildir/new", 20)) == 20
    assert spawner.end() == 0


def test_a_slow_program_holds_nobody_up(spawn: Callable[..., Spawner], home: str, environment: dict[str, str]) -> None:
    message = queued(home)
    os.mkfifo(f"{home}/home/gate")
    write(f"{home}/home/.qmail-slow", "|read line < gate; echo $line\n")
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", **environment)
    spawner.ask(0, f"{spawner.user}-slow@mx.example.org".encode(), message)
    spawner.ask(1, f"{spawner.user}@mx.example.org".encode(), message)
    (report,) = spawner.hear(1)
    assert (report.slot, report.letter) == (1, b"K")
    with open(f"{home}/home/gate", "w") as gate:
        gate.write("opened\n")
    assert spawner.hear(2)[0].text == b"opened\ndid 0+0+1\n"
    assert spawner.end() == 0


@pytest.mark.parametrize(
    ("recipient", "message", "expected"),
    [
        (b"nobody-here@mx.example.org", b"20/457", b"DSorry, no mailbox here by that name. (#5.1.1)\n"),
        (b"@mx.example.org", b"20/457", b"K"),
        (b"without-host", b"20/457", b"DSorry, address must include host name. (#5.1.3)\n"),
        (b"a@b", b"20/480", b"Zqmail-spawn unable to open message. (#4.3.0)\n"),
        (b"a@b", b"20/../4", b"DInternal error: messid has nonnumerics. (#5.3.5)\n"),
        (b"a@b", b"/20/457", b"DInternal error: messid has nonnumerics. (#5.3.5)\n"),
        (b"a@b", b"", b"DInternal error: messid too short. (#5.3.5)\n"),
        (b"a@b", b"1" * 101, b"DInternal error: messid too long. (#5.3.5)\n"),
        (b"a@b", b"20", b"ZSorry, message has wrong type. (#4.3.5)\n"),
    ],
)
def test_what_lspawn_replies(
    spawn: Callable[..., Spawner],
    home: str,
    environment: dict[str, str],
    recipient: bytes,
    message: bytes,
    expected: bytes,
) -> None:
    assert queued(home) == b"20/457"
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", **environment)
    spawner.ask(3, recipient, message)
    (report,) = spawner.hear(1)
    assert report.letter + report.text == expected
    assert spawner.end() == 0


def test_a_slot_in_use_is_refused(spawn: Callable[..., Spawner], home: str) -> None:
    message = queued(home)
    os.mkfifo(f"{home}/home/gate")
    write(f"{home}/home/.qmail-slow", "|read line < gate\n")
    spawner = spawn(home, "qmail-lspawn", "./Maildir/")
    for _ in range(2):
        spawner.ask(0, f"{spawner.user}-slow@x".encode(), message)
    (report,) = spawner.hear(1)
    assert report.text == b"Internal error: delnum in use. (#4.3.5)\n"
    with open(f"{home}/home/gate", "w") as gate:
        gate.write("x\n")
    assert spawner.hear(2)[1].letter == b"K"
    assert spawner.end() == 0


def test_a_slot_beyond_the_limit_is_refused(spawn: Callable[..., Spawner], home: str) -> None:
    message = queued(home)
    spawner = spawn(home, "qmail-lspawn", "./Maildir/")
    spawner.ask(120, f"{spawner.user}@x".encode(), message)
    assert spawner.hear(1)[0].text == b"Internal error: delnum too big. (#4.3.5)\n"
    assert spawner.end() == 0


def test_a_program_that_kills_its_parent_defers_only_its_own_mail(
    spawn: Callable[..., Spawner], home: str, environment: dict[str, str]
) -> None:
    message = queued(home)
    write(f"{home}/home/.qmail-kill", "|kill -9 $PPID\n")
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", **environment)
    spawner.ask(0, f"{spawner.user}-kill@x".encode(), message)
    spawner.ask(1, f"{spawner.user}@x".encode(), message)
    reports = spawner.hear(2)
    assert reports[0].letter + reports[0].text == b"Zqmail-local crashed.\n"
    assert reports[1].letter == b"K"
    assert spawner.end() == 0


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [
        ('#!/bin/sh\necho "$7 $8"; exit 0\n', b"Kmx.example.org s@x.example\n"),
        ("#!/bin/sh\nexit 1\n", b"Z"),
        ("#!/no/such/interpreter\n", b"ZUnable to run qmail-local.\n"),
        ("", None),  # vanished
    ],
)
def test_a_replaced_qmail_local_is_really_executed(
    spawn: Callable[..., Spawner], home: str, replacement: str, expected: bytes | None
) -> None:
    message = queued(home)
    if replacement:
        write(f"{home}/bin/qmail-local", replacement, 0o755)
    else:
        os.unlink(f"{home}/bin/qmail-local")
        expected = b"ZUnable to run qmail-local.\n"
    spawner = spawn(home, "qmail-lspawn", "./Maildir/")
    spawner.ask(0, f"{spawner.user}@mx.example.org".encode(), message)
    (report,) = spawner.hear(1)
    assert report.letter + report.text == expected
    assert spawner.end() == 0


def test_a_replaced_qmail_getpw_is_really_executed(spawn: Callable[..., Spawner], home: str) -> None:
    message = queued(home)
    uid = NOBODY if os.geteuid() == 0 else os.geteuid()
    gid = NOBODY if os.geteuid() == 0 else os.getegid()
    write(
        f"{home}/bin/qmail-getpw",
        f"#!/bin/sh\nprintf '%s\\0' other {uid} {gid} {home}/home - \"$1\"\n",
        0o755,
    )
    write(f"{home}/home/.qmail-sos", "|echo $USER $LOCAL\n")
    spawner = spawn(home, "qmail-lspawn", "./Maildir/")
    spawner.ask(0, b"sos@x", message)
    (report,) = spawner.hear(1)
    assert report.text.startswith(b"other sos\n")
    assert spawner.end() == 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("exit 115", b"ZNFS failure in qmail-local.\n"),
        ("exit 1", b"Z"),
        ("echo nonsense", b"ZInternal qmail-lspawn bug.\n"),
        ("printf 'root\\0000\\0000\\000/root\\000\\000\\000'", b"ZNot allowed to perform deliveries as root.\n"),
        ("kill -9 $$", b"ZInternal qmail-lspawn bug.\n"),
    ],
)
def test_what_a_bad_qmail_getpw_says_only_defers(
    spawn: Callable[..., Spawner], home: str, answer: str, expected: bytes
) -> None:
    message = queued(home)
    write(f"{home}/bin/qmail-getpw", f"#!/bin/sh\n{answer}\n", 0o755)
    spawner = spawn(home, "qmail-lspawn", "./Maildir/")
    spawner.ask(0, b"sos@x", message)
    (report,) = spawner.hear(1)
    assert report.letter + report.text == expected
    assert spawner.end() == 0


def test_a_program_sees_no_variable_that_nobody_set(
    spawn: Callable[..., Spawner], home: str, environment: dict[str, str]
) -> None:
    message = queued(home)
    write(f"{home}/home/.qmail", "|env | grep -c ^LC_\n")
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", **environment)
    spawner.ask(0, f"{spawner.user}@x".encode(), message)
    assert spawner.hear(1)[0].text.startswith(b"0\n")
    assert spawner.end() == 0


def test_commands_may_come_byte_by_byte(spawn: Callable[..., Spawner], home: str) -> None:
    message = queued(home)
    spawner = spawn(home, "qmail-lspawn", "./Maildir/")
    assert spawner.process.stdin is not None
    command = Command(0, message, b"s@x", f"{spawner.user}@x".encode()).encode(NARROW)
    for at in range(len(command)):
        spawner.process.stdin.write(command[at : at + 1])
    assert spawner.hear(1)[0].letter == b"K"
    assert spawner.end() == 0


def test_a_new_version_is_not_begun_between_two_commands_that_came_together(
    spawn: Callable[..., Spawner], home: str
) -> None:
    """The first has ended by the time that the second is looked at."""
    message = queued(home)
    settings = "from qmailpy.skeletons import renewal; renewal.is_due = lambda *_: True"
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", settings=settings)
    spawner.announcement()
    assert spawner.process.stdin is not None
    commands = [Command(0, message, b"s@x", b"@x"), Command(1, message, b"s@x", spawner.user.encode() + b"@x")]
    spawner.process.stdin.write(b"".join(command.encode(NARROW) for command in commands))
    assert [report.letter for report in spawner.hear(2)] == [b"K", b"K"]
    spawner.ask(0, b"@x", message)
    assert [report.letter for report in spawner.hear(3)] == [b"K", b"K", b"K"]


def test_a_child_that_floods_its_report_is_cut_short(
    spawn: Callable[..., Spawner], home: str, environment: dict[str, str]
) -> None:
    message = queued(home)
    write(f"{home}/home/.qmail-flood", "|head -c 3000000 /dev/zero | tr '\\0' x\n")
    spawner = spawn(home, "qmail-lspawn", "./Maildir/", **environment)
    spawner.ask(0, f"{spawner.user}-flood@x".encode(), message)
    (report,) = spawner.hear(1)
    assert report.letter == b"K"
    assert report.text == b"x" * 2966 + b"\nError report too long, sorry.\n"
    assert spawner.end() == 0


# qmail-rspawn


def route_to(home: str, peer: Peer) -> None:
    write(f"{home}/control/smtproutes", f":127.0.0.1:{peer.port}\n")


def worker_of(spawner: Spawner) -> int:
    """The pid of qmail-rspawn's worker."""
    path = f"/proc/{spawner.process.pid}/task/{spawner.process.pid}/children"
    return int(wait_for(lambda: read(path).split(), "the worker")[0])


def counting(home: str, beat: float, beats: int) -> str:
    """Settings: a worker is asked so often (seconds), and may be silent for so many questions once home/counts exists.

    Before that it may take its time: it has yet to load what it needs, on a machine that may be busy.
    """
    return (
        "import os\n"
        "class Beats:\n"
        f"    def __le__(self, silent): return silent >= {beats} and os.path.exists({home!r} + '/counts')\n"
        f"qmail_rspawn.BEAT, qmail_rspawn.BEATS = {beat}, Beats()\n"
    )


def test_a_worker_that_does_not_answer_any_more_is_replaced(spawn: Callable[..., Spawner], home: str) -> None:
    message = queued(home)
    spawner = spawn(home, "qmail-rspawn", settings=counting(home, 0.2, 3))
    called, go_on = threading.Event(), threading.Event()

    def slow(line: Line) -> None:
        called.set()
        go_on.wait(PATIENCE)
        line.hear_all()

    with Peer(slow) as peer, Peer(replies()) as good:
        route_to(home, peer)
        spawner.ask(0, b"to@there.example", message)
        assert called.wait(PATIENCE)
        worker = worker_of(spawner)
        os.kill(worker, signal.SIGSTOP)
        write(f"{home}/counts", "")
        (report,) = spawner.hear(1)
        assert report.letter + report.text == (
            b"Zqmail-remote did not answer any more and was ended. Possible duplicate! (#4.4.2)\n"
        )
        wait_for(lambda: not is_running(worker), "the worker's end")
        os.unlink(f"{home}/counts")
        go_on.set()
        route_to(home, good)
        spawner.ask(0, b"to@there.example", message)
        assert spawner.hear(2)[1].letter == b"K"
    assert spawner.end() == 0


def test_a_worker_that_only_waits_for_its_peer_is_left_alone(spawn: Callable[..., Spawner], home: str) -> None:
    message = queued(home)
    spawner = spawn(home, "qmail-rspawn", settings=counting(home, 0.05, 60))
    called, go_on = threading.Event(), threading.Event()

    def slow(line: Line) -> None:
        called.set()
        go_on.wait(PATIENCE)
        replies()(line)

    with Peer(slow) as peer:
        route_to(home, peer)
        spawner.ask(0, b"to@there.example", message)
        assert called.wait(PATIENCE)
        worker = worker_of(spawner)
        write(f"{home}/counts", "")
        # it has been asked, and has answered, more often than it may be silent
        begun = switches(worker)
        wait_for(lambda: switches(worker) > begun + 80, "eighty questions")
        go_on.set()
        assert spawner.hear(1)[0].letter == b"K"
    assert spawner.end() == 0


def switches(pid: int) -> int:
    """How often a process has gone to sleep."""
    lines = read(f"/proc/{pid}/status").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(b"voluntary_ctxt_switches")))
