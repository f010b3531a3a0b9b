"""qmail-rspawn: runs remote deliveries.

Runs as: qmailr.  Started by qmail-start.
Descriptors: 0 commands, 1 reports (spec/03-pipes.md 2-4, 7).
Exit codes: 0 the commands ended and the last delivery has reported; 111 cannot start.
Trusts: nothing that qmail-remote says; its report is reduced by rules/report.
This process stays small: the conversations live in a worker child with the DNS loaded. If the worker crashes its
deliveries become temporary failures and the next delivery starts another. While it has deliveries it is asked now and
then whether it is there; one that does not answer any more (a loop without end, a call that blocks) would hold all
remote mail, and is killed; so is one that was left and does not go. A qmail-remote that has been replaced (first on
PATH, not our launcher), or $QMAILREMOTE, is executed for each delivery.
"""

import _socket
import array
import posix
from collections import deque

from qmailpy.disk import control, tcpto
from qmailpy.disk.home import Home
from qmailpy.rules import trace
from qmailpy.rules.report import reduce
from qmailpy.skeletons.outcome import Outcome
from qmailpy.skeletons.spawner import Spawner
from qmailpy.system import descriptors, limits, process, signals, title
from qmailpy.wire.delivery import TRACE, TRACED, WISHED, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.loop import Timer

    Reporter = Callable[[bytes, bytes], None]

IDLE = 60.0  # seconds that a worker without conversations is kept: it has 20 MB
BEAT = 20.0  # seconds between two questions whether the worker is there
BEATS = 3  # so many without an answer, and it is not: no single step of a conversation takes a second
GRACE = 20.0  # seconds that a worker whose socket is closed may take to leave
OUTPUT_LIMIT = 64 << 10  # bytes of qmail-remote's report that are kept
ANSWER_LIMIT = 64 << 10  # bytes of a worker's packet, which keeps below it; twice that would be mapped each time
TEMPORARY_EXIT, KILLED = 111, 9
FILES, MORE_FILES = 4, 64  # descriptors of a conversation at most, and of the worker besides
CONCURRENCY = 20  # of control/concurrencyremote, where it says nothing
_ITS_OWN = b"by=qmail-remote "  # how the worker's stories begin (remote/story)
PING = bytes(4)  # a packet that is no request; the worker sends it back
STUCK = b"qmail-remote did not answer any more and was ended. Possible duplicate! (#4.4.2)\n"


class _Worker:
    """The child that holds the conversations."""

    def __init__(self, pid: int, socket: _socket.socket) -> None:
        self.pid, self.socket = pid, socket
        self.reports: dict[int, Reporter] = {}
        self.commands: dict[int, Command] = {}  # by the same numbers, where stories are told
        self.unsent: deque[tuple[bytes, int]] = deque()  # packets, and messages of our own to close
        self.timer: Timer | None = None  # until it leaves
        self.silent = 0  # questions whether it is there since it has said anything
        self.watched = False


class Rspawn:
    """The plug in the spawner's skeleton."""

    def __init__(self, home: Home, argv: list[bytes]) -> None:
        """argv: qmail-rspawn's."""
        self._home = home
        self._spawner = Spawner(home, argv, self._lower_limits)
        self._files = limits.soft_open_files()  # what other people's programs get
        self._spawner.slots = _have_room_for(self._spawner.slots, home)
        self._executed: dict[int, Outcome] = {}
        self._worker: _Worker | None = None
        self._leaving: dict[int, Timer] = {}  # workers that are to end: by pid, when they are made to
        self._serial = 0

    def serve(self) -> int:
        """Until qmail-send closes the pipe."""
        return self._spawner.run(self._deliver, self._ended)

    def _lower_limits(self) -> None:
        limits.set_soft_open_files(self._files)

    def _deliver(self, command: Command, message: int, report: "Reporter") -> None:
        host = command.recipient.rpartition(b"@")[2]
        environment = process.environment()
        program = environment.get(b"QMAILREMOTE") or process.find(b"qmail-remote", environment.get(b"PATH", b""))
        if b"/" not in program:  # not on PATH at all: ours
            program = self._home.program("qmail-remote")
        if self._spawner.is_ours(program):
            self._ask_worker(host, command, message, report)
        else:
            self._execute(program, host, command, message, report)

    # our own, in the worker

    def _ask_worker(self, host: bytes, command: Command, message: int, report: "Reporter") -> None:
        worker = self._worker or self._hire()
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None
        self._serial = self._serial % 0xFFFFFFFF + 1  # never 0, which is PING
        number = self._serial
        packet = number.to_bytes(4, "little") + b"\0".join((host, command.sender, command.recipient))
        if self._spawner.traces:
            packet += b"\0" + TRACED if command.traced else b"\0"
            worker.commands[number] = command
        if command.wished:
            packet += (b"\0" if self._spawner.traces else b"\0-\0") + command.wished
        worker.reports[number] = report
        worker.unsent.append((packet, message))
        if not worker.watched:
            worker.watched, worker.silent = True, 0
            self._spawner.loop.after(BEAT, lambda: self._watch(worker))
        self._feed(worker)

    def _watch(self, worker: _Worker) -> None:
        """While it has deliveries: is it there?  Counted in questions, not in seconds: we may have been stopped too."""
        if not worker.reports or worker.socket.fileno() < 0:
            worker.watched = False
            return
        if worker.silent >= BEATS:
            if worker.pid:
                process.kill(worker.pid, signals.SIGKILL)
            self._lose(worker, STUCK)
            return
        worker.silent += 1
        self._spawner.loop.after(BEAT, lambda: self._watch(worker))
        try:
            worker.socket.send(PING)
        except OSError:  # full: then it has something else to answer; or gone, which is heard soon
            return

    def _feed(self, worker: _Worker) -> None:
        """Hand over what the worker's socket takes now: a worker that does not read must not stop us."""
        while worker.unsent:
            packet, message = worker.unsent[0]
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [message]))
            try:
                worker.socket.sendmsg([packet], [rights])
            except BlockingIOError:
                break
            except OSError:
                self._lose(worker)
                return
            posix.close(message)
            worker.unsent.popleft()
        again = (lambda: self._feed(worker)) if worker.unsent else None
        self._spawner.loop.on_write(worker.socket.fileno(), again)

    def _hire(self) -> _Worker:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            pid = process.fork(lambda: _work(self._home, theirs.fileno()))
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        posix.set_inheritable(ours.fileno(), False)
        ours.setblocking(False)
        worker = _Worker(pid, ours)
        self._worker = worker
        self._spawner.loop.on_read(ours.fileno(), lambda: self._hear(worker))
        return worker

    def _hear(self, worker: _Worker) -> None:
        try:
            answer = worker.socket.recv(ANSWER_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            answer = b""
        if len(answer) < 4:
            self._lose(worker)
            return
        worker.silent = 0
        number = int.from_bytes(answer[:4], "little")
        command = worker.commands.get(number)
        if command is not None and answer[4:5] == TRACE:
            if answer[5:].startswith(_ITS_OWN):  # or what a server has taken over would speak in our name
                self._spawner.tell(command, answer[5:])
            return
        worker.commands.pop(number, None)
        report = worker.reports.pop(number, None)
        if report is not None:
            report(*reduce(answer[4:], 0, 0))
        if not worker.reports and worker.timer is None:
            worker.timer = self._spawner.loop.after(IDLE, lambda: self._lose(worker))

    def _lose(self, worker: _Worker, text: bytes = b"") -> None:
        """Its socket has ended, or it was idle too long: whatever it was doing is to be tried again.  text: and why."""
        if worker.socket.fileno() >= 0:
            self._spawner.loop.forget(worker.socket.fileno())
            worker.socket.close()
        if self._worker is worker:
            self._worker = None
        if worker.pid:
            pid, worker.pid = worker.pid, 0
            self._leaving[pid] = self._spawner.loop.after(GRACE, lambda: process.kill(pid, signals.SIGKILL))
        while worker.unsent:
            posix.close(worker.unsent.popleft()[1])
        reports, worker.reports = worker.reports, {}
        for report in reports.values():
            report(*((b"Z", text) if text else reduce(b"", 0, KILLED)))

    # somebody else's

    def _execute(self, program: bytes, host: bytes, command: Command, message: int, report: "Reporter") -> None:
        if command.traced:
            self._spawner.tell(command, trace.encode({"event": b"execute", "program": program}))
        argv = [b"qmail-remote", host, command.sender, command.recipient]
        outcome = Outcome(self._spawner.loop, _first_part, reduce, report)
        environment = process.environment()
        environment.pop(WISHED, None)
        if command.wished:
            environment[WISHED] = command.wished

        def child() -> int:
            process.arrange({0: message, 1: outcome.write_end, 2: outcome.write_end})
            process.close_above(2)
            self._lower_limits()
            try:
                process.execute(program, argv, environment)
            except OSError:
                return TEMPORARY_EXIT  # also where it is missing: mail waits for it to come back

        try:
            self._executed[process.fork(child)] = outcome
        except OSError:
            outcome.forget()
            raise
        posix.close(message)
        outcome.begun()

    def _ended(self, pid: int, ending: process.Ending) -> None:
        if self._worker is not None and pid == self._worker.pid:
            self._worker.pid = 0  # its socket says the rest; the number may be somebody else's from now on
        if pid in self._leaving:
            self._leaving.pop(pid).cancel()
        if pid in self._executed:
            self._executed.pop(pid).end(ending.code, ending.signal)


def _have_room_for(slots: int, home: Home) -> int:
    """How many of so many deliveries the limit of open files, raised as far as we may, has room for."""
    files = limits.open_files(FILES * slots + MORE_FILES)
    room = max(1, min(slots, (files - MORE_FILES) // FILES))
    wanted = min(slots, control.integer(home, "concurrencyremote", CONCURRENCY))
    if room < wanted:
        words = b"qmail-rspawn: warning: only %d of %d deliveries at once: the limit of open files is %d, they need %d"
        descriptors.say(words % (room, wanted, files, FILES * wanted + MORE_FILES))
    return room


def _first_part(output: bytes) -> bytes:
    return output[:OUTPUT_LIMIT]


def _work(home: Home, inherited: int) -> int:
    """The worker's life."""
    from qmailpy.remote import worker

    signals.as_for_a_new_program()
    signals.ignore(signals.SIGPIPE)
    process.arrange({0: inherited})
    posix.set_inheritable(0, False)
    process.close_above(2)
    title.set_title("qmail-remote")
    return worker.serve(home, 0)


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file.  argv: program [wide] [traces] [resumed]."""
    posix.chdir(home.path)
    title.set_title("qmail-rspawn")
    tcpto.zero(home)
    return Rspawn(home, argv).serve()
