"""The run directories of boot/ under the supervisors that they are for, each a real one from Debian.

What an administrator does: link qmail-send and qmail-queued (the door as a service of its own) for the supervisor, and
from then on only its own commands.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.logs import Log
from tests.neighbours import needs, started
from tests.places import CLASSIC_HOME, Place, children_of, classic
from tests.support import PATH, is_running, read, wait_for, write

pytestmark = [pytest.mark.root, pytest.mark.slow]

SERVICES = ("qmail-send", "qmail-queued")
DAEMONS = {"qmail-clean", "qmail-lspawn", "qmail-rspawn"}
DOOR = {"qmail-queued"}  # also qmail-send's child where both are started at once: the one waits for the other's end


class Kind:
    """A supervisor: its programs, the directory it watches, its words."""

    def __init__(self, folder: str, scan: str, control: dict[str, str], status: str, pid: str, **more: str) -> None:
        """control: what to do -> command; status: command; pid: pattern in its output; more: found, log_time."""
        self.folder, self.scan, self.control, self.status, self.pid = folder, scan, control, status, pid
        self.found = more.get("found", "")  # a command that makes it look for new directories
        self.stamp = more["stamp"]  # pattern of what its logger puts in front of each line


KINDS = {
    "daemontools": Kind(
        "/etc/service",
        "svscan",
        {"down": "svc -d", "up": "svc -u", "hup": "svc -h"},
        "svstat",
        r": up \(pid (\d+)\)",
        stamp=r"@[0-9a-f]{24} ",
    ),
    "runit": Kind(
        "/etc/service",
        "runsvdir",
        {"down": "sv -w 60 down", "up": "sv up", "hup": "sv hup"},
        "sv status",
        r"^run: \S+: \(pid (\d+)\)",
        stamp=r"[0-9-]{10}_[0-9:.]+ ",
    ),
    "s6": Kind(
        "/run/service",
        "s6-svscan",
        {"down": "s6-svc -d", "up": "s6-svc -u", "hup": "s6-svc -h"},
        "s6-svstat",
        r"^up \(pid (\d+)",
        found="s6-svscanctl -a",
        stamp=r"@[0-9a-f]{24} ",
    ),
}


class Supervised:
    """A classic home whose run directories a supervisor of this kind runs."""

    def __init__(self, name: str, place: Place) -> None:
        self.kind, self.boot, self.place = KINDS[name], f"{CLASSIC_HOME}/boot/{name}", place
        self.log = Log(self._lines)

    def link(self) -> None:
        for service in SERVICES:
            os.symlink(f"{self.boot}/{service}", f"{self.kind.folder}/{service}")
        if self.kind.found:
            self._do(self.kind.found, self.kind.folder)
        for service in SERVICES:
            wait_for(lambda one=service: self._status(one)[0], f"{service} to be taken")  # type: ignore[misc]

    def _do(self, command: str, path: str) -> None:
        subprocess.run([*command.split(), path], check=True, stdout=subprocess.DEVNULL)

    def tell(self, word: str, service: str) -> None:
        self._do(self.kind.control[word], f"{self.kind.folder}/{service}")

    def _status(self, service: str) -> tuple[bool, str]:
        words = [*self.kind.status.split(), f"{self.kind.folder}/{service}"]
        done = subprocess.run(words, capture_output=True, check=False)
        text = done.stdout.decode()
        return "unable" not in text and bool(text), text

    def pid(self, service: str) -> int:
        """0 while it is down."""
        found = re.search(self.kind.pid, self._status(service)[1])
        return int(found.group(1)) if found else 0

    def _lines(self) -> list[str]:
        """All that the log service has written so far, without its times."""
        try:
            text = read(f"{self.boot}/qmail-send/log/main/current").decode("latin-1")
        except FileNotFoundError:
            return []
        return [re.sub("^" + self.kind.stamp, "", line) for line in text.split("\n")[:-1]]

    def is_up(self) -> bool:
        send, door = self.pid("qmail-send"), self.pid("qmail-queued")
        with contextlib.suppress(OSError):  # it has just ended
            return bool(send and door) and set(children_of(send)) - DOOR == DAEMONS and self.comm(door) in DOOR
        return False

    def wait_up(self) -> None:
        wait_for(self.is_up, lambda: f"the whole system: {self._status('qmail-send')[1]}\n{self.log.text()}", 60)

    @staticmethod
    def comm(pid: int) -> str:
        return read(f"/proc/{pid}/comm").decode().strip()


@pytest.fixture(params=sorted(KINDS))
def supervised(request: pytest.FixtureRequest) -> Iterator[Supervised]:
    kind = KINDS[request.param]
    commands = [kind.scan, kind.status, kind.found, *kind.control.values()]
    needs(*sorted({command.split()[0] for command in commands if command}))
    place = classic({})
    os.makedirs(kind.folder, exist_ok=True)
    with started([kind.scan, kind.folder]):
        yield Supervised(request.param, place)


def test_a_supervisor_starts_stops_and_repairs_what_is_linked_for_it(supervised: Supervised) -> None:
    place, log = supervised.place, supervised.log
    supervised.link()
    supervised.wait_up()
    door = supervised.pid("qmail-queued")

    # a message, the log in its files, each line with its time, written by the account of the log
    place.send(place.address, "Subject: first\n\nx\n")
    log.ends(1)
    assert b"Subject: first" in place.mail(1)[0]
    assert log.strangers() == []
    current = f"{supervised.boot}/qmail-send/log/main/current"
    assert re.match(supervised.kind.stamp, read(current).decode())
    assert os.stat(current).st_uid == place.uid_of("qmaill")

    # reload: what cannot be read is said, so we know that it was tried
    os.chmod(f"{place.home}/control/locals", 0)
    supervised.tell("hup", "qmail-send")
    log.wait("alert", words="unable to reread control/locals")
    place.control("locals", f"{place.domain}\nsecond.example.org\n")
    supervised.tell("hup", "qmail-send")

    # down: in order, nobody stays, and the door goes on taking mail in
    send = supervised.pid("qmail-send")
    family = [send, *children_of(send).values()]
    before = log.count()
    supervised.tell("down", "qmail-send")
    wait_for(lambda: supervised.pid("qmail-send") == 0, "qmail-send to go down")
    wait_for(gone(family), "the end of all daemons")
    log.wait("exiting", after=before)
    assert supervised.pid("qmail-queued") == door
    place.send(place.address, "Subject: second\n\nx\n")
    assert place.in_queue("todo")
    assert len(place.mail(1)) == 1

    # up again: it is delivered
    before = log.count()
    supervised.tell("up", "qmail-send")
    supervised.wait_up()
    log.ends(1, after=before)
    assert b"Subject: second" in place.mail(2)[1]

    # one dies: all is started anew
    send = supervised.pid("qmail-send")
    family = [send, *children_of(send).values()]
    os.kill(children_of(send)["qmail-rspawn"], signal.SIGKILL)
    wait_for(lambda: supervised.pid("qmail-send") not in (0, send) and supervised.is_up(), "the repair", 60)
    wait_for(gone(family), "the end of the old daemons")

    # both down: nothing is left behind
    send = supervised.pid("qmail-send")
    family = [send, door, *children_of(send).values()]
    for service in SERVICES:
        supervised.tell("down", service)
    wait_for(lambda: not any(supervised.pid(service) for service in SERVICES), "both to go down")
    wait_for(gone(family), "the end of all daemons")
    assert not os.path.exists(f"{CLASSIC_HOME}/door/socket")
    wait_for(place.queue_is_empty, "an empty queue")
    alerts = [line.words for line in log.lines if line.kind == "alert"]
    assert alerts == ["unable to reread control/locals", "oh no! lost spawn connection! dying..."]
    assert log.strangers() == []


def gone(family: list[int]) -> Callable[[], bool]:
    return lambda: not any(is_running(pid) for pid in family)


# --- no supervisor, but OpenRC's own way to run an init script; nobody must be pid 1 for that ---

STATE = "daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp wasinactive"


def openrc(word: str) -> tuple[int, str]:
    """Run the script as rc-service does."""
    environment = {"PATH": PATH, "TERM": "dumb"}
    done = subprocess.run(
        ["/etc/init.d/qmail", word], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def test_openrc_starts_reloads_and_stops() -> None:
    needs("openrc-run")
    place = classic({})
    for name in STATE.split():  # as its boot makes them
        os.makedirs(f"/run/openrc/{name}")
    write("/run/openrc/softlevel", "default\n")
    write("/etc/init.d/localmount", "#!/sbin/openrc-run\nstart() { return 0; }\n", 0o755)
    write("/etc/init.d/qmail", read(f"{CLASSIC_HOME}/boot/openrc/qmail"), 0o755)

    assert openrc("status")[0] == 3
    code, said = openrc("start")
    assert (code, "Starting qmail" in said) == (0, True)
    send = int(read("/run/qmail.pid"))
    family = [send, *children_of(send).values()]
    assert set(children_of(send)) == {*DAEMONS, *DOOR, "splogger"}
    assert openrc("status")[0] == 0
    place.send(place.address)
    assert len(place.mail(1)) == 1
    for word in ("reload", "flush"):
        assert openrc(word)[0] == 0, word
    assert openrc("restart")[0] == 0
    wait_for(gone(family), "the end of the old daemons")
    send = int(read("/run/qmail.pid"))
    family = [send, *children_of(send).values()]
    place.send(place.address)
    assert len(place.mail(2)) == 2
    assert openrc("stop")[0] == 0
    assert openrc("status")[0] == 3
    wait_for(gone(family), "the end of all daemons")
    assert not os.path.exists("/run/qmail.pid")
