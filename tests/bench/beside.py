"""The whole system beside Postfix in one run: beside.py [MESSAGES [TURNS]]; as root, in a machine of its own.

Both are installed as their administrators would have them: ours classic, with qmail-listen, one uid a role, and 10
local and 20 remote deliveries at once; Postfix with its own defaults. Both log to the same log daemon, keep their queue
and mailboxes on the same disk, and are fed by Postfix's smtp-source: 20 connections at a time, a new one for each
message of 2 kB. A run ends when the last message has left the queue. Turns are taken in changing order; what counts are
ratios of medians. CPU is counted twice: of every process here, so of the mail system, the log daemon, source and sink;
and of the whole machine, which has the kernel's own work in it and every neighbour's. On a busy machine the rates say
little: who has more processes gets more of it.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests import namespaces
from tests.bench import ground
from tests.neighbours import is_answered, make_spool, started
from tests.places import CLASSIC_HOME, add_user, make_maildir
from tests.support import PATH, give, run_setup, wait_for, wait_for_exit, write

USERS = ("ann", "bob", "cid", "dee")
AT_ONCE, SIZE = 20, 2000
OURS, POSTFIX = "qmailpy", "Postfix"
PORTS = {OURS: 2525, POSTFIX: 2526}
SINK = 2527
HERE, THERE = namespaces.HOSTNAME, "there.example"
ENDS = {OURS: b"end msg ", POSTFIX: b"removed\n"}  # in the log, once for each message
PAUSE = 0.02  # seconds between two looks at the log
PASS = 1.5  # x Postfix's rate (DESIGN 6)
LOG = "/run/bench.log"

MAIN_CF = """\
compatibility_level = 3.6
myhostname = {here}
mydestination = {here}
home_mailbox = Maildir/
alias_maps =
relay_domains = {there}
relay_transport = smtp:[127.0.0.1]:{sink}
inet_interfaces = loopback-only
inet_protocols = ipv4
queue_directory = {spool}
data_directory = {data}
maillog_file =
"""


def main(count: int, turns: int) -> int:
    """Outside: a disk and a machine."""
    if trouble := namespaces.refusal():
        print(f"beside.py: {trouble}", file=sys.stderr)
        return 1
    missing = [name for name in ("smtp-source", "smtp-sink", "postconf") if shutil.which(name, path=PATH) is None]
    if missing:
        print(f"beside.py: {', '.join(missing)} missing (Debian: postfix)", file=sys.stderr)
        return 1
    scratch = tempfile.mkdtemp(prefix="qmailpy-bench-", dir=os.environ.get("BENCH_DIR") or "/var/tmp")
    os.chmod(scratch, 0o755)
    try:
        first = namespaces.separate()
        if first:
            return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
        code = 1
        try:
            code = inside(scratch, count, turns)
        except BaseException:  # noqa: BLE001 - the first process of a machine: nobody else would print it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def inside(scratch: str, count: int, turns: int) -> int:
    """The machine's first process."""
    machine = f"{ground.make_disk(scratch)}/machine"
    for name in ("qmail", "home", "spool", "data"):
        os.makedirs(f"{machine}/{name}", mode=0o755)
    namespaces.prepare(machine)
    namespaces.bind(f"{namespaces.SCRATCH}/home", "/home")
    ground.listen_as_syslogd(LOG)
    for number, name in enumerate(USERS):
        uid = add_user(name, 2001 + number)
        make_maildir(f"/home/{name}/Maildir")
        for folder in ("", "/new", "/cur", "/tmp"):
            give(f"/home/{name}/Maildir{folder}", uid, uid)
    print(f"{count} messages of {SIZE} bytes a run, {AT_ONCE} connections, {turns} turns, {os.cpu_count()} processors")
    with ExitStack() as stack:
        stack.enter_context(started(["smtp-sink", "-u", "nobody", f"127.0.0.1:{SINK}", "1000"], env={"PATH": PATH}))
        stack.enter_context(ours())
        stack.enter_context(postfix())
        for what, recipients in (
            ("SMTP in, to 4 Maildirs", [f"{user}@{HERE}" for user in USERS]),
            ("SMTP in, on to a host that takes everything", [f"someone@{THERE}"]),
        ):
            compare(what, recipients, count, turns)
    return 0


@contextmanager
def ours() -> Iterator[None]:
    """Everything of ours, as boot/ starts it."""
    run_setup("--home", CLASSIC_HOME)
    subprocess.run([f"{CLASSIC_HOME}/bin/config-fast", HERE], check=True, stdout=subprocess.DEVNULL)
    write(f"{CLASSIC_HOME}/control/rcpthosts", f"{HERE}\n{THERE}\n")
    write(f"{CLASSIC_HOME}/control/smtproutes", f"{THERE}:127.0.0.1:{SINK}\n")
    for name in ("connectionsaddress", "connectionsnetwork"):  # of 127.0.0.1, everybody's here
        write(f"{CLASSIC_HOME}/control/{name}", "0\n")
    environment = {"PATH": f"{CLASSIC_HOME}/bin:{PATH}"}
    listen = ["qmail-listen", "-R", "-H", "-l", HERE, "-c", "1000", "127.0.0.1", str(PORTS[OURS]), "qmail-smtpd"]
    with open(LOG, "ab") as log, ExitStack() as stack:
        words = [f"{CLASSIC_HOME}/bin/qmail-start", "./Maildir/", "splogger", "qmail"]
        daemons = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stderr=log)
        listen[0] = f"{CLASSIC_HOME}/bin/qmail-listen"
        stack.enter_context(started(listen, env=environment, stderr=log))
        wait_for(lambda: is_answered("127.0.0.1", PORTS[OURS]), OURS)
        try:
            yield
        finally:
            daemons.send_signal(signal.SIGTERM)
            wait_for_exit(daemons)


@contextmanager
def postfix() -> Iterator[None]:
    """Debian's services, none of them in a chroot that nobody has filled."""
    spool, data = f"{namespaces.SCRATCH}/spool/postfix", f"{namespaces.SCRATCH}/data"
    make_spool(spool)
    shutil.chown(data, "postfix")
    write("/etc/postfix/main.cf", MAIN_CF.format(here=HERE, there=THERE, sink=SINK, spool=spool, data=data))
    shutil.copy("/etc/postfix/master.cf.proto", "/etc/postfix/master.cf")
    port = f"127.0.0.1:{PORTS[POSTFIX]}/inet"
    for words in (
        ["-F", "*/*/chroot=n"],
        ["-M", f"{port}={port.replace('/', ' ')} n - n - - smtpd"],
        ["-MX", "smtp/inet"],
    ):
        subprocess.run(["postconf", *words], check=True)
    master = ["/usr/lib/postfix/sbin/master", "-d"]
    with started(master, env={"PATH": PATH, "MAIL_CONFIG": "/etc/postfix"}):
        wait_for(lambda: is_answered("127.0.0.1", PORTS[POSTFIX]), POSTFIX)
        yield


def compare(what: str, recipients: list[str], count: int, turns: int) -> None:
    """Both in turns, and a table."""
    found: dict[str, list[tuple[float, float, float]]] = {OURS: [], POSTFIX: []}
    for name in found:
        run(name, recipients, 10 * AT_ONCE)  # everything has been read from disk once
    for turn in range(turns):
        for name in sorted(found, reverse=bool(turn % 2)):
            found[name].append(run(name, recipients, count))
    print(f"\n{what}")
    medians = {name: [statistics.median(each) for each in zip(*runs, strict=True)] for name, runs in found.items()}
    for name, (seconds, cpu, machine) in medians.items():
        each = f"{cpu * 1000 / count:6.2f} ms a message, of the machine{machine * 1000 / count:6.2f}"
        print(f"  {name:10}{count / seconds:8.0f} messages/s   CPU of all processes{each}")
    rate, cost, machine = (medians[POSTFIX][at] / medians[OURS][at] for at in range(3))
    print(f"  {rate:.2f} x Postfix's rate (pass: {PASS}), {1 / cost:.2f} x its CPU, of the machine {1 / machine:.2f} x")
    sys.stdout.flush()


def run(name: str, recipients: list[str], count: int) -> tuple[float, float, float]:
    """Seconds until the last message has gone; CPU seconds of our processes, and of the machine."""
    ended = Ended(ENDS[name])
    own, machine, begin = everybodys_time(), ground.machine_time(), time.monotonic()
    share = count // len(recipients)
    senders = [source(PORTS[name], recipient, share, AT_ONCE // len(recipients)) for recipient in recipients]
    for sender in senders:
        assert sender.wait() == 0, f"smtp-source to {name} failed"
    wait_for(
        lambda: ended.count() >= share * len(recipients), lambda: f"{name}: {ended.seen} of {count}, see {LOG}", 300
    )
    return time.monotonic() - begin, everybodys_time() - own, ground.machine_time() - machine


def everybodys_time() -> float:
    """CPU seconds of the processes of this pid namespace, and of those of their children that have ended."""
    total = 0
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat", "rb") as file:
                total += sum(map(int, file.read().rpartition(b")")[2].split()[11:15]))
    return total / ground.TICK


def source(port: int, recipient: str, count: int, at_once: int) -> "subprocess.Popen[bytes]":
    words = ["smtp-source", "-s", str(at_once), "-m", str(count), "-l", str(SIZE)]
    words += ["-f", f"sender@{HERE}", "-t", recipient, f"127.0.0.1:{port}"]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, env={"PATH": PATH})


class Ended:
    """Counts the lines that end a message, from now on."""

    def __init__(self, mark: bytes) -> None:
        self._mark, self.seen = mark, 0
        self._file = open(LOG, "rb")  # noqa: SIM115 - read until we end
        self._file.seek(0, os.SEEK_END)

    def count(self) -> int:
        time.sleep(PAUSE)
        self.seen += sum(line.startswith(self._mark) for line in self._file.readlines())
        return self.seen


if __name__ == "__main__":
    WORDS: list[int] = [int(word) for word in sys.argv[1:]]
    WAY: Callable[..., int] = main
    sys.exit(WAY(*(WORDS + [2000, 5][len(WORDS) :])))
