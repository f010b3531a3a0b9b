"""What a local delivery costs qmail-lspawn and its children, for a busy user: lspawn.py [MESSAGES [AT_ONCE [FOLDER]]].

The bench is in qmail-send's place: commands in, reports out, one user, one Maildir. The CPU time is the kernel's own
count in nanoseconds (/proc/PID/schedstat), a line for each kind of process. Beside it stands what the file alone costs
in the same place: the calls of the kernel that put it into the Maildir, by a bare loop. On some file systems that is
most of it; FOLDER=/dev/shm shows what is ours.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

from qmailpy.wire.delivery import NARROW, Command, ReportReader
from tests.places import embedded, identity, name_of
from tests.support import CHECKOUT, NOBODY, give, wait_for_exit, write

BODY = b"From: a@mx.example.org\nSubject: bench\n\n" + (b"x" * 71 + b"\n") * 27  # 2 kB
MESSAGE = b"20/457"
WARM = 50  # deliveries before the count begins: children are hired in these
BUDGET = 0.35  # ms of CPU


def main(count: int, at_once: int, folder: str) -> int:
    """Make a home, start qmail-lspawn in it as an ordinary user, and have it deliver.  Result: exit code."""
    scratch = tempfile.mkdtemp(prefix="qmailpy-bench-", dir=folder)
    os.chmod(scratch, 0o755)
    try:
        home = f"{scratch}/home"
        place = embedded(home, {})
        write(f"{home}/queue/mess/{MESSAGE.decode()}", BODY)
        if os.geteuid() == 0:
            give(scratch, NOBODY, NOBODY)
        spawner = subprocess.Popen(
            [f"{home}/bin/qmail-lspawn", "./Maildir/"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=place.environment,
            bufsize=0,
            **identity(place.uid, place.gid),
        )
        bare = alone(f"{scratch}/bare", min(count, 1000))
        show(count, at_once, spawner, f"{name_of(place.uid)}@mx.example.org".encode(), bare)
        return 0
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def show(count: int, at_once: int, spawner: "subprocess.Popen[bytes]", recipient: bytes, bare: float) -> None:
    """The table.  bare: ms of CPU for the file alone."""
    reader = ReportReader(wide=False)
    deliver(WARM, at_once, spawner, reader, recipient)
    before, begin = spent(spawner.pid), time.monotonic()
    deliver(count, at_once, spawner, reader, recipient)
    seconds, after = time.monotonic() - begin, spent(spawner.pid)
    assert spawner.stdin is not None
    assert spawner.stdout is not None
    spawner.stdin.close()
    wait_for_exit(spawner)
    spawner.stdout.close()
    print(f"{count} deliveries, {at_once} at once: {count / seconds:.0f}/s\n")
    costs: dict[str, float] = {}
    for (name, pid), nanoseconds in after.items():
        costs[name] = costs.get(name, 0.0) + (nanoseconds - before.get((name, pid), 0)) / 1e6 / count
    for name, cost in costs.items():
        print(f"{name:16}{cost:7.3f} ms CPU a delivery")
    print(f"{'all':16}{sum(costs.values()):7.3f} ms   budget <= {BUDGET}")
    print(f"{'the file alone':16}{bare:7.3f} ms   so ours is {sum(costs.values()) - bare:.3f} ms")


def deliver(
    count: int, at_once: int, spawner: "subprocess.Popen[bytes]", reader: ReportReader, recipient: bytes
) -> None:
    """So many deliveries, so many of them under way at a time."""
    assert spawner.stdin is not None
    assert spawner.stdout is not None
    free, asked, heard = list(range(at_once)), 0, 0
    while heard < count:
        while free and asked < count:
            command = Command(free.pop(), MESSAGE, b"from@far.example", recipient)
            spawner.stdin.write(command.encode(NARROW))
            asked += 1
        piece = os.read(spawner.stdout.fileno(), 65536)
        assert piece, "qmail-lspawn has ended"
        for report in reader.feed(piece):
            assert report.letter == b"K", report.text
            free.append(report.slot)
            heard += 1


def alone(folder: str, count: int) -> float:
    """Milliseconds of CPU to put a message into a Maildir, with nothing around it."""
    for name in ("tmp", "new"):
        os.makedirs(f"{folder}/{name}")
    before = time.thread_time()
    for number in range(count):
        new = os.open(f"{folder}/new", os.O_RDONLY | os.O_DIRECTORY)
        file = os.open(f"{folder}/tmp/{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, BODY)
        os.fsync(file)
        os.close(file)
        os.link(f"{folder}/tmp/{number}", f"{folder}/new/{number}")
        os.fsync(new)
        os.close(new)
        os.unlink(f"{folder}/tmp/{number}")
    return (time.thread_time() - before) * 1000 / count


def spent(parent: int) -> dict[tuple[str, int], int]:
    """Nanoseconds of CPU of this process and its children, by name and pid."""
    with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
        pids = [parent, *(int(pid) for pid in file.read().split())]
    found = {}
    for pid in pids:
        with (
            open(f"/proc/{pid}/comm", encoding="ascii") as name,
            open(f"/proc/{pid}/schedstat", encoding="ascii") as cost,
        ):
            found[name.read().strip(), pid] = int(cost.read().split()[0])
    return found


if __name__ == "__main__":
    sys.path[:0] = [CHECKOUT]
    words = sys.argv[1:] + ["5000", "1", "/var/tmp"][len(sys.argv) - 1 :]
    sys.exit(main(int(words[0]), int(words[1]), words[2]))
