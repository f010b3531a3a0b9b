"""qmail-rspawn and its worker under attack: servers that flood, signals, limits, what replaces its program."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile_support import STEPS
from tests.remote_support import GOOD, Line, Peer, Script, replies
from tests.spawn_support import Spawner, new_home, queued, spawners
from tests.support import PATIENCE, is_running, read, wait_for, write

KILOBYTES_MORE = 3000  # that a hostile server may cost: pieces of 256 kB on their way, and what is made of them
MESSAGE = b"20/457"
CRASHED = b"Zqmail-remote crashed.\n"


@pytest.fixture
def home(tmp_path: Path) -> str:
    path = new_home(tmp_path)
    assert queued(path) == MESSAGE
    return path


@pytest.fixture
def spawn() -> Iterator[Callable[..., Spawner]]:
    with spawners() as start:
        yield start


def route(home: str, **peers: Peer) -> None:
    """Mail for NAME.example goes to this peer."""
    lines = [f"{name}.example:127.0.0.1:{peer.port}\n" for name, peer in peers.items()]
    write(f"{home}/control/smtproutes", "".join(lines))


def workers(spawner: Spawner) -> list[int]:
    """The pids of qmail-rspawn's children."""
    path = f"/proc/{spawner.process.pid}/task/{spawner.process.pid}/children"
    return [pid for pid in map(int, read(path).split()) if is_running(pid)]


def worker_of(spawner: Spawner) -> int:
    return wait_for(lambda: workers(spawner), "the worker")[0]


def said(spawner: Spawner, count: int) -> bytes:
    """The last of so many reports."""
    spawner.hear(count)
    return spawner.reports[count - 1].letter + spawner.reports[count - 1].text


class Held:
    """A server that keeps to the rules up to a step, and there waits."""

    def __init__(self, step: str) -> None:
        self.step, self.reached, self.go_on = step, threading.Event(), threading.Event()

    def __call__(self, line: Line) -> None:
        for name in STEPS[: STEPS.index(self.step)]:
            line.say(GOOD[name])
            line.hear_body() if name == "DATA" else line.hear()
        self.reached.set()
        assert self.go_on.wait(PATIENCE)


# floods


def up_to(step: str, line: Line) -> None:
    for name in STEPS[: STEPS.index(step)]:
        line.say(GOOD[name])
        line.hear_body() if name == "DATA" else line.hear()


def endless(step: str, words: bytes) -> Script:
    """At this step ten megabytes of these words, and no end."""

    def script(line: Line) -> None:
        up_to(step, line)
        line.say(words * (10_000_000 // len(words)))
        line.hear_all()

    return script


def talks_all_the_time(line: Line) -> None:
    """While it takes a large message it says as much as goes into the connection."""
    up_to("DATA", line)
    line.say(GOOD["DATA"])
    words = memoryview(b"250-on and on\r\n" * 20_000)
    line.connection.setblocking(False)
    said = 0
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        while True:
            with contextlib.suppress(BlockingIOError):
                if not line.connection.recv(1 << 20):
                    return
            with contextlib.suppress(BlockingIOError):
                said += line.connection.send(words[said % 15 :])


def drinks_slowly(line: Line) -> None:
    """It reads a little at a time, but all."""
    up_to("DATA", line)
    line.say(GOOD["DATA"])
    last = b""
    while not last.endswith(b"\r\n.\r\n"):
        last = last[-5:] + line.connection.recv(4096)
    line.say(GOOD["dot"])
    line.hear_all()


FLOODS: dict[str, tuple[Script, int]] = {
    "a line at the greeting": (endless("greeting", b"220 " + b"x" * 65536), 0),
    "lines at EHLO": (endless("EHLO", b"250-X\r\n" * 1000), 0),
    "bare LF at MAIL": (endless("MAIL", b"250-\n" * 1000), 0),
    "nothing but LF": (endless("RCPT", b"\n" * 65536), 0),
    "NUL": (endless("DATA", b"\0" * 65536), 0),
    "8-bit lines at the dot": (endless("dot", b"250-\xff\xfe\r\n" * 1000), 0),
    "words all through the message": (talks_all_the_time, 30_000_000),
    "a large message": (drinks_slowly, 30_000_000),
}


def high_water(pid: int) -> int:
    """The most memory that a process has had, in kB."""
    line = next(line for line in read(f"/proc/{pid}/status").splitlines() if line.startswith(b"VmHWM"))
    return int(line.split()[1])


def test_ten_megabytes_of_words_cost_no_memory(spawn: Callable[..., Spawner], home: str) -> None:
    large = queued(home, b"x" * 70 + b"\n" + b"y" * 10_000_000, 458)
    spawner = spawn(home, "qmail-rspawn")
    with contextlib.ExitStack() as stack:
        peers = {f"at-{at}": stack.enter_context(Peer(script)) for at, (script, _) in enumerate(FLOODS.values())}
        route(home, good=stack.enter_context(Peer(replies())), **peers)
        spawner.ask(0, b"to@good.example", MESSAGE)
        assert said(spawner, 1).startswith(b"K")
        usual = high_water(worker_of(spawner))
        for at, (name, (script, is_large)) in enumerate(FLOODS.items()):
            spawner.ask(0, b"to@at-%d.example" % at, large if is_large else MESSAGE)
            report = said(spawner, at + 2)
            assert report.startswith(b"K" if script is drinks_slowly else b"Z"), name
            assert len(report) < 5300, name
            assert (b"Possible duplicate!" in report) == (name == "8-bit lines at the dot"), name
            assert high_water(worker_of(spawner)) < usual + KILOBYTES_MORE, name
    assert spawner.end() == 0


# signals


def test_a_worker_that_is_killed_defers_what_it_was_doing_at_every_step_and_is_replaced(
    spawn: Callable[..., Spawner], home: str
) -> None:
    spawner = spawn(home, "qmail-rspawn")
    held = [Held(step) for step in STEPS]
    with contextlib.ExitStack() as stack:
        peers = {f"at-{each.step}": stack.enter_context(Peer(each)) for each in held}
        good = stack.enter_context(Peer(replies()))
        route(home, good=good, **peers)
        for turn in range(2):
            for each in held:
                each.go_on.clear()
            for slot, name in enumerate(peers):
                spawner.ask(slot, f"to@{name}.example".encode(), MESSAGE)
            for each in held:
                assert each.reached.wait(PATIENCE)
                each.reached.clear()
            worker = worker_of(spawner)
            os.kill(worker, signal.SIGKILL if turn == 0 else signal.SIGSEGV)
            reports = spawner.hear((turn + 1) * (len(held) + 1) - 1)[-len(held) :]
            assert {report.letter + report.text for report in reports} == {CRASHED}
            for each in held:
                each.go_on.set()
            spawner.ask(0, b"to@good.example", MESSAGE)
            assert said(spawner, (turn + 1) * (len(held) + 1)).startswith(b"K")
            assert worker_of(spawner) != worker
    assert spawner.end() == 0


def test_of_programs_that_are_executed_one_is_killed_and_the_others_go_on(
    spawn: Callable[..., Spawner], home: str
) -> None:
    spawner = spawn(home, "qmail-rspawn", QMAILEXEC="1")
    held = [Held("MAIL"), Held("dot")]
    with Peer(held[0]) as first, Peer(held[1]) as second, Peer(replies()) as good:
        route(home, first=first, second=second, good=good)
        spawner.ask(0, b"to@first.example", MESSAGE)
        assert held[0].reached.wait(PATIENCE)
        [killed] = workers(spawner)
        spawner.ask(1, b"to@second.example", MESSAGE)
        assert held[1].reached.wait(PATIENCE)
        os.kill(killed, signal.SIGKILL)
        assert said(spawner, 1) == CRASHED
        for each in held:
            each.go_on.set()
        assert b"Possible duplicate!" in said(spawner, 2)
        spawner.ask(0, b"to@good.example", MESSAGE)
        assert said(spawner, 3).startswith(b"K")
    assert spawner.end() == 0


def test_a_worker_whose_spawner_is_killed_goes_too_and_leaves_its_peers(
    spawn: Callable[..., Spawner], home: str
) -> None:
    spawner = spawn(home, "qmail-rspawn")
    held = Held("MAIL")
    with Peer(held) as peer:
        route(home, there=peer)
        spawner.ask(0, b"to@there.example", MESSAGE)
        assert held.reached.wait(PATIENCE)
        worker = worker_of(spawner)
        spawner.process.kill()
        wait_for(lambda: not is_running(worker), "the worker's end")
        held.go_on.set()
    assert b"RCPT" not in peer.heard[0]


BEATS = """
import os
class Beats:
    def __le__(self, silent): return silent >= 3 and os.path.exists({home!r} + "/counts")
qmail_rspawn.BEAT, qmail_rspawn.BEATS = 0.1, Beats()
"""
ENDLESS = """
from qmailpy.remote import worker
deliver = worker.deliver
async def spin(home, host, *words, **more):
    while host == b"endless.example":
        pass
    return await deliver(home, host, *words, **more)
worker.deliver = spin
"""


def test_a_loop_without_end_in_the_worker_is_ended_and_what_it_held_is_deferred(
    spawn: Callable[..., Spawner], home: str
) -> None:
    spawner = spawn(home, "qmail-rspawn", settings=BEATS.format(home=home) + ENDLESS)
    held = Held("MAIL")
    with Peer(held) as peer, Peer(replies()) as good:
        route(home, there=peer, good=good)
        spawner.ask(0, b"to@there.example", MESSAGE)
        assert held.reached.wait(PATIENCE)
        worker = worker_of(spawner)
        spawner.ask(1, b"to@endless.example", MESSAGE)
        spawner.ask(2, b"to@good.example", MESSAGE)
        write(f"{home}/counts", "")
        ended = b"Zqmail-remote did not answer any more and was ended. Possible duplicate! (#4.4.2)\n"
        reports = {report.slot: report.letter + report.text for report in spawner.hear(3)}
        assert (reports[0], reports[1]) == (ended, ended)
        wait_for(lambda: not is_running(worker), "the worker's end")
        held.go_on.set()
        os.unlink(f"{home}/counts")
        spawner.ask(3, b"to@good.example", MESSAGE)
        assert said(spawner, 4).startswith(b"K")
    assert spawner.end() == 0


STAYS = """
from qmailpy.remote import worker
worker._Worker._end = lambda _worker: None
qmail_rspawn.IDLE = qmail_rspawn.GRACE = 0.1
"""


def test_an_idle_worker_that_does_not_leave_when_it_is_told_to_is_ended(
    spawn: Callable[..., Spawner], home: str
) -> None:
    spawner = spawn(home, "qmail-rspawn", settings=STAYS)
    held = Held("MAIL")
    with Peer(held) as peer:
        route(home, there=peer)
        spawner.ask(0, b"to@there.example", MESSAGE)
        assert held.reached.wait(PATIENCE)
        worker = worker_of(spawner)
        held.go_on.set()
        assert b"connection died" in said(spawner, 1)
    wait_for(lambda: not is_running(worker), "the worker's end")
    assert spawner.end() == 0


LOSES = """
from qmailpy.remote import worker
receive = worker._receive
def without_memory(wire):
    packet, passed = receive(wire)
    if b"large.example" in packet:
        raise MemoryError
    return packet, passed
worker._receive = without_memory
"""


def test_a_worker_that_cannot_take_a_request_leaves_none_unanswered(spawn: Callable[..., Spawner], home: str) -> None:
    spawner = spawn(home, "qmail-rspawn", settings=LOSES)
    held = Held("MAIL")
    with Peer(held) as peer, Peer(replies()) as good:
        route(home, there=peer, good=good)
        spawner.ask(0, b"to@there.example", MESSAGE)
        assert held.reached.wait(PATIENCE)
        spawner.ask(1, b"to@large.example", MESSAGE)
        assert [report.letter + report.text for report in spawner.hear(2)] == [CRASHED, CRASHED]
        held.go_on.set()
        spawner.ask(0, b"to@good.example", MESSAGE)
        assert said(spawner, 3).startswith(b"K")
    assert spawner.end() == 0


# limits

LIMITS = """
import asyncio, os, resource
from qmailpy.remote import worker
deliver = worker.deliver
LOW = {
    b"files.example": (resource.RLIMIT_NOFILE, lambda: len(os.listdir("/proc/self/fd")) - 1),
    b"memory.example": (resource.RLIMIT_AS, lambda: int(open("/proc/self/statm").read().split()[0]) * 4096),
}
async def limited(home, host, *words, **more):
    if host in LOW:
        kind, low = LOW[host]
        usual = resource.getrlimit(kind)
        asyncio.get_running_loop().call_later(0.5, resource.setrlimit, kind, usual)
        resource.setrlimit(kind, (low(), usual[1]))
    return await deliver(home, host, *words, **more)
worker.deliver = limited
"""


def test_a_worker_without_descriptors_or_memory_defers_and_goes_on_when_it_has_some(
    spawn: Callable[..., Spawner], home: str
) -> None:
    spawner = spawn(home, "qmail-rspawn", settings=LIMITS)
    count = 0

    def ask(name: bytes, many: int = 1) -> set[bytes]:
        nonlocal count
        for slot in range(many):
            spawner.ask(slot, b"to@%s.example" % name, MESSAGE)
        count += many
        spawner.hear(count)
        return {report.letter for report in spawner.reports[-many:]}

    with Peer(replies()) as peer:
        route(home, good=peer, files=peer, memory=peer)
        assert ask(b"good") == {b"K"}
        for limit in (b"files", b"memory"):
            assert ask(limit) <= {b"Z", b"K"}
            assert ask(b"good", 20) <= {b"Z", b"K"}
            wait_for(lambda: ask(b"good") == {b"K"}, "a delivery")
    assert spawner.end() == 0


# what stands in the program's place

WRAPPER = r"""#!/bin/sh
case "$1" in
  args.example) printf 'r\0K%s|%s|%s|%s\n\0' "$#" "$1" "$2" "$3";;
  message.example) printf 'r\0K'; head -n 1; printf '\0';;
  exit-*) code=${1#exit-}; exit "${code%.example}";;
  signal-*) number=${1#signal-}; kill -"${number%.example}" $$;;
  nothing.example) ;;
  garbage.example) printf x; head -c 3000 /dev/urandom | tr -d '\0KZD';;
  no-nul.example) printf 'Kok';;
  half.example) printf 'r\0Kok';;
  flood.example) printf 'r\0K'; head -c 3000000 /dev/zero | tr '\0' x; printf '\0';;
  words.example) printf 'hno\0Dgiving up\0'; echo trouble >&2;;
  after.example) printf 'r\0Zlater\0'; exit 1;;
esac
"""
ANSWERS = [
    ("args", b"K3|args.example|s@x.example|to@args.example\n"),
    ("message", b"KReceived: (qmail 1 invoked by uid 1); 21 Nov 2026 02:27:41 -0000\n"),
    *((f"exit-{code}", b"ZUnable to run qmail-remote.\n") for code in (1, 2, 111, 120, 126, 127, 130)),
    *((f"exit-{code}", CRASHED) for code in (137, 139, 143)),
    *((f"exit-{code}", b"DUnable to run qmail-remote.\n") for code in (3, 100)),
    *((f"signal-{name}", CRASHED) for name in ("KILL", "SEGV", "TERM")),
    ("nothing", b"Zqmail-remote produced no output.\n"),
    ("garbage", b"D"),
    ("no-nul", b"D"),
    ("half", b"D"),
    ("flood", b"D"),
    ("words", b"Dnogiving up"),
    ("after", b"ZUnable to run qmail-remote.\n"),
]


@pytest.mark.parametrize("way", ["replaced", "named"])
def test_whatever_stands_in_the_place_of_qmail_remote_is_executed_and_judged(
    spawn: Callable[..., Spawner], home: str, way: str
) -> None:
    if way == "replaced":
        write(f"{home}/bin/qmail-remote", WRAPPER, 0o755)
        spawner = spawn(home, "qmail-rspawn")
    else:
        spawner = spawn(home, "qmail-rspawn", QMAILREMOTE=write(f"{home}/home/wrapper", WRAPPER, 0o755))
    for slot, (name, _) in enumerate(ANSWERS):
        spawner.ask(slot, f"to@{name}.example".encode(), MESSAGE)
    reports = spawner.hear(len(ANSWERS))
    for report, (name, expected) in zip(reports, ANSWERS, strict=True):
        heard = report.letter + report.text
        assert heard == expected or (expected == b"D" and heard.startswith(b"D")), name
    assert not workers(spawner)
    assert spawner.end() == 0
