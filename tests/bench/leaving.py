"""What a message costs that leaves, from the queue to Postfix's smtp-sink: leaving.py [MESSAGES].

Three ways through one embedded home with concurrencyremote 20. As it comes: 20 clients hand over through the door while
it is delivered, over warm connections. From the queue: all of it is there before qmail-send may look. A connection
each: every message to another address. CPU is the kernel's own count (/proc/PID/schedstat) of each of our processes;
the door's stands apart. After that, where root may have it, Postfix's own client beside ours: as it comes, to the same
smtp-sink. Budget: send, clean, logger, rspawn and worker together at most 0.95 ms a message. System calls: CALLS=1
counts them too, with strace, in a further run.

BENCH_DIR=/somewhere: work on that file system, instead of the one that tests/bench/ground chooses.
"""

import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from qmailpy.disk.home import Home
from qmailpy.skeletons.submit import Submission
from tests.bench import bench, ground, postfix_leaving
from tests.neighbours import is_answered
from tests.places import Place, embedded, identity, members, name_of
from tests.support import CHECKOUT, NOBODY, free_port, give, wait_for

AT_ONCE = 20
BUDGET = 0.95  # ms of CPU a message, of OURS
OURS = ("qmail-send", "qmail-clean", "splogger", "qmail-rspawn", "qmail-remote")
WARM = 100  # messages before the count begins
SINK = "/usr/sbin/smtp-sink"


def main(count: int) -> int:
    """Find ground to stand on, make a home there, and go on as its owner."""
    if not os.path.exists(SINK):
        print("smtp-sink is missing (Debian: postfix)", file=sys.stderr)
        return 1
    scratch = tempfile.mkdtemp(prefix="qmailpy-bench-", dir=os.environ.get("BENCH_DIR") or "/var/tmp")
    os.chmod(scratch, 0o755)
    try:
        if ground.can_be_private():
            return ground.go_private([__file__, str(count), "private", scratch])
        return at(scratch, count)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def private(scratch: str, count: int) -> int:
    """In namespaces of our own."""
    folder = ground.prepare(scratch)
    ground.listen_as_syslogd(bench.log_of(folder))
    os.environ[bench.LOGGED] = "yes"
    code = at(folder, count)
    postfix_leaving.run(scratch, folder, count)
    return code


def at(folder: str, count: int) -> int:
    """Make the home in this directory, and run."""
    if not ground.has_journal(folder):
        print("warning: ext4 without a journal: making files takes long here, and that is what you will see\n")
    embedded(f"{folder}/home", {})
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        for name in ("home", "home.log"):
            give(f"{folder}/{name}", NOBODY, NOBODY)
    library = os.path.realpath(f"{folder}/home/lib/current")
    done = subprocess.run(
        [sys.executable, "-P", "-B", __file__, str(count), "inside", folder],
        env={**os.environ, "PYTHONPATH": f"{library}:{CHECKOUT}"},
        check=False,
        **identity(NOBODY, NOBODY),
    )
    return done.returncode


def inside(folder: str, count: int) -> int:
    """The runs and their tables."""
    place = Place(f"{folder}/home", name_of(os.geteuid()), os.geteuid(), os.getegid(), f"{folder}/home/home", {})
    port = free_port()
    print(f"{count} messages of {len(bench.BODY)} bytes, concurrencyremote {AT_ONCE}; CPU in milliseconds a message\n")
    place.control("concurrencyremote", f"{AT_ONCE}\n")
    place.control("smtproutes", f"far.example:127.0.0.1:{port}\n::{port} tls=none\n")
    with closing(place), sink(port), bench.running(place):
        measured(place, WARM, lambda: feed(place, WARM, one_host))
        show("as it comes", *measured(place, count, lambda: feed(place, count, one_host)))
        show("from the queue", *measured(place, count, lambda: held_back(place, count)))
        show("a connection each", *measured(place, count, lambda: feed(place, count, many_hosts)))
        if os.environ.get("CALLS"):
            for name, calls in counted(place, count).items():
                print(f"  {name:14}{sum(calls.values()) / count:6.1f} system calls a message:")
                print("    " + ", ".join(f"{call} {n / count:.2f}" for call, n in calls.most_common(16)))
    return 0


@contextmanager
def sink(port: int) -> Iterator[None]:
    """Postfix's smtp-sink, which takes everything and keeps nothing."""
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([SINK, *user, f"0.0.0.0:{port}", "1000"], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: is_answered("127.0.0.1", port), "smtp-sink")
        yield
    finally:
        process.terminate()
        process.wait()


def one_host(_: int) -> bytes:
    return b"someone@far.example"


def many_hosts(number: int) -> bytes:
    return b"someone@[127.1.%d.%d]" % (number // 250 % 250, number % 250 + 1)


def feed(place: Place, count: int, address: Callable[[int], bytes]) -> None:
    """20 processes, each handing over its share through the door, one message after the other."""
    children = [
        bench.child(lambda first=first: submit(place, range(first, count, AT_ONCE), address))  # type: ignore[misc]
        for first in range(min(AT_ONCE, count))
    ]
    failed = [pid for pid in children if os.waitpid(pid, 0)[1] != 0]
    assert not failed, f"{len(failed)} clients failed"


def submit(place: Place, numbers: range, address: Callable[[int], bytes]) -> None:
    home = Home(place.home.encode())
    for number in numbers:
        submission = Submission(home, resident=True)
        submission.write(bench.BODY)
        result = submission.close(b"sender@mx.example.org", [address(number)])
        assert result.text == b"", result.text


def held_back(place: Place, count: int) -> None:
    """Qmail-send finds all of it at once."""
    assert place.daemons is not None
    place.daemons.send_signal(signal.SIGSTOP)
    try:
        feed(place, count, one_host)
    finally:
        place.daemons.send_signal(signal.SIGCONT)


class Ended(bench.Ended):
    """As there, and how to wait."""

    def wait(self, count: int) -> None:
        end = time.monotonic() + 120
        while self.count() < count:
            assert time.monotonic() < end, "messages do not leave"
            time.sleep(bench.PAUSE)


# --- what it cost ---


def measured(place: Place, count: int, work: Callable[[], object]) -> tuple[int, float, dict[str, float]]:
    """Result: messages; seconds; CPU seconds of each process."""
    lines = Ended(place)
    assert place.daemons is not None
    before, begin = spent(place.daemons.pid), time.monotonic()
    work()
    lines.wait(count)
    seconds, after = time.monotonic() - begin, spent(place.daemons.pid)
    cost: dict[str, float] = {}
    for (name, pid), value in after.items():
        cost[name] = cost.get(name, 0.0) + value - before.get((name, pid), 0.0)
    return count, seconds, cost


def spent(session: int) -> dict[tuple[str, int], float]:
    """CPU seconds of each process of the session, all threads together, by name and pid."""
    return {(comm(pid), pid): of_process(pid) for pid in members(session)}


def comm(pid: int) -> str:
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip()


def of_process(pid: int) -> float:
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def show(name: str, count: int, seconds: float, cost: dict[str, float]) -> None:
    print(f"{name}: {count / seconds:.0f} messages/s")
    for role in OURS:
        print(f"    {role:14}{cost.get(role, 0.0) * 1000 / count:8.3f}")
    total = sum(cost.get(role, 0.0) for role in OURS) * 1000 / count
    print(f"  {'together':16}{total:8.3f}   budget {BUDGET}")
    print(f"  {'and the door':16}{cost.get('qmail-queued', 0.0) * 1000 / count:8.3f}\n", flush=True)


def counted(place: Place, count: int) -> dict[str, "collections.Counter[str]"]:
    """System calls of each of ours, by name, as it comes."""
    assert place.daemons is not None
    found: dict[str, collections.Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        watched = [(comm(pid), pid) for pid in members(place.daemons.pid) if comm(pid) in OURS]
        tracers = [
            subprocess.Popen(["strace", "-f", "-c", "-o", f"{folder}/{name}", "-p", str(pid)], stderr=subprocess.PIPE)
            for name, pid in watched
        ]
        try:
            for tracer in tracers:
                assert tracer.stderr is not None
                tracer.stderr.readline()  # it is there
            lines = Ended(place)
            feed(place, count, one_host)
            lines.wait(count)
        finally:
            for tracer in tracers:
                tracer.send_signal(signal.SIGINT)
                tracer.communicate()
        for name, _ in watched:
            found[name] = collections.Counter()
            with open(f"{folder}/{name}", encoding="ascii") as file:
                for line in file:
                    row = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
                    if row and row[2] != "total":
                        found[name][row[2]] += int(row[1])
    return found


if __name__ == "__main__":
    COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    WAYS: dict[str, Callable[..., int]] = {"private": private, "inside": inside}
    sys.exit(WAYS[sys.argv[2]](sys.argv[3], COUNT) if len(sys.argv) > 2 else main(COUNT))
