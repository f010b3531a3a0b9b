"""The spawners' engine: commands in, deliveries out, reports back (spec/03-pipes.md 4).

qmail-lspawn and qmail-rspawn plug in one function each: deliver(command, message, report), which must close the
message's descriptor and call report(letter, text) once, later; where it raises OSError it has done neither. The engine
owns slots, the checks of a command, and the two pipes; it ends when the commands have ended and the last delivery has
reported.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.disk.queue.paths import Paths
from qmailpy.skeletons import renewal
from qmailpy.system import clock, descriptors, launcher, process, signals
from qmailpy.system.loop import Loop
from qmailpy.wire import delivery
from qmailpy.wire.delivery import Command, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Reporter = Callable[[bytes, bytes], None]
    Deliver = Callable[[Command, int, Reporter], None]
    Ended = Callable[[int, process.Ending], None]

WIDE_WORD = b"wide"  # an argument that only qmail-start gives
TRACES = b"traces"  # another: qmail-send may ask for the story of a delivery, and hears it (wire/delivery)
_BEHIND = 1 << 18  # bytes that qmail-send has not read yet: beyond these no story is told
WIDE_SLOTS = 1000  # announced on the wide wire: more than this host's memory wants to see at once
_COMMAND_LIMIT = 65536  # bytes of one command's two addresses: far above what qmail-queue accepts
FRESH = 0.05  # seconds: nobody who replaces a program can tell whether the delivery of that moment came before it
_REGULAR, _KIND = 0o100000, 0o170000


class Spawner:
    """One spawner process: loop, slots, pipes."""

    def __init__(self, home: Home, argv: list[bytes], before_exec: "Callable[[], None]" = lambda: None) -> None:
        """argv: the program's own; `wide` in it says which notation qmail-send wants.  slots: how many it gets then.

        before_exec: puts back what this process changed for itself, before it executes a new version of itself.
        """
        self._before_exec = before_exec
        self.loop = Loop()
        self.home = home
        self._argv = argv
        wide = WIDE_WORD in argv
        self._paths = Paths(home)
        self._owner = home.roles.uid["qmailq"]
        self._notation = delivery.WIDE if wide else delivery.NARROW
        self.slots = WIDE_SLOTS if wide else delivery.SPAWN
        self.traces = wide and TRACES in argv
        self._commands = delivery.CommandReader(self._notation, traces=self.traces)
        self._busy: set[int] = set()
        self._out = b""
        self._stale = False
        self._open = True  # commands may still come
        self._hearing = False  # and some that have come are still to be started
        self._heard = True  # somebody reads our reports
        self._launchers = launcher.Launchers(launcher.library())
        self._always_executes = bool(process.environment().get(b"QMAILEXEC"))
        self._ours: dict[bytes, bool] = {}
        self._is_current = True
        self._look_again = self._renew_again = 0.0  # on the monotonic clock

    def run(self, deliver: "Deliver", ended: "Ended") -> int:
        """Serve until the commands end.  Result: exit code 0.

        ended(pid, ending) is told of every child that has ended.
        """
        self._deliver = deliver
        signals.ignore(signals.SIGPIPE)
        posix.set_blocking(1, False)
        self.loop.on_signal(signals.SIGCHLD, lambda: _reap(ended))
        self.loop.on_read(0, self._hear)
        if renewal.RESUMED not in self._argv:  # else it was said before our code was exchanged for this version's
            self._send(self._notation.announce(self.slots))
        while self._open or self._busy or (self._out and self._heard):
            self.loop.turn()
        return 0

    def is_ours(self, path: bytes) -> bool:
        """Whether a program may run inside a resident: unreplaced, of our version, exec not asked for.

        What is known is looked at again after FRESH: in a thousand deliveries a second it costs more than one of them.
        """
        if clock.monotonic() >= self._look_again:
            self._is_current = launcher.is_current(self.home.path)
            self._ours.clear()
            self._look_again = clock.monotonic() + FRESH
        known = self._ours.get(path)
        if known is None:
            known = not self._always_executes and self._is_current and self._launchers.is_ours(path)
            self._ours[path] = known
        return known

    def tell(self, command: Command, told: bytes) -> None:
        """Something of a delivery that goes on, in the notation of rules/trace; lost where nobody keeps up."""
        if self.traces and command.slot in self._busy and len(self._out) < _BEHIND:
            self._report(command.slot, delivery.TRACE, told)

    def _hear(self) -> None:
        piece = posix.read(0, descriptors.READ_SIZE)
        if not piece:
            self._open = False
            self.loop.forget(0)
            return
        self._hearing = True
        for command in self._commands.feed(piece):
            self._start(command)
        self._hearing = False
        self._renew()

    def _start(self, command: Command) -> None:
        slot = command.slot
        if slot >= self.slots:
            self._report(slot, b"Z", b"Internal error: delnum too big. (#4.3.5)\n")
            return
        if slot in self._busy:
            self._report(slot, b"Z", b"Internal error: delnum in use. (#4.3.5)\n")
            return
        message, fault = self._open_message(command)
        if fault:
            self._report(slot, fault[:1], fault[1:])
            return
        self._busy.add(slot)

        def report(letter: bytes, text: bytes) -> None:
            if slot in self._busy:
                self._busy.discard(slot)
                self._report(slot, letter, text)
                self._renew()

        try:
            self._deliver(command, message, report)
        except OSError:  # no more processes or descriptors: later
            posix.close(message)
            report(b"Z", b"qmail-spawn unable to fork. (#4.3.0)\n")

    def _open_message(self, command: Command) -> tuple[int, bytes]:
        """The message's descriptor, or what to reply instead."""
        fault = delivery.path_fault(command.message)
        if fault:
            return -1, fault
        if b"@" not in command.recipient:
            return -1, b"DSorry, address must include host name. (#5.1.3)\n"
        if len(command.recipient) + len(command.sender) > _COMMAND_LIMIT:
            return -1, b"DSorry, address is too long. (#5.1.3)\n"
        flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOFOLLOW | posix.O_CLOEXEC
        try:
            message = posix.open(self._paths.message(command.message), flags)
        except OSError:
            return -1, b"Zqmail-spawn unable to open message. (#4.3.0)\n"
        status = posix.fstat(message)
        if status.st_mode & _KIND != _REGULAR:
            fault = b"ZSorry, message has wrong type. (#4.3.5)\n"
        elif status.st_uid != self._owner:
            fault = b"ZSorry, message has wrong owner. (#4.3.5)\n"
        if fault:
            posix.close(message)
        return message, fault

    def _report(self, slot: int, letter: bytes, text: bytes) -> None:
        self._send(Report(slot % (1 << 8 * self._notation.width), letter, text).encode(self._notation))

    def _send(self, content: bytes) -> None:
        idle = not self._out
        self._out += content
        if idle:
            self._flush()

    def _flush(self) -> None:
        try:
            self._out = self._out[descriptors.write_pieces(1, self._out) :]
        except OSError:  # qmail-send is gone; whoever runs still finishes
            self._heard = self._open = False
            self._out = b""
            self.loop.forget(0)
        self.loop.on_write(1, self._flush if self._out else None)

    def _renew(self) -> None:
        """With a new version installed and nothing under way: exchange our code for it, in place."""
        if self._busy or self._out or self._commands.partial or not self._open or self._hearing:
            return
        if clock.monotonic() < self._renew_again:
            return
        self._renew_again = clock.monotonic() + FRESH
        if not self._stale and renewal.is_due(self.home, self._argv):
            self._before_exec()
            renewal.exchange(self.home, self._argv, [])
            self._stale = True  # it cannot be run; every delivery is executed instead
            signals.ignore(signals.SIGPIPE)
            self.loop.catch_signals()


def _reap(ended: "Ended") -> None:
    while (found := process.reap()) is not None:
        ended(*found)
