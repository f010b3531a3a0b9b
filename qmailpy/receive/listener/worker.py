"""A worker: sessions of one of our own protocol programs, thousands in one process.

It accepts on sockets that it shares with its fellows, asks names and rules, and gives every connection its coroutine.
A session that fails takes nobody with it; one that needs a program of the administrator's choice in the place of
qmail-queue gets a process of its own.
"""

import errno
import gc

from qmailpy.disk.home import Home
from qmailpy.receive.listener import lines
from qmailpy.receive.listener.arriving import Arriving
from qmailpy.receive.listener.asking import Asking
from qmailpy.receive.listener.door_lines import Lines
from qmailpy.receive.listener.handing import Handing
from qmailpy.receive.listener.resident import Resident
from qmailpy.system import descriptors, identity, limits, process, signals
from qmailpy.system.epoll import Epoll
from qmailpy.system.listening import EXHAUSTED
from qmailpy.system.loop import Loop
from qmailpy.system.wheel import Wheel
from qmailpy.verdict import of_bug, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from qmailpy.receive.listener.counting import Counters
    from qmailpy.receive.listener.options import Options
    from qmailpy.receive.listener.services import Service
    from qmailpy.system.listening import Listener
    from qmailpy.system.loop import Timer

BUFFER = 32 << 10  # bytes taken from a client at once: so long the others wait for what it says
MOST_FILES = 1 << 20  # descriptors, as far as the hard limit allows
_PAUSE = 1.0  # seconds without accepting when the system has no more descriptors
_FULL_PAUSE = 0.2  # seconds between two looks whether another worker's connections have ended
_TURNS, _YIELD = 16, 0.1  # connections accepted between two looks at our share; seconds left to the others
_FEW_AHEAD = 64  # connections, up to which it does not matter who has them
_AT_ONE_STROKE = 4096  # bytes that a pipe takes as a whole: lines of two workers must not be mixed
_SWEEP = 60.0  # seconds between two collections of what counting references does not find
_FEW = 500  # connections, up to which looking through all of memory takes no more than a few milliseconds
_YOUNG = 50_000  # objects made after which young garbage is looked for


class Worker:
    """State of one worker; sessions use its public names."""

    def __init__(
        self, home: Home, options: "Options", listeners: "list[Listener]", counters: "Counters", part: int
    ) -> None:
        """part: ours of the counters.  Who we are, and our limits, are settled already."""
        self.home, self.options, self.counters, self.part = home, options, counters, part
        self.epoll = Epoll()
        self.loop = Loop(self.epoll)
        self.wheel = Wheel(self.loop, lambda thing: thing.expire())  # type: ignore[attr-defined]
        self.buffer, self.buffer_size = bytearray(BUFFER), BUFFER
        self.view = memoryview(self.buffer)
        self.lines = Lines(self, home.socket)
        self.sessions: set[Resident] = set()
        self.children: dict[int, Resident] = {}  # those that have a process of their own
        self._listeners = listeners
        self._accepting = self._waits_for_room = False
        self._resting: Timer | None = None
        self._soon: list[Resident] = []
        self._log: list[bytes] = []
        self._stopping = False
        self._serial = 0
        self.pid = identity.my_pid()

    def run(self, service: "Service", master: "_socket.socket", open_files: int, fellows: int) -> int:
        """Until the master says that it is over, and then until the last session has ended.

        master: says nothing; its end, or any word, means: accept no more; open_files: what programs may have;
        fellows: how many workers there are, with us.
        """
        self.service, self._master, self._fellows = service, master, fellows

        def prepare() -> None:
            limits.set_soft_open_files(open_files)

        self.prepare_child = prepare
        self.asking = Asking(self.home, self.loop, (identity.my_uid(), identity.my_gid()), prepare)
        self._arriving = Arriving(self)
        signals.ignore(signals.SIGPIPE, signals.SIGXFSZ, signals.SIGHUP, signals.SIGINT)
        self.loop.on_signal(signals.SIGCHLD, self._reap)
        self.loop.on_signal(signals.SIGTERM, self.stop)
        self.loop.on_read(master.fileno(), self.stop)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, 20, 1 << 30)  # the oldest only by _sweep
        self.loop.after(_SWEEP, self._sweep)
        self.accept_again()
        master.send(b"r")  # ready
        while not self._stopping or self.sessions or self.children:
            self._turn()
        self.lines.close()
        self.asking.close()
        if self._log:
            self._flush()
        return 0

    def _turn(self) -> None:
        if self._soon:
            self.loop.turn(0.0)
            several, self._soon = self._soon, []
            for one in several:
                one.resume(None)
        else:
            self.loop.turn()
        if self._log:
            self._flush()

    # what sessions ask for

    def soon(self, session: Resident) -> None:
        """To be resumed after the others have had their turn."""
        self._soon.append(session)

    def handing(self, session: Resident) -> Handing:
        """A message is coming."""
        return Handing(session, self.lines)

    def note(self, line: bytes) -> None:
        """A line for the log, written with all others of this turn."""
        self._log.append(line)

    def complain(self, session: Resident, error: Exception) -> None:
        """A session has failed: a bug, or no memory."""
        self.note(lines.line(b"warning: session %s failed: %s" % (self.who(session), of_bug(error))))

    def who(self, session: Resident) -> bytes:
        """Its name in the log."""
        return b"%d.%d" % (self.pid, session.serial)

    def _flush(self) -> None:
        several = b"\n".join(self._log)
        for text in [several] if len(several) < _AT_ONE_STROKE else self._log:
            descriptors.say(text)
        self._log.clear()

    # accepting

    def accept_again(self) -> None:
        """Accept if there is room; else look again soon: another worker's connection may end."""
        if self._accepting or self._stopping:
            return
        if self.counters.total >= self.options.limit:
            self._rest(_FULL_PAUSE, for_room=True)
            return
        self._waits_for_room, self._accepting = False, True
        for one in self._listeners:
            self.epoll.share(one.descriptor)
            self.loop.dispatch(one.descriptor, lambda _, one=one: self._accept(one))  # type: ignore[misc]

    def _rest(self, seconds: float, *, for_room: bool = False) -> None:
        """Accept nothing for so long; for_room: or until one of our own sessions has ended."""
        if self._accepting:
            self._pause()
        if self._resting is not None:
            self._resting.cancel()
        self._waits_for_room = for_room
        self._resting = self.loop.after(seconds, self.accept_again)

    def _pause(self) -> None:
        self._accepting = False
        for one in self._listeners:
            self.loop.dispatch(one.descriptor, None)
            self.epoll.leave(one.descriptor)

    def _accept(self, listener: "Listener") -> None:
        """One connection: others may be nearer to taking the next."""
        if not self._accepting:
            return
        if self.counters.total >= self.options.limit:
            self._rest(_FULL_PAUSE, for_room=True)
            return
        try:
            accepted = listener.accept()
        except OSError as error:  # nearly always: too few descriptors
            self.note(lines.line(b"warning: unable to accept: " + words(error)))
            self._rest(_PAUSE)
            return
        if accepted is not None:
            self._let_in(listener, *accepted)
            if self._serial % _TURNS == 0 and self._is_ahead():
                self._rest(_YIELD)

    def _is_ahead(self) -> bool:
        """Whether we hold much more than our share: the kernel likes to wake the same worker again and again."""
        mine = self.counters.of(self.part)
        return mine > _FEW_AHEAD and mine * self._fellows > 1.5 * self.counters.total

    def _let_in(self, listener: "Listener", descriptor: int, ip: bytes, port: int) -> None:
        self._serial += 1
        self.counters.add(self.part, 1)
        try:
            self._arriving.begin(listener, descriptor, ip, port, self._serial)
        except OSError as error:  # the client has gone, or there are no more descriptors
            self.counters.add(self.part, -1)
            if error.errno in EXHAUSTED or error.errno == errno.ENOSPC:
                self.note(lines.dropping(words(error)))

    # ending

    def over(self, session: Resident, connection: "_socket.socket", code: int | None) -> None:
        """Its conversation has ended.  code: its exit code; None: it has failed."""
        if session.handing is not None:
            session.handing.fail()
        self.wheel.take_out(session)
        self._arriving.hang_up(session, connection, code)

    def left(self, session: Resident, status: int) -> None:
        """It counts no more.  status: as of wait(2)."""
        self.sessions.discard(session)
        self.counters.add(self.part, -1)
        self.uncount(session)
        if self.options.is_verbose:
            self.note(lines.ended(self.who(session), status))
            self.note(lines.status(self.counters.total, self.options.limit))
        if self._waits_for_room:
            self.accept_again()

    def uncount(self, session: Resident) -> None:
        """Its address and network may have another one."""
        if session.is_counted:
            session.is_counted = False
            self.counters.add_of(self.part, session.cells, -1)

    def stop(self) -> None:
        """Accept no more; what has been waiting for us is ours still.  Sessions go on to their end."""
        if self._stopping:
            return
        if self._accepting:
            self._pause()
            for one in self._listeners:
                # a connection may have woken us, and nobody else
                try:
                    while self.counters.total < self.options.limit and (accepted := one.accept()) is not None:
                        self._let_in(one, *accepted)
                except OSError:  # the sessions that are there go on
                    continue
        self._stopping = True
        for one in self._listeners:
            one.close()
        self._listeners = []
        self.loop.forget(self._master.fileno())
        self._master.close()

    def _reap(self) -> None:
        while (ended := process.reap()) is not None:
            pid, ending = ended
            session = self.children.pop(pid, None)
            if session is not None:
                self.left(session, ending.status)
            else:
                self.asking.ended(pid, ending)

    def _sweep(self) -> None:
        self.loop.after(_SWEEP, self._sweep)
        gc.collect(2 if len(self.sessions) <= _FEW else 1)
