"""How fast mail goes through, on this machine now: bench.py [MESSAGES]; `make bench` runs it.

Three ways into one embedded home: sendmail executed for each message, the door alone from clients that stay, and the
whole system to a Maildir. Then our sendmail beside those of Postfix and dma (tests/bench/sendmails). CPU is counted of
each of our processes and of their children, user and system time, and of the whole machine while it ran (what the
kernel does for us is in it, and so is every neighbour). Beside them stands the budget of DESIGN 6, measured elsewhere:
compare ratios, never single figures.

BENCH_DIR=/somewhere: work on that file system, instead of the one that tests/bench/ground chooses.
"""

import os
import resource
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
from tests.bench import ground, sendmails
from tests.places import Place, embedded, identity, members, name_of
from tests.support import CHECKOUT, NOBODY, give, wait_for, wait_for_exit

CLIENTS = 20  # as many connections as smtp-source had when the budget was measured
BODY = b"From: a@mx.example.org\nSubject: bench\n\n" + (b"x" * 71 + b"\n") * 27  # 2 kB
BUDGETS = {"door": "0.4", "send": "0.35 with clean and logger", "lspawn": "0.3 with its children"}
LOGGED = "QMAILPY_BENCH_LOGGED"  # environment: /dev/log is ours
PAUSE = 0.05  # seconds between two looks at the log: looking must not be what is measured


class Cost:
    """What one run took: seconds, and CPU seconds of each role (user, system), of the clients and of the machine."""

    def __init__(self) -> None:
        self.seconds = self.clients = self.machine = 0.0
        self.roles: dict[str, tuple[float, float]] = {}

    @property
    def ours(self) -> float:
        """Of all daemons."""
        return sum(user + system for user, system in self.roles.values())


def main(count: int) -> int:
    """Find ground to stand on, make a home there, and go on as a program of that home: its library is what counts."""
    chosen = os.environ.get("BENCH_DIR")
    scratch = tempfile.mkdtemp(prefix="qmailpy-bench-", dir=chosen or "/var/tmp")
    os.chmod(scratch, 0o755)
    try:
        if ground.can_be_private():
            return ground.go_private([__file__, str(count), "private", scratch, sendmails.fetch_dma(scratch)])
        return at(scratch, count)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def private(scratch: str, count: int, dma_trouble: str = "") -> int:
    """In namespaces of our own.  dma_trouble: why there is no dma."""
    folder = ground.prepare(scratch)
    sendmails.prepare(scratch, folder, dma_trouble)
    ground.listen_as_syslogd(log_of(folder))
    os.environ[LOGGED] = "yes"
    return at(folder, count)


def at(folder: str, count: int) -> int:
    """Make the home in this directory, and run."""
    if not ground.has_journal(folder):
        print("warning: ext4 without a journal: making files takes long here, and that is what you will see\n")
    embedded(f"{folder}/home", {})
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        for name in ("home", "home.log"):  # what stands beside them is Postfix's and dma's
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
    print(f"{count} messages of {len(BODY)} bytes each way, {os.cpu_count()} processors, {os.uname().release}")
    print("CPU in milliseconds a message\n")
    with closing(place):
        for name, budget, run, share in (
            ("sendmail -t, executed, to the door", "<= 1.2 x Postfix's 6-7", by_sendmail, 5),
            ("the door, 20 clients that stay", "0.4", by_door, 1),
            ("the door to a Maildir, all of it", "1.05", to_maildir, 1),
        ):
            messages = max(1, count // share)
            show(name, budget, run(place, messages), messages)
        beside_others(place, folder)
    return 0


def beside_others(place: Place, folder: str) -> None:
    """Our sendmail in turns with Postfix's and dma's; nobody delivers."""
    for name in ("concurrencylocal", "concurrencyremote"):
        place.control(name, "0\n")
    with running(place):
        found = sendmails.contenders(folder, place.program("sendmail"))

        def work() -> None:
            sendmails.compare(found, BODY, place.environment)

        cost = measured(place, work)
    each = cost.ours * 1000 / (sendmails.TURNS + 1)
    print(f"  and of our daemons, CPU{each:8.2f} a message\n", flush=True)


def show(name: str, budget: str, cost: Cost, count: int) -> None:
    def each(seconds: float) -> str:
        return f"{seconds * 1000 / count:8.3f}"

    print(f"{name}: {count / cost.seconds:.0f} messages/s")
    print(f"  {'all daemons':14}{each(cost.ours)}   budget {budget}")
    for role, (user, system) in cost.roles.items():
        if user + system > 0:
            budget = BUDGETS.get(role, "")
            print(f"    {role:12}{each(user + system)}  = user{each(user)} + system{each(system)}   {budget}")
    print(f"  {'clients':14}{each(cost.clients)}")
    print(f"  {'whole machine':14}{each(cost.machine)}\n", flush=True)


# --- three ways ---


def by_sendmail(place: Place, count: int) -> Cost:
    """One sendmail after another, from this process; the daemons hold the mail (concurrencylocal 0)."""
    place.control("concurrencylocal", "0\n")
    message = b"To: %s\n" % place.address.encode() + BODY
    with running(place):

        def work() -> None:
            for _ in range(count):
                subprocess.run([place.program("sendmail"), "-t"], input=message, env=place.environment, check=True)

        return measured(place, work)


def by_door(place: Place, count: int) -> Cost:
    """The door's own speed: nobody delivers."""
    place.control("concurrencylocal", "0\n")
    with running(place):
        return measured(place, lambda: clients(place, count))


def to_maildir(place: Place, count: int) -> Cost:
    """From the first byte to the last `end msg`; what the other two left is delivered first."""
    place.control("concurrencylocal", "10\n")
    with running(place):
        wait_for(place.queue_is_empty, "what was queued before", 600)
        lines = Ended(place)

        def work() -> None:
            clients(place, count)
            while lines.count() < count:
                time.sleep(PAUSE)

        return measured(place, work)


class Ended:
    """Counts `end msg` in the log from now on, reading each byte once."""

    def __init__(self, place: Place) -> None:
        self._file = open(log_of(os.path.dirname(place.home)), "rb")  # noqa: SIM115 - read until we end
        self._file.seek(0, os.SEEK_END)
        self._count = 0

    def count(self) -> int:
        for line in self._file.readlines():
            self._count += line.startswith(b"end msg ")
        return self._count


def log_of(folder: str) -> str:
    return f"{folder}/home.log"


@contextmanager
def running(place: Place) -> Iterator[None]:
    place.start("./Maildir/", *(["splogger", "qmail"] if LOGGED in os.environ else []))
    try:
        yield
    finally:
        stop(place)


def stop(place: Place) -> None:
    """As place.stop(); but splogger and the log daemon may still be writing when qmail-send has left."""
    assert place.daemons is not None
    place.daemons.send_signal(signal.SIGTERM)
    assert wait_for_exit(place.daemons) == 0
    wait_for(lambda: not members(place.daemons.pid) if place.daemons else True, "the end of all daemons")
    place.daemons = None


def clients(place: Place, count: int) -> None:
    """So many processes, each submitting its share, one message after the other."""
    shares = [count // CLIENTS + (number < count % CLIENTS) for number in range(CLIENTS)]
    children = [child(lambda share=share: submit(place, share)) for share in shares if share]  # type: ignore[misc]
    failed = [pid for pid in children if os.waitpid(pid, 0)[1] != 0]
    assert not failed, f"{len(failed)} clients failed"


def child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def submit(place: Place, count: int) -> None:
    home = Home(place.home.encode())
    address = place.address.encode()
    for _ in range(count):
        submission = Submission(home, resident=True)
        submission.write(BODY)
        result = submission.close(address, [address])
        assert result.text == b"", result.text


# --- what it cost ---


def measured(place: Place, work: Callable[[], object]) -> Cost:
    assert place.daemons is not None
    cost, session = Cost(), place.daemons.pid
    machine, before, begin, mine = ground.machine_time(), ground.times(session), time.monotonic(), own_time()
    work()
    cost.seconds = time.monotonic() - begin
    cost.clients, cost.machine = own_time() - mine, ground.machine_time() - machine
    for role, (user, system) in ground.times(session).items():
        cost.roles[role] = user - before[role][0], system - before[role][1]
    return cost


def own_time() -> float:
    """CPU seconds of this process and its dead children."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


if __name__ == "__main__":
    COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    WAYS: dict[str, Callable[..., int]] = {"private": private, "inside": inside}
    sys.exit(WAYS[sys.argv[2]](sys.argv[3], COUNT, *sys.argv[4:]) if len(sys.argv) > 2 else main(COUNT))
