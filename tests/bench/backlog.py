"""A queue full of mail that cannot leave: backlog.py [MESSAGES [FOLDER]].

So many messages in S5, all of them due, to a host that refuses every connection, or lets in and says nothing. How long
until qmail-send is there, and how long a new message takes from then on, to a mailbox here and to a host that answers,
beside an empty queue. The queue lies in /dev/shm, or FOLDER.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing

from qmailpy.disk.home import Home
from qmailpy.disk.queue.paths import Paths
from qmailpy.skeletons.submit import Submission
from tests.bench import bench
from tests.bench.leaving import Ended, of_process, sink
from tests.places import Place, embedded
from tests.slow_peers import crowd
from tests.support import NOBODY, free_port, wait_for

PROBES = 20  # new messages each way
TRIED = 100000  # seconds ago that the first of them came: less than the life of a message


def main(count: int, folder: str) -> int:
    """Three times: without, refused, and silent."""
    scratch = tempfile.mkdtemp(prefix="qmailpy-bench-", dir=folder)
    os.chmod(scratch, 0o755)
    try:
        with closing(embedded(f"{scratch}/home", {})) as place, crowd() as silent:
            quick, nobody = free_port(), free_port()
            with sink(quick):
                route(place, quick, nobody)
                run("an empty queue", place)
                begin = time.monotonic()
                fill(place, count)
                print(f"{count} messages put into the queue in {time.monotonic() - begin:.0f} s\n", flush=True)
                run("all of them refused", place)
                route(place, quick, silent.port)
                for path in place.in_queue("remote"):
                    os.utime(f"{place.home}/queue/{path}", (1, 1))
                run("nobody says anything to them", place, silent.hang_up)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def route(place: Place, quick: int, dead: int) -> None:
    place.control("smtproutes", f"quick.example:127.0.0.1:{quick}\ndead.example:127.0.0.1:{dead}\n")


def fill(place: Place, count: int) -> None:
    """As qmail-send would have left them, not fsynced."""
    paths, birth = Paths(Home(place.home.encode())), int(time.time()) - TRIED
    for _ in range(count):
        new = paths.folder(b"mess") + b"/0/new"
        with open(new, "wb") as file:
            file.write(bench.BODY)
            number = os.fstat(file.fileno()).st_ino
        os.rename(new, paths.mess(number))
        for name, content in ((b"info", b"Fsender@mx.example.org\0"), (b"remote", b"Tsomeone@dead.example\0")):
            with open(paths.split(name, number), "wb") as file:
                file.write(content)
                os.utime(file.fileno(), (birth, birth))
        if os.geteuid() == 0:
            for name in (b"mess", b"info", b"remote"):
                os.chown(paths.split(name, number), NOBODY, NOBODY)


def run(name: str, place: Place, release: Callable[[], object] = lambda: None) -> None:
    """release: ends the conversations, for whose end TERM waits."""
    print(name)
    log = f"{place.home}.log"
    begin = time.monotonic()
    place.start()
    print(f"  there after                   {time.monotonic() - begin:8.2f} s")
    assert place.daemons is not None
    for what, address in (("a mailbox here", place.address), ("a host that answers", "x@quick.example")):
        waited = sorted(probe(place, address.encode()) for _ in range(PROBES))
        print(f"  new, to {what:20}{statistics.median(waited) * 1000:8.1f} ms median, {waited[-1] * 1000:.1f} at most")
    print(
        f"  CPU of qmail-send since       {of_process(place.daemons.pid):8.2f} s, its log {os.path.getsize(log)} bytes"
    )
    place.daemons.terminate()
    release()
    bench.stop(place)
    with open(log, "wb"):
        print(flush=True)


def probe(place: Place, address: bytes) -> float:
    """Seconds until it has been delivered."""
    lines = Ended(place)
    begin = time.monotonic()
    submission = Submission(Home(place.home.encode()), resident=True)
    submission.write(bench.BODY)
    result = submission.close(b"", [address])
    assert result.text == b"", result.text
    wait_for(lambda: lines.count() > 0, "a new message", 60)
    return time.monotonic() - begin


if __name__ == "__main__":
    WORDS = [*sys.argv[1:], *["100000", "/dev/shm"][len(sys.argv) - 1 :]]
    sys.exit(main(int(WORDS[0]), WORDS[1]))
