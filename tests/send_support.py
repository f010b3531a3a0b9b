"""qmail-send as a real process; the test is at its pipes as the spawners and, if it likes, as qmail-clean."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Self

from qmailpy.disk.home import Home
from qmailpy.disk.queue import listing
from qmailpy.disk.queue.entering import Entering, Names, pull_trigger
from qmailpy.disk.queue.paths import Paths
from qmailpy.wire import delivery
from qmailpy.wire.delivery import Command, CommandReader, Report
from qmailpy.wire.envelope import encode_todo
from qmailpy.wire.parameters import Parameters
from tests.logs import Log
from tests.support import PATH, PATIENCE, read, wait_for

SENDER = b"me@here.example"
LOCAL = b"joe@mx.example.org"
REMOTE = b"you@there.example"
MESSAGE = b"Subject: a test\n\nbody\n"


def pipe() -> tuple[int, int]:
    """Both ends clear of the descriptors 0 to 6."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]


class Store:
    """The queue of a home: messages put in, what is left of them."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.paths = Paths(Home(home.encode()))
        self._names = Names(os.getpid(), int(time.time()))

    def put(
        self,
        recipients: list[bytes],
        sender: bytes = SENDER,
        text: bytes = MESSAGE,
        *,
        pull: bool = True,
        uid: int = 77,
        parameters: Parameters | None = None,
    ) -> int:
        """Accept a message, as the door does.  Result: its number."""
        before = os.umask(0o033)
        try:
            entering = Entering(self.paths, self._names, os.geteuid())
            entering.begin(b"Received: (qmail 1 invoked by uid 77); 21 Nov 2026 02:27:41 -0000\n" + text)
            content = (parameters or Parameters()).envelope(sender, recipients)
            entering.commit(encode_todo(uid, 4711, content[:-1]))
        finally:
            os.umask(before)
        if pull:
            pull_trigger(self.paths)
        return entering.number

    def files(self) -> list[str]:
        """What messages have left in the queue, as mess/7/123."""
        found = []
        for name in ("pid", "mess", "intd", "todo", "info", "local", "remote", "bounce"):
            for folder, _, files in os.walk(f"{self.home}/queue/{name}"):
                found += [f"{folder}/{file}".removeprefix(f"{self.home}/queue/") for file in files]
        return sorted(found)

    def state(self, number: int) -> set[str]:
        """Which of its files exist."""
        return {name.partition("/")[0] for name in self.files() if name.rpartition("/")[2] == str(number)}

    def read(self, name: str, number: int) -> bytes:
        """A file of a message.  name: info, local, remote, bounce, mess."""
        split = name in ("info", "local", "remote", "mess")
        path = self.paths.split(name.encode(), number) if split else self.paths.folder(name.encode()) + b"/%d" % number
        return read(os.fsdecode(path))

    def age(self, name: str, number: int, seconds: int) -> None:
        """Make a file look so many seconds older than now."""
        split = name in ("info", "local", "remote", "mess")
        path = self.paths.split(name.encode(), number) if split else self.paths.folder(name.encode()) + b"/%d" % number
        when = int(time.time()) - seconds
        os.utime(path, (when, when))

    def mtime(self, name: str, number: int) -> int:
        return int(os.stat(self.paths.split(name.encode(), number)).st_mtime)

    def messages(self) -> dict[int, listing.Message]:
        """S5, by number."""
        return {message.number: message for message in listing.messages(self.paths)}


class PlayedSpawner:
    """One spawner's two pipes, in the test's hands."""

    def __init__(self, commands: int, reports: int, notation: delivery.Notation) -> None:
        self.commands, self.reports, self.notation = commands, reports, notation
        self._reader = CommandReader(notation)
        self._heard: list[Command] = []

    def announce(self, slots: int) -> None:
        os.write(self.reports, self.notation.announce(slots))

    def command(self, seconds: float = PATIENCE) -> Command:
        """The next command; fails the test when none comes."""
        deadline = time.monotonic() + seconds
        while not self._heard:
            left = deadline - time.monotonic()
            assert left > 0, "waited in vain for a command"
            if select.select([self.commands], [], [], left)[0]:
                piece = os.read(self.commands, 65536)
                assert piece, "qmail-send has closed the pipe"
                self._heard += self._reader.feed(piece)
        return self._heard.pop(0)

    def has_command(self) -> bool:
        """Whether command() would give one without waiting."""
        return bool(self._heard or select.select([self.commands], [], [], 0)[0])

    def is_quiet(self, seconds: float = 0.2) -> bool:
        """Whether no command comes for a while: the only way to see that nothing happens."""
        return not self._heard and not select.select([self.commands], [], [], seconds)[0]

    def report(self, slot: int, letter: bytes, text: bytes = b"") -> None:
        os.write(self.reports, Report(slot, letter, text).encode(self.notation))

    def serve(self, letter: bytes = b"K", text: bytes = b"did 1+0+0\n") -> Command:
        """Answer the next command."""
        command = self.command()
        self.report(command.slot, letter, text)
        return command

    def close(self) -> None:
        for end in (self.commands, self.reports):
            if end >= 0:
                os.close(end)
        self.commands = self.reports = -1


class Sender:
    """qmail-send, running."""

    def __init__(
        self,
        home: str,
        *,
        slots: tuple[int, int] = (120, 120),
        words: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        played_clean: bool = False,
        log: int = -1,
        wrapper: tuple[str, ...] = (),
        announce: bool = True,
    ) -> None:
        """slots: announced; played_clean: the test answers; log: descriptor instead of a file; wrapper: as strace."""
        self.home = home
        self.environment = {"PATH": PATH, **(environment or {})}
        self._log_path = f"{home}.log"
        self._from = os.path.getsize(self._log_path) if os.path.exists(self._log_path) else 0
        self.pid, self.status = 0, None  # type: int, int | None
        notation = delivery.WIDE if "wide" in words else delivery.NARROW
        ends = {}
        theirs = []
        for name in ("local", "remote", "clean"):
            commands, reports = pipe(), pipe()
            theirs += [commands[1], reports[0]]
            ends[name] = commands[0], reports[1]
        out = log if log >= 0 else os.open(self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 20) for each in (out, *theirs)]
        program = [*wrapper, f"{home}/bin/qmail-send", *words]
        self.clean = PlayedSpawner(*ends["clean"], delivery.NARROW)
        self._cleaner: subprocess.Popen[bytes] | None = None
        if not played_clean:
            self._cleaner = subprocess.Popen(
                [f"{home}/bin/qmail-clean"], stdin=ends["clean"][0], stdout=ends["clean"][1], env=self.environment
            )
            self.clean.close()
        self.pid = os.posix_spawn(
            program[0],
            program,
            self.environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, each, target) for target, each in enumerate(high)],
            setsigdef=[signal.SIGPIPE],
        )
        for each in (*high, *theirs, null, *([out] if log < 0 else [])):
            os.close(each)
        self.local = PlayedSpawner(*ends["local"], notation)
        self.remote = PlayedSpawner(*ends["remote"], notation)
        self.log = Log(self.lines, lambda: self.poll() is None)
        if announce:
            self.local.announce(slots[0])
            self.remote.announce(slots[1])

    @property
    def cleaner_pid(self) -> int:
        assert self._cleaner is not None
        return self._cleaner.pid

    def lines(self) -> list[str]:
        """The log of this process."""
        return read(self._log_path)[self._from :].decode("latin-1").split("\n")[:-1]

    def wait_started(self) -> "Sender":
        self.log.wait("status")
        return self

    def spawner(self, channel: int) -> PlayedSpawner:
        return (self.local, self.remote)[channel]

    def poll(self) -> int | None:
        """Its exit status, once it has ended."""
        if self.status is None and self.pid:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit status."""
        wait_for(lambda: self.poll() is not None, "the end of qmail-send", seconds)
        assert self.status is not None
        return self.status

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def term(self) -> int:
        """Its exit status after a TERM."""
        assert self.poll() is None, f"it has ended by itself: {self.status}\n{self.log.text()}"
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """As a power cut does; and its neighbours with it."""
        if self.poll() is None:
            self.signal(signal.SIGKILL)
            self.wait()
        self.close()

    def close(self) -> None:
        """End everything that is still there."""
        for each in (self.local, self.remote, self.clean):
            each.close()
        if self.poll() is None:
            self.signal(signal.SIGKILL)
            self.wait()
        if self._cleaner is not None:
            try:
                self._cleaner.wait(PATIENCE)
            finally:
                self._cleaner.kill()
                self._cleaner.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clean_for(sender: Sender, store: Store) -> Callable[[], None]:
    """Answers like qmail-clean for a played one, whatever has been asked so far."""

    def answer() -> None:
        while select.select([sender.clean.commands], [], [], 0)[0]:
            for command in os.read(sender.clean.commands, 65536).split(b"\0")[:-1]:
                word, _, number = command.partition(b"/")
                paths = [store.paths.intd(int(number))]
                paths.append(store.paths.mess(int(number)) if word == b"foop" else store.paths.todo(int(number)))
                for path in paths:
                    if os.path.exists(path):
                        os.unlink(path)
                os.write(sender.clean.reports, b"+")

    return answer


@contextlib.contextmanager
def senders(home: str, *, waits: bool = True, **usual: object) -> Iterator[Callable[..., Sender]]:
    """What starts a qmail-send; at the end of the block they all end.

    waits: until it is up; usual: words for Sender, where a start says nothing else.
    """
    with contextlib.ExitStack() as running:

        def start(**options: object) -> Sender:
            sender = Sender(home, **{**usual, **options})  # type: ignore[arg-type]
            running.callback(sender.close)
            return sender.wait_started() if waits else sender

        yield start
