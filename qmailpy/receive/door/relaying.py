"""The door of a host without a queue: takes a message, has it handed to the relay at once, and answers what came of it.

For hosts where the logins of a relay are not every user's own: control/smtpauth belongs to qmailr, and so does this
process; no user sees what stands in it. A message is in memory, in a file that has no name, until a child has handed it
over; nothing is written to disk, and nothing is left when the child ends. One child serves one message. A caller who
hangs up ends his child; that he asked for a list or another try is answered with nothing to list or try.
Bounds: a message may have LARGEST bytes, all together what receive/door/admission says; so many children at a time, and
so many for one uid: the others wait, in their order, and their idle time does not run meanwhile.
"""

import _socket
import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.disk.layout import DEATH
from qmailpy.receive.door.admission import Admission
from qmailpy.receive.door.caller import Caller
from qmailpy.receive.door.server import INHERIT, NAME, SERVICE
from qmailpy.skeletons import renewal
from qmailpy.system import clock, descriptors, door, process, signals
from qmailpy.system.loop import Loop
from qmailpy.system.outlet import Outlet
from qmailpy.verdict import EXIT, OK, Die
from qmailpy.wire import door as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Relay = Callable[[int, int, int, bytes], wire.Answer]  # uid, qp, the message, its envelope's records

LARGEST = 64 << 20  # bytes of a message: it is in memory, and relays take less
_CHILDREN, _EACH = 20, 5  # at a time; for one uid that is neither root nor a role
_CHORES = 1.0  # seconds between two looks at the clock
_BOUND = 10.0  # seconds that conversations get when the door closes
_PAUSE = 1.0  # seconds without accepting when there are no more descriptors
_AT_ONCE = 64  # callers let in, or frames heard, before others are
_TOO_LONG = 52  # exit code


class RelayingDoor:
    """One door; callers use its public names."""

    def __init__(
        self,
        home: Home,
        lock: int,
        admission: Admission,
        listener: _socket.socket,
        relay: "Relay",
        *,
        service: bool,
    ) -> None:
        """lock: ours for life; relay: what a child does; service: descriptor 0 says nothing."""
        self.home, self.admission, self.loop = home, admission, Loop()
        self._lock, self._listener, self._relay, self._service = lock, listener, relay, service
        self._outlet = Outlet(NAME.encode(), self.loop.after)
        self.callers: set[Caller] = set()
        self._waiting: list[Caller] = []
        self._children: dict[int, Caller] = {}
        self._serial = wire.SERIALS + clock.now() % (1 << 20) * (1 << 10)
        self._stopping = False
        self.largest = LARGEST

    def run(self) -> int:
        """Serve until told to end.  Result: exit code 0."""
        signals.ignore(signals.SIGPIPE)
        for number, call in (
            (signals.SIGTERM, self.stop),
            (signals.SIGINT, self.stop),
            (signals.SIGHUP, self._read_controls),
            (signals.SIGCHLD, self._reap),
        ):
            self.loop.on_signal(number, call)
        if not self._service:
            self.loop.on_read(0, self._hear_starter)
        self._read_controls()
        self._listen()
        self._do_chores()
        while not (self._stopping and not self.callers):
            self.loop.turn()
        return EXIT[OK]

    def stop(self) -> None:
        """Let nobody in any more; those inside get a few seconds.

        The socket's name stays: its directory is not ours.
        """
        if self._stopping:
            return
        self._stopping = True
        self.loop.forget(self._listener.fileno())
        self._listener.close()
        for caller in [caller for caller in self.callers if not caller.is_running]:
            caller.close()
        self.loop.after(_BOUND, self._close_all)

    def _hear_starter(self) -> None:
        if descriptors.is_at_end(0):
            self.loop.forget(0)
            self.stop()

    def _close_all(self) -> None:
        for caller in list(self.callers):
            caller.close()

    def serial(self) -> int:
        """A qp for a message that has no process of its own here."""
        self._serial += 1
        return self._serial

    def wait_for_child(self, caller: "Caller") -> None:
        """Its message is whole: it gets a child in its turn."""
        self._waiting.append(caller)
        self._start_children()

    def forget(self, caller: "Caller") -> None:
        """It has gone; its child goes too."""
        self.callers.discard(caller)
        if caller in self._waiting:
            self._waiting.remove(caller)
        for pid, other in list(self._children.items()):
            if other is caller:
                process.kill(pid, signals.SIGKILL)  # it keeps nothing; TERM may come while it has our handler

    def _read_controls(self) -> None:
        try:
            wanted = control.integer(self.home, "queuebytes", 0)
        except Die as death:
            self._outlet.say(NAME.encode() + b": warning: " + death.text)
            return
        self.largest = min(wanted, LARGEST) if wanted > 0 else LARGEST

    def _listen(self) -> None:
        if not self._stopping:
            self.loop.on_read(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection = door.accept(self._listener)
            except OSError:
                self.loop.on_read(self._listener.fileno(), None)
                self.loop.after(_PAUSE, self._listen)
                return
            if connection is None:
                return
            try:
                peer = door.peer_of(connection)
                if self.admission.enter(peer.uid):
                    self.callers.add(Caller(self, connection, peer))
                    continue
                connection.send(wire.Answer(wire.BUSY, 0, b"the door is busy").encode(), _socket.MSG_NOSIGNAL)
            except OSError:
                pass
            connection.close()

    def _do_chores(self) -> None:
        self.loop.after(_CHORES, self._do_chores)
        now = clock.monotonic()
        for caller in list(self.callers):
            caller.look_at_clock(now)
        if self._stopping or self.callers:
            return
        if not self.home.direct:  # there is a queue now; a supervisor starts what serves it
            self.stop()
        elif renewal.is_due(self.home, [NAME.encode()]):
            self._hand_over()

    def _hand_over(self) -> None:
        """A new version is installed, and nobody is inside: become it, with socket and lock."""
        numbers = (self._listener.fileno(), self._lock)
        for number in numbers:
            posix.set_inheritable(number, True)
        environment = process.environment() | {b"QMAILHOME": self.home.path}
        words = [NAME.encode(), INHERIT, *(b"%d" % number for number in numbers)] + [SERVICE] * self._service
        try:
            process.execute(self.home.program(NAME), words, environment)
        except OSError:  # with every signal default now: leave it to a supervisor
            self.stop()

    # children

    def _start_children(self) -> None:
        for caller in list(self._waiting):
            if len(self._children) >= _CHILDREN:
                return
            mine = sum(1 for other in self._children.values() if other.uid == caller.uid)
            if mine < _EACH or self.admission.trusts(caller.uid):
                self._waiting.remove(caller)
                self._start(caller)

    def _start(self, caller: "Caller") -> None:
        try:
            report, theirs = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        except OSError:
            caller.answer(wire.Answer(wire.BUSY, 0, b"too many files are open"))
            return

        def child() -> int:
            posix.set_blocking(theirs, True)
            self.loop.close()
            process.arrange({0: caller.message, 1: theirs})
            process.close_above(2)
            signals.default(signals.SIGTERM, signals.SIGINT, signals.SIGHUP, signals.SIGCHLD)
            signals.alarm(DEATH, lambda _: posix._exit(_TOO_LONG))
            posix.lseek(0, 0, 0)
            answer = self._relay(caller.uid, caller.qp, 0, caller.records)
            descriptors.write_all(1, answer.encode())
            return EXIT[OK]

        try:
            pid = process.fork(child)
        except OSError:
            posix.close(report)
            caller.answer(wire.Answer(wire.BUSY, 0, b"too many processes are running"))
            return
        finally:
            posix.close(theirs)
        self._children[pid] = caller
        caller.hear_child(report)

    def _reap(self) -> None:
        while (found := process.reap()) is not None:
            self._children.pop(found[0], None)
        self._start_children()
