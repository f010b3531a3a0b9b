"""What a message by SMTP costs qmail-listen and the door, and what idle connections cost: listen.py [MESSAGES [IDLE]].

The door and the listener run in an embedded home; smtp-source (Postfix) sends with 20 connections at a time, a
connection for each message. CPU is the kernel's own count in nanoseconds (/proc/PID/schedstat) of each kind of process:
workers, the children that they ask, the master, the door. Then so many connections say EHLO and nothing more: what they
take in memory (proportional, of all these processes together), and how long a new client waits for its greeting, before
and meanwhile. BENCH_DIR=/somewhere: work on that file system, instead of the one that tests/bench/ground chooses.
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from tests.bench import ground
from tests.places import embedded, identity, name_of
from tests.support import CHECKOUT, NOBODY, give, wait_for, write

AT_ONCE = 20  # as when the budget was measured
SIZE = 2000  # bytes of a message
WARM = 40  # messages before the count begins
BUDGET = {"workers": "0.35", "door": "0.4", "all": "0.75"}  # ms of CPU a message (DESIGN 6)
MEMORY = 100.0  # MB in all, for 5,000 idle connections
ADDRESSES = 200  # of the idle clients
ASKED = 300  # greetings that are waited for


def main(count: int, idle: int) -> int:
    """Find ground to stand on, make a home there, and go on as its owner."""
    if shutil.which("smtp-source", path="/usr/sbin:/usr/bin") is None:
        print("smtp-source is missing (Debian: postfix)", file=sys.stderr)
        return 1
    scratch = tempfile.mkdtemp(prefix="qmailpy-bench-", dir=os.environ.get("BENCH_DIR") or "/var/tmp")
    os.chmod(scratch, 0o755)
    try:
        if ground.can_be_private():
            return ground.go_private([__file__, str(count), str(idle), "private", scratch])
        return at(scratch, count, idle)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def private(scratch: str, count: int, idle: int) -> int:
    """In namespaces of our own."""
    return at(ground.prepare(scratch), count, idle)


def at(folder: str, count: int, idle: int) -> int:
    """Make the home in this directory, and run."""
    if not ground.has_journal(folder):
        print("warning: ext4 without a journal: making files takes long here, and that is what you will see\n")
    home = f"{folder}/home"
    place = embedded(home, {})
    for name in ("connectionsaddress", "connectionsnetwork"):
        write(f"{home}/control/{name}", "0\n")
    write(f"{home}/control/rcpthosts", f"{place.domain}\n")
    if os.geteuid() == 0:
        give(folder, NOBODY, NOBODY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(2 * idle + 1000, 4096),) * 2)
    done = subprocess.run(
        [sys.executable, "-P", "-B", __file__, str(count), str(idle), "inside", folder],
        env={**os.environ, "PYTHONPATH": CHECKOUT},
        check=False,
        **identity(NOBODY, NOBODY),
    )
    return done.returncode


def inside(folder: str, count: int, idle: int) -> int:
    """The runs and their tables."""
    home = f"{folder}/home"
    environment = {"PATH": f"{home}/bin:{os.environ['PATH']}", "QMAILHOME": home}
    with open(f"{folder}/log", "wb") as log:
        door = subprocess.Popen([f"{home}/bin/qmail-queued", "service"], env=environment, stderr=log)
        wait_for(lambda: os.path.exists(f"{home}/door/socket"), "the door")
        words = ["-1", "-H", "-R", "-l", "mx.example.org", "-c", str(idle + 1000), "-b", "1000"]
        words += ["0", "0", f"{home}/bin/qmail-smtpd"]
        listener = subprocess.Popen(
            [f"{home}/bin/qmail-listen", *words], env=environment, stdout=subprocess.PIPE, stderr=log
        )
        try:
            assert listener.stdout is not None
            port = int(listener.stdout.readline())
            wait_for(lambda: len(below(listener.pid)) > 1, "workers")
            messages(count, port, listener.pid, door.pid, f"{name_of(os.geteuid())}@mx.example.org")
            connections(idle, port, [listener.pid, door.pid])
        finally:
            for process in (listener, door):
                process.terminate()
                process.wait()
    with open(f"{folder}/log", encoding="latin-1") as file:
        print("".join(file.readlines()[:20]), end="")
    return 0


# --- messages ---


def messages(count: int, port: int, listener: int, door: int, address: str) -> None:
    send(WARM, port, address)
    before, begin = spent(listener, door), time.monotonic()
    send(count, port, address)
    seconds = time.monotonic() - begin
    cost = {name: value - before.get(name, 0.0) for name, value in spent(listener, door).items()}
    cost["all"] = sum(cost.values())
    print(f"{count} messages of {SIZE} bytes, {AT_ONCE} connections at a time: {count / seconds:.0f} messages/s")
    print("  CPU, ms a message")
    for name, value in cost.items():
        print(f"    {name:10}{value * 1000 / count:8.3f}   {BUDGET.get(name, '')}")
    print(flush=True)


def send(count: int, port: int, address: str) -> None:
    """A connection for each message, as smtp-source does it."""
    words = ["/usr/sbin/smtp-source", "-s", str(AT_ONCE), "-m", str(count), "-l", str(SIZE)]
    subprocess.run([*words, "-f", "sender@example.org", "-t", address, f"127.0.0.1:{port}"], check=True)


def spent(listener: int, door: int) -> dict[str, float]:
    """CPU seconds of each kind of process."""
    found = {"workers": 0.0, "asked": 0.0, "master": seconds_of(listener), "door": seconds_of(door)}
    for worker in below(listener):
        found["workers"] += seconds_of(worker)
        found["asked"] += sum(seconds_of(child) for child in below(worker)) + seconds_of_dead(worker)
    return found


def seconds_of_dead(pid: int) -> float:
    """CPU seconds of children that it has waited for."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        words = file.read().rpartition(b")")[2].split()
    return (int(words[13]) + int(words[14])) / ground.TICK


def below(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def seconds_of(pid: int) -> float:
    """CPU seconds of all threads."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


# --- connections ---


def connections(count: int, port: int, roots: list[int]) -> None:
    quiet, without = memory(roots), greeting(port)
    clients = []
    try:
        for number in range(count):
            client = socket.create_connection(("127.0.0.1", port), 30, (f"127.0.0.{1 + number % ADDRESSES}", 0))
            clients.append(client)
            client.recv(1000)
            client.sendall(b"EHLO idle.example.org\r\n")
            client.recv(1000)
        busy, among = memory(roots), greeting(port)
    finally:
        for client in clients:
            client.close()
    each = (busy - quiet) * 1024 / max(count, 1)
    print(f"{count} idle connections")
    print(
        f"  memory: {busy:.1f} MB in all ({quiet:.1f} without), {each:.1f} kB each; at most {MEMORY:.0f} MB, 15 kB each"
    )
    print(f"  a new client's greeting, ms: median {among[0]:.2f}, 99 of 100 within {among[1]:.2f}")
    print(f"  without them: median {without[0]:.2f}, 99 of 100 within {without[1]:.2f}\n", flush=True)


def memory(roots: list[int]) -> float:
    """MB, proportional, of these processes and all below."""
    total, left = 0, list(roots)
    while left:
        pid = left.pop()
        try:
            left += below(pid)
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):  # a child that has just ended
            continue
    return total / 1024


def greeting(port: int) -> tuple[float, float]:
    """Milliseconds from connect to the first byte: median, and what 99 of 100 do not exceed."""
    waited = []
    for _ in range(ASKED):
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), 30) as client:
            client.recv(1000)
        waited.append((time.monotonic() - begin) * 1000)
    waited.sort()
    return waited[ASKED // 2], waited[ASKED * 99 // 100]


if __name__ == "__main__":
    COUNT, IDLE = (int(word) for word in [*sys.argv[1:3], "2000", "5000"][:2])
    WAYS = {"private": private, "inside": inside}
    sys.exit(WAYS[sys.argv[3]](sys.argv[4], COUNT, IDLE) if len(sys.argv) > 3 else main(COUNT, IDLE))
