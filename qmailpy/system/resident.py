"""Residents: warm children that run a program of ours again and again without an exec.

This is the parent's side; a child's life is system/resident_child. A busy child is never given a second piece of work:
another one is forked. The parent ends a child that was idle for a short time, or that spoke unasked: it closes the
socket, and kills it, because its user may have stopped it.

To the parent a child's answers are hostile bytes: it may have been taken over by the user it became.
With system/process the only file that forks.
"""

import _socket
import array
import errno
import posix

from qmailpy.system import clock, process, resident_child, signals
from qmailpy.system.resident_child import PACKET_LIMIT
from qmailpy.system.resident_child import Kind as Kind  # noqa: PLC0414 - its name for those who have a Crew

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.loop import Loop, Timer

    Done = Callable[["bytes | None"], None]

IDLE = 5.0  # seconds that a child without work is kept


class _Child:
    __slots__ = ("done", "key", "pid", "since", "socket")

    def __init__(self, key: tuple[object, ...], pid: int, socket: _socket.socket) -> None:
        self.key, self.pid, self.socket = key, pid, socket
        self.done: Done | None = None
        self.since = 0.0  # when it became idle


class Crew:
    """All resident children of one parent."""

    def __init__(self, loop: "Loop", prepare: "Callable[[], None]" = lambda: None, most_idle: int = 64) -> None:
        """prepare: called in each new child while it still is who its parent is.

        most_idle: children kept without work; each has some 2 MB of its own.
        """
        self._loop, self._prepare = loop, prepare
        self._idle: dict[tuple[object, ...], list[_Child]] = {}
        self._all: dict[int, _Child] = {}
        self._idle_count = 0
        self._sweeping: Timer | None = None  # one for all: a timer for each answer would cost more than the rest here
        self._most_idle = most_idle
        self._buffer = bytearray(PACKET_LIMIT)  # one for all: a new one for each answer would cost two mmaps

    def give(self, kind: Kind, request: bytes, passed: list[int], done: "Done") -> int:
        """One piece of work, to an idle child of this kind or a new one.

        done(answer) comes later; None: the child died, or answered nonsense.  The caller still owns the
        descriptors in passed and may close them at once.  Result: the child's pid, for abandon().
        Errors: OSError where no child can be had (fork, descriptors) or the request is too large.
        """
        waiting = self._idle.get(kind.key)
        while waiting:
            child = waiting.pop()
            self._idle_count -= 1
            if self._hand_over(child, request, passed, done):
                return child.pid
            self._end(child)
        child = self._hire(kind)
        if not self._hand_over(child, request, passed, done):
            self._end(child)
            raise OSError(errno.EPIPE, "a new resident child is gone already")
        return child.pid

    def abandon(self, pid: int) -> None:
        """End a child that is at work, and the process group that it leads; nobody hears of that work any more."""
        child = self._all.get(pid)
        if child is not None:
            child.done = None
            process.end_group(pid)
            self._end(child)

    def _hand_over(self, child: _Child, request: bytes, passed: list[int], done: "Done") -> bool:
        if child.socket.fileno() < 0:
            return False
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", passed))] if passed else []
        try:
            child.socket.sendmsg([request], rights)
        except (BrokenPipeError, ConnectionResetError):
            return False
        except OSError:
            self._end(child)
            raise
        child.done = done
        return True

    def _hire(self, kind: Kind) -> _Child:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            pid = process.fork(lambda: resident_child.live(kind, theirs.fileno(), self._prepare))
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        posix.set_inheritable(ours.fileno(), False)
        ours.setblocking(False)
        child = _Child(kind.key, pid, ours)
        self._all[pid] = child
        self._loop.on_read(ours.fileno(), lambda: self._hear(child))
        return child

    def _hear(self, child: _Child) -> None:
        try:
            answer = bytes(self._buffer[: child.socket.recv_into(self._buffer)])
        except BlockingIOError:
            return
        except OSError:
            answer = b""
        done, child.done = child.done, None
        if not answer or done is None:  # dead, or speaking unasked
            self._dismiss(child)
            if done is not None:
                done(None)
            return
        if self._idle_count < self._most_idle:
            self._idle.setdefault(child.key, []).append(child)
            self._idle_count += 1
            child.since = clock.monotonic()
            if self._sweeping is None:
                self._sweeping = self._loop.after(IDLE, self._sweep)
        else:
            self._end(child)
        done(answer)

    def _sweep(self) -> None:
        """End those that have been idle for IDLE, and look again when the next one will have been."""
        now = clock.monotonic()
        idle = [child for waiting in self._idle.values() for child in waiting]
        left = [child.since for child in idle if child.since + IDLE > now]
        for child in idle:
            if child.since + IDLE <= now:
                self._dismiss(child)
        self._sweeping = self._loop.after(min(left) + IDLE - now, self._sweep) if left else None

    def _dismiss(self, child: _Child) -> None:
        """End a child, whether it is waiting for work or not."""
        waiting = self._idle.get(child.key, [])
        if child in waiting:
            waiting.remove(child)
            self._idle_count -= 1
            if not waiting:
                del self._idle[child.key]
        self._end(child)

    def _end(self, child: _Child) -> None:
        if child.socket.fileno() >= 0:
            self._loop.forget(child.socket.fileno())
            child.socket.close()
        if child.pid in self._all:  # nobody has waited for it yet, so the number is its own
            process.kill(child.pid, signals.SIGKILL)

    def ended(self, pid: int, ending: process.Ending) -> bool:
        """Tell the crew that a process has ended.  Result: whether it was one of its own."""
        del ending  # its socket says all there is to know
        child = self._all.pop(pid, None)
        if child is not None and child.done is not None:
            self._hear(child)  # the last answer may still be in the socket
        return child is not None

    def dismiss_idle(self) -> None:
        """End every child that has no work (a new version is installed, or the parent leaves)."""
        for waiting in list(self._idle.values()):
            for child in list(waiting):
                self._dismiss(child)
