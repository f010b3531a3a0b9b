"""How fast mail goes through, on this machine now: bench.py [MESSAGES]; `make bench` runs it.

Three ways into one embedded home: sendmail executed for each message, the door alone from clients that stay, and the
whole system to a Maildir. CPU is counted twice: of our processes (their own and their children's times), and of the
whole machine while it ran (what the kernel does for us is in it, and so is every neighbour). Beside them stands the
budget of DESIGN 6, which was measured on another machine: compare ratios, never single figures.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from qmailpy.disk.home import Home
from qmailpy.skeletons.submit import Submission
from tests.places import Place, embedded, identity, members, name_of
from tests.support import CHECKOUT, NOBODY, give, wait_for

TICK = os.sysconf("SC_CLK_TCK")
CLIENTS = 20  # as many connections as smtp-source had when the budget was measured
BODY = b"From: a@mx.example.org\nSubject: bench\n\n" + (b"x" * 71 + b"\n") * 27  # 2 kB


class Cost:
    """What one run took: seconds, and CPU seconds of ours and of the machine."""

    def __init__(self) -> None:
        self.seconds = self.ours = self.machine = 0.0


def main(count: int) -> int:
    """Make a home, become an ordinary user, and go on as a program of that home: its library is what counts."""
    scratch = tempfile.mkdtemp(prefix="qmailpy-bench-", dir="/var/tmp")
    os.chmod(scratch, 0o755)
    try:
        embedded(f"{scratch}/home", {})
        if os.geteuid() == 0:
            give(scratch, NOBODY, NOBODY)
        library = os.path.realpath(f"{scratch}/home/lib/current")
        done = subprocess.run(
            [sys.executable, "-P", "-B", __file__, str(count), scratch],
            env={**os.environ, "PYTHONPATH": f"{library}:{CHECKOUT}"},
            check=False,
            **identity(NOBODY, NOBODY),
        )
        return done.returncode
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def inside(count: int, scratch: str) -> int:
    """The runs and their table."""
    place = Place(f"{scratch}/home", name_of(os.geteuid()), os.geteuid(), os.getegid(), f"{scratch}/home/home", {})
    print(f"{count} messages of {len(BODY)} bytes each way, {os.cpu_count()} processors, {os.uname().release}\n")
    print(f"{'':34}{'messages/s':>11}{'ours':>9}{'machine':>9}   budget (CPU ms a message)")
    with closing(place):
        for name, budget, run in (
            ("sendmail -t, executed, to the door", "<= 1.2 x Postfix's 6-7", by_sendmail),
            ("the door, 20 clients that stay", "0.4", by_door),
            ("the door to a Maildir, all of it", "1.05", to_maildir),
        ):
            cost = run(place, count)
            print(
                f"{name:34}{count / cost.seconds:11.0f}{cost.ours * 1000 / count:9.2f}"
                f"{cost.machine * 1000 / count:9.2f}   {budget}",
                flush=True,
            )
    return 0


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
        before = place.log.count()

        def work() -> None:
            clients(place, count)
            wait_for(lambda: ended(place, before) >= count, "the last end msg", 600)

        return measured(place, work)


def ended(place: Place, before: int) -> int:
    return sum(line.startswith("end msg ") for line in place._lines()[before:])


@contextmanager
def running(place: Place) -> Iterator[None]:
    place.start("./Maildir/")
    try:
        yield
    finally:
        place.stop()


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
    cost = Cost()
    machine, ours, begin = machine_time(), our_time(place), time.monotonic()
    work()
    cost.seconds = time.monotonic() - begin
    cost.machine, cost.ours = machine_time() - machine, our_time(place) - ours
    return cost


def machine_time() -> float:
    """CPU seconds of everybody since boot, without idling and waiting."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, interrupts, soft, *_ = [int(word) for word in file.readline().split()[1:]]
    return (user + nice + system + interrupts + soft) / TICK


def our_time(place: Place) -> float:
    """CPU seconds of this process, its dead children, and the daemons with theirs."""
    total = sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )
    assert place.daemons is not None
    for pid in members(place.daemons.pid):
        with open(f"/proc/{pid}/stat", "rb") as file:
            total += sum(int(word) for word in file.read().rpartition(b")")[2].split()[11:15]) / TICK
    return total


if __name__ == "__main__":
    COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    sys.exit(inside(COUNT, sys.argv[2]) if len(sys.argv) > 2 else main(COUNT))
