"""A thousand peers at once that let us in and then take for ever: slow.py [PEERS].

One embedded home with concurrencyremote as large, over the wide wire. Memory, proportional, of all our processes with
all of them in flight, in clear and under TLS; budget in clear: 150 MB. Then a message for somebody quick, which has to
wait for a slot: how long after one is free.
"""

import os
import shutil
import sys
import tempfile
import time
from contextlib import closing

from qmailpy.disk.home import Home
from qmailpy.skeletons.submit import Submission
from tests import slow_peers, tls_support
from tests.bench import bench
from tests.bench.leaving import comm, sink
from tests.places import Place, embedded, members
from tests.slow_peers import Crowd, address, crowd
from tests.support import free_port, wait_for

BUDGET = 150.0  # MB
TOGETHER = 100  # recipients of a message


def main(count: int) -> int:
    """Both ways."""
    scratch = tempfile.mkdtemp(prefix="qmailpy-bench-", dir=os.environ.get("BENCH_DIR") or "/var/tmp")
    os.chmod(scratch, 0o755)
    try:
        server = tls_support.Authority(scratch).server("slow", "DNS:slow.example")
        for name, words in (("in clear", ()), ("under TLS", (server.certificate, server.key))):
            folder = f"{scratch}/{name.split()[-1]}"
            os.mkdir(folder)
            os.chmod(folder, 0o755)
            with crowd(*words) as slow, closing(embedded(f"{folder}/home", {})) as place:
                print(f"{count} slow peers {name}")
                run(place, slow, count)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def run(place: Place, slow: Crowd, count: int) -> None:
    quick = free_port()
    place.control("concurrencyremote", f"{count}\n")
    place.control("smtproutes", f"quick.example:127.0.0.1:{quick} tls=none\n::{slow.port} tls=may\n")
    with sink(quick):
        place.start()
        home = Home(place.home.encode())
        submit(home, [b"x@quick.example"])
        place.log.ends(1)
        idle = memory(place)
        begin = time.monotonic()
        for first in range(0, count, TOGETHER):
            submit(home, [address(number).encode() for number in range(first, min(first + TOGETHER, count))])
        slow.wait(count, 120)
        print(f"  all in flight after {time.monotonic() - begin:.1f} s; memory, MB (idle):")
        wait_for(lambda: f"remote {count}/{count}" in place.log.text(), "all in flight")
        time.sleep(2)
        after = memory(place)
        for name, size in after.items():
            print(f"    {name:14}{size:7.1f} ({idle.get(name, 0.0):.1f})")
        print(f"  {'all':16}{sum(after.values()):7.1f} ({sum(idle.values()):.1f})   budget in clear {BUDGET:.0f}")
        submit(home, [b"x@quick.example"])
        wait_for(lambda: place.log.text().count("new msg") == count // TOGETHER + 2, "the last message")
        slow.hang_up(b"0")
        begin = time.monotonic()
        place.log.ends(2)
        print(f"  a quick one, after a slot is free: {(time.monotonic() - begin) * 1000:.0f} ms")
        assert place.daemons is not None
        place.daemons.terminate()
        slow.hang_up()
        begin = time.monotonic()
        place.daemons.wait()
        print(f"  the end after TERM and their hanging up: {time.monotonic() - begin:.1f} s\n", flush=True)


def submit(home: Home, recipients: list[bytes]) -> None:
    submission = Submission(home, resident=True)
    submission.write(bench.BODY)
    result = submission.close(b"sender@mx.example.org", recipients)
    assert result.text == b"", result.text


def memory(place: Place) -> dict[str, float]:
    """MB, proportional, of each of our processes."""
    assert place.daemons is not None
    found: dict[str, float] = {}
    for pid in members(place.daemons.pid):
        found[comm(pid)] = found.get(comm(pid), 0.0) + slow_peers.memory(pid)
    return found


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
