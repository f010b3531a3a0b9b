"""Mail on its way out while every daemon in turn is killed: all of it arrives, and little of it twice."""

import contextlib
import os
import random
import re
import signal
import subprocess
from collections import Counter

from tests.logs import Line, in_order
from tests.neighbours import started
from tests.places import Place, children_of
from tests.reception_support import LISTENER, serving
from tests.send_support import Sender
from tests.support import bare_home, is_running, read, wait_for, write
from tests.world import FAR, WAYS, world

SLOTS = 20  # concurrencyremote
# whose death may leave it open whether a message has been taken; without the others qmail-send still ends in order
DOUBTFUL, ORDERLY = ("qmail-remote", "qmail-rspawn", "qmail-send"), ("qmail-clean", "qmail-queued")
# what of a message is work; a text or an envelope alone is litter of somebody killed, and qmail-send removes it in time
WORK = ("info", "local", "remote", "todo", "bounce")
SUPERVISOR = "while test -e {flag}; do qmail-start ./Maildir/; done"


class Supervised:
    """A system that is started again whenever it ends."""

    def __init__(self, place: Place, pid: int) -> None:
        """pid: the supervisor's."""
        self.place, self.pid = place, pid

    def find(self, name: str) -> int:
        """The pid of one of the daemons; 0 while there is none."""
        try:
            send = children_of(self.pid)["qmail-send"]
            if name == "qmail-send":
                return send if hears_signals(send) else 0
            daemons = children_of(send)
            return children_of(daemons["qmail-rspawn"])[name] if name == "qmail-remote" else daemons[name]
        except (KeyError, FileNotFoundError, ProcessLookupError):  # it is being started, or has just ended
            return 0

    def wait_up(self) -> int:
        """Result: the pid of qmail-send."""
        return wait_for(lambda: self.find("qmail-send"), "the system")

    def tell(self, name: str, number: signal.Signals) -> bool:
        """Send this daemon a signal.  Result: whether it was there."""
        if pid := self.find(name):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)
                return True
        return False

    def wait_told(self, name: str, number: signal.Signals) -> None:
        wait_for(lambda: self.tell(name, number), lambda: f"{name}\n{self.place.log.text()}")

    def kill(self, name: str) -> None:
        """When it is there; and its place is taken, where qmail-send has noticed or is dead itself."""
        send = self.wait_up()
        self.wait_told(name, signal.SIGKILL)
        if name != "qmail-remote":
            wait_for(lambda: not is_running(send), lambda: f"the end of qmail-send, without its {name}")
            self.wait_up()

    def try_all(self) -> bool:
        """Nobody waits for the schedule.  Result: True."""
        self.tell("qmail-send", signal.SIGALRM)
        return True

    def wait_arrived(self, folder: str, count: int) -> None:
        """Until so many messages lie in the sink's directory."""
        wait_for(
            lambda: self.try_all() and len(os.listdir(folder)) >= count,
            lambda: f"{count} messages in {folder}\n{self.place.log.text()}",
        )


def hears_signals(pid: int) -> bool:
    """Whether it has come so far: before, they would end it."""
    found = re.search(rb"^SigCgt:\s*([0-9a-f]+)$", read(f"/proc/{pid}/status"), re.MULTILINE)
    return found is not None and bool(int(found.group(1), 16) & 1 << signal.SIGCHLD - 1)


@WAYS
def test_whoever_is_killed_no_mail_is_lost(place: Place, tmp_path: object) -> None:
    each = 4 if place.exec_forced else 40
    chance = random.Random(each)
    victims = [*DOUBTFUL, *ORDERLY]
    chance.shuffle(victims)
    domains = [f"{name}.far.example" for name in victims]
    place.control("holddomains", "\n".join(domains))
    flag = write(f"{tmp_path}/run", "")
    with (
        world(tmp_path, {"far.example": f"* IN MX 10 mx\nmx IN A {FAR}\n"}) as sink,
        open(f"{place.home}.log", "ab") as log,
        started(
            ["sh", "-c", SUPERVISOR.format(flag=flag)], env=place.environment, cwd="/", stdout=log, stderr=log
        ) as shell,
        serving(place, LISTENER, 2525, RELAYCLIENT="", QMAILEXEC=""),
    ):
        system = Supervised(place, shell.pid)
        system.wait_up()
        for domain in domains:
            submit(each, domain)
        for at, name in enumerate(victims):
            come = len(os.listdir(sink.folder)) + chance.randrange(1, each // 2)
            place.control("holddomains", "\n".join(domains[at + 1 :]))
            system.wait_told("qmail-send", signal.SIGHUP)
            if name != "qmail-remote" or not place.exec_forced:  # which lives no longer than a delivery
                system.wait_arrived(sink.folder, come)
            system.kill(name)
        place.send("last@in.far.example")  # there is a door
        wait_for(lambda: system.try_all() and not place.in_queue(*WORK), lambda: f"the last end\n{place.log.text()}")
        os.unlink(flag)
        system.wait_told("qmail-send", signal.SIGTERM)
        shell.wait(30)
        copies = Counter(recipient_of(text) for text in sink.mail(each * len(domains) + 1))

    assert len(copies) == each * len(domains) + 1  # none is lost
    interrupted = interruptions(place.log.lines)
    twice = {recipient: times - 1 for recipient, times in copies.items() if times > 1}
    # of a qmail-send that was killed the last lines are missing
    unexplained = [recipient for recipient, times in twice.items() if times > interrupted[recipient]]
    assert len(unexplained) <= SLOTS, (unexplained, place.log.text())
    assert sum(twice.values()) <= SLOTS * len(DOUBTFUL), twice
    check = place.run("qmail-queuecheck", uid=0)
    litter = place.in_queue()
    assert (check.code, check.output) == (0, b"messages: %d\n" % len(place.in_queue("mess"))), check.output
    assert len(litter) <= 2 * SLOTS, litter
    assert not [line for line in place.log.lines if line.kind in ("bounce", "triple")]


def submit(count: int, domain: str) -> None:
    """So many messages, to another recipient each, by four connections."""
    words = ["-d", "-s", "4", "-m", str(count), "-f", "eve@lan.example", "-t", f"ann@{domain}", "-N", "127.0.0.1:2525"]
    subprocess.run(["smtp-source", *words], check=True, stdin=subprocess.DEVNULL, timeout=60)


def recipient_of(text: bytes) -> str:
    found = re.search(rb"^X-Rcpt-Args: <(.*?)>", text, re.MULTILINE)
    assert found, text
    return found.group(1).decode()


def interruptions(lines: list[Line]) -> Counter[str]:
    """How often a delivery to each recipient began of which nobody knows whether it came to its end."""
    found: Counter[str] = Counter()
    running: dict[str, str] = {}
    for line in lines:
        if line.kind == "starting":
            if line.delivery == "1":  # another qmail-send
                found.update(running.values())
                running = {}
            running[line.delivery] = line.recipient
        elif line.kind == "delivery":
            recipient = running.pop(line.delivery)
            assert line.outcome != "failure", line
            if "crashed" in line.report or "Possible_duplicate!" in line.report:
                found[recipient] += 1
    found.update(running.values())
    return found


def test_a_daemon_that_died_before_qmail_send_looked_is_missed_too(tmp_path: object) -> None:
    """As qmail-start's children may: nothing runs on without the door, or without its logger."""
    home = bare_home(f"{tmp_path}/home")
    dead = ("/bin/sh", "-c", 'true & exec "$0" watch=$!')  # it is nobody's to reap but qmail-send's
    with Sender(home, wrapper=dead) as sender:
        assert sender.wait() == 0
        in_order(sender.log, r"status: local 0/10 remote 0/20", r"alert: .*", r"status: exiting")
