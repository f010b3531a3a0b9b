"""What all sessions of one worker share: what calls back, what answers, the lines to the door, counters and the log.

Who comes in is arriving's affair, and how many the worker's.
"""

from qmailpy.disk.home import Home
from qmailpy.receive.listener import lines
from qmailpy.receive.listener.asking import Asking
from qmailpy.receive.listener.door_lines import Lines
from qmailpy.receive.listener.handing import Handing
from qmailpy.receive.listener.options import NAME
from qmailpy.receive.listener.resident import Resident
from qmailpy.system import identity, limits, process
from qmailpy.system.epoll import Epoll
from qmailpy.system.loop import Loop
from qmailpy.system.outlet import Outlet
from qmailpy.system.wheel import Wheel
from qmailpy.verdict import of_bug

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from qmailpy.receive.listener.counting import Counters
    from qmailpy.receive.listener.options import Options
    from qmailpy.receive.listener.service import Service

BUFFER = 32 << 10  # bytes taken from a client at once: so long the others wait for what it says
_AT_ONE_STROKE = 4096  # bytes that a pipe takes as a whole: lines of two workers must not be mixed
_LAST_LINES = 1.0  # seconds that the log has to take what is left when we end


class Serving:
    """State of one worker; sessions use its public names."""

    def __init__(
        self,
        home: Home,
        options: "Options",
        service: "Service",
        counters: "Counters",
        part: int,
        open_files: int,
        made_room: "Callable[[], None]",
    ) -> None:
        """part: ours of the counters; open_files: what programs may have; made_room: called when a session has ended.

        Who we are, and our limits, are settled already.
        """
        self.home, self.options, self.service, self.counters, self.part = home, options, service, counters, part
        self._open_files, self._made_room = open_files, made_room
        self.epoll = Epoll()
        self.loop = Loop(self.epoll)
        self.wheel = Wheel(self.loop, lambda thing: thing.expire())  # type: ignore[attr-defined]
        self.buffer, self.buffer_size = bytearray(BUFFER), BUFFER
        self.view = memoryview(self.buffer)
        self.lines = Lines(self, home.socket)
        self.asking = Asking(home, self.loop, (identity.my_uid(), identity.my_gid()), self.prepare_child)
        self.sessions: set[Resident] = set()
        self.children: dict[int, Resident] = {}  # those that have a process of their own
        self._soon: list[Resident] = []
        self._log: list[bytes] = []
        self._outlet = Outlet(NAME, self.loop.after)
        self._pid = identity.my_pid()

    def turn(self) -> None:
        """Wait for something to happen, and let it."""
        if self._soon:
            self.loop.turn(0.0)
            several, self._soon = self._soon, []
            for one in several:
                one.resume(None)
        else:
            self.loop.turn()
        if self._log:
            self._flush()

    def close(self) -> None:
        """The last session has ended."""
        self.lines.close()
        self.asking.close()
        if self._log:
            self._flush()
        self._outlet.finish(_LAST_LINES)

    def prepare_child(self) -> None:
        """Called in each child of ours first."""
        limits.set_soft_open_files(self._open_files)

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
        return b"%d.%d" % (self._pid, session.serial)

    def _flush(self) -> None:
        several = b"\n".join(self._log)
        for text in [several] if len(several) < _AT_ONE_STROKE else self._log:
            self._outlet.say(text)
        self._log.clear()

    # ending

    def over(self, session: Resident, connection: "_socket.socket", code: int | None) -> None:
        """Its conversation has ended: close the connection.  code: its exit code; None: it has failed."""
        if session.handing is not None:
            session.handing.fail()
        self.wheel.take_out(session)
        descriptor = connection.fileno()
        self.loop.dispatch(descriptor, None)
        if session.has_process:  # the socket lives on there: closing it here would not end its registration
            self.epoll.leave(descriptor)
            connection.close()
            self.sessions.discard(session)
            return
        connection.close()
        self.left(session, (process.TEMP_EXIT if code is None else code) << 8)

    def left(self, session: Resident, status: int) -> None:
        """It counts no more.  status: as of wait(2)."""
        self.sessions.discard(session)
        self.counters.add(self.part, -1)
        self.uncount(session)
        if self.options.is_verbose:
            self.note(lines.ended(self.who(session), status))
            self.note(lines.status(self.counters.total, self.options.limit))
        self._made_room()

    def uncount(self, session: Resident) -> None:
        """Its address and network may have another one."""
        if session.is_counted:
            session.is_counted = False
            self.counters.add_of(self.part, session.cells, -1)
