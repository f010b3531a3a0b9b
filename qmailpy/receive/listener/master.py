"""The master of a resident service: it owns the sockets, starts workers, and never sees a byte of a client's.

HUP, a changed certificate or a worker's death bring new workers on the same sockets. Those of before are told to accept
no more when the new ones are ready, and finish their sessions: between the two nobody is refused.
"""

import _socket
import posix

from qmailpy.disk.home import Home
from qmailpy.receive.listener import lines, services
from qmailpy.receive.listener.counting import MOST_WORKERS, Counters
from qmailpy.receive.listener.options import NAME, Options
from qmailpy.receive.listener.renewing import CHORES
from qmailpy.receive.listener.worker import Worker
from qmailpy.system import clock, limits, process, signals
from qmailpy.system.loop import Loop
from qmailpy.system.outlet import Outlet
from qmailpy.verdict import EXIT, TEMP, of_bug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.receive.listener.renewing import Renewing
    from qmailpy.receive.listener.service import Service
    from qmailpy.system.listening import Listener

_REST = 1.0  # seconds before a worker that died at once is replaced
_START = 30.0  # seconds that new workers have to become ready
_LEAVING = 5.0  # seconds that workers have to give up the sockets when we end


class _Employed:
    """A worker, seen from here.  channel: None once it accepts no more."""

    __slots__ = ("born", "channel", "generation", "part", "pid", "ready", "replaced")

    def __init__(self, pid: int, part: int, channel: _socket.socket, generation: int) -> None:
        self.pid, self.part, self.generation = pid, part, generation
        self.channel: _socket.socket | None = channel
        self.ready = self.replaced = False
        self.born = clock.monotonic()


class Master:
    """A resident service."""

    def __init__(
        self,
        home: Home,
        options: Options,
        listeners: "list[Listener]",
        make: "Callable[[bool], Service]",
        account: tuple[int, int],
        count: int,
        renewing: "Renewing | None" = None,
    ) -> None:
        """make: called in each new worker first, with whether there is a service already.

        account: uid and gid of the workers; count: how many.
        """
        self._home, self._options, self._listeners, self._make = home, options, listeners, make
        self._account, self._count, self._renewing = account, count, renewing
        self._open_files = limits.soft_open_files()
        self._counters = Counters()
        self._loop = Loop()
        self._outlet = Outlet(NAME, self._loop.after)
        self._workers: dict[int, _Employed] = {}
        self._parts = set(range(MOST_WORKERS))
        self._generation = self._born = 0  # generation that is newest; that was ever begun
        self._serving = 0  # generation that accepts
        self._wanted = False  # a new generation, as soon as there is room
        self._ending = False
        self._code = 0
        self._seen: tuple[object, ...] = ()  # certificates, as they were

    def run(self) -> int:
        """Until TERM.  Result: exit code; 111 where the first workers cannot start."""
        signals.unblock_all()
        signals.ignore(signals.SIGPIPE)
        signals.default(signals.SIGINT)
        self._loop.on_signal(signals.SIGCHLD, self._reap)
        self._loop.on_signal(signals.SIGTERM, self._end)
        self._loop.on_signal(signals.SIGHUP, self.renew)
        if self._options.is_verbose:
            self._outlet.say(lines.status(0, self._options.limit))
        self._seen = services.look_at_files(self._home)
        self.renew()
        self._loop.after(CHORES, self._do_chores)
        while not self._ending:
            self._loop.turn()
        self._leave()
        return self._code

    # generations

    def renew(self) -> None:
        """New workers; when all of them are ready the others finish."""
        if self._ending:
            return
        if self._generation != self._serving or len(self._parts) < self._count:
            self._wanted = True  # a generation is being born, or too many are finishing
            return
        self._wanted = False
        self._born += 1
        generation = self._generation = self._born
        for _ in range(self._count):
            self._hire(generation)
        self._loop.after(_START, lambda: self._give_up(generation))

    def _give_up(self, generation: int) -> None:
        """Workers that are not ready after so long never will be."""
        for worker in list(self._workers.values()):
            if worker.generation == generation and not worker.ready:
                process.kill(worker.pid, signals.SIGKILL)

    def _hire(self, generation: int) -> None:
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        part = min(self._parts)
        self._counters.empty(part)
        self._counters.open(part)
        try:
            pid = process.fork(lambda: self._work(ours, theirs, part))
        except OSError as error:
            self._say(b"warning: unable to fork a worker: " + of_bug(error))
            ours.close()
            self._loop.after(_REST, lambda: self._replace(generation))
            return
        finally:
            theirs.close()
        posix.set_inheritable(ours.fileno(), False)
        ours.setblocking(False)
        self._parts.discard(part)
        worker = self._workers[pid] = _Employed(pid, part, ours, generation)
        self._loop.on_read(ours.fileno(), lambda: self._hear(worker))

    def _replace(self, generation: int) -> None:
        if generation != self._generation or self._ending:
            return
        if self._parts:
            self._hire(generation)
        else:  # too many are finishing
            self._loop.after(_REST, lambda: self._replace(generation))

    def _hear(self, worker: _Employed) -> None:
        """It is ready, or accepts no more."""
        if worker.channel is None:
            return
        try:
            word = worker.channel.recv(16)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        if not word:
            self._dismiss(worker)
            self._lost(worker)
            return
        worker.ready = True
        self._serve_if_ready()

    def _serve_if_ready(self) -> None:
        new = [worker for worker in self._workers.values() if worker.generation == self._generation]
        if self._serving == self._generation or len(new) < self._count or not all(one.ready for one in new):
            return
        self._serving = self._generation
        for worker in self._workers.values():
            if worker.generation < self._generation:
                self._dismiss(worker)
        if self._wanted:
            self.renew()

    def _dismiss(self, worker: _Employed) -> None:
        """Accept no more: the end of the channel says so."""
        channel, worker.channel = worker.channel, None
        if channel is not None:
            self._loop.forget(channel.fileno())
            channel.close()

    def _reap(self) -> None:
        while (ended := process.reap()) is not None:
            pid, ending = ended
            worker = self._workers.pop(pid, None)
            if worker is None:
                continue
            if worker.channel is not None:
                self._hear(worker)  # what it said last
            was_finishing = worker.channel is None and worker.ready
            self._dismiss(worker)
            self._counters.empty(worker.part)
            self._parts.add(worker.part)
            if not was_finishing or ending.status:
                self._died(worker, ending)
        if self._wanted:
            self.renew()

    def _lost(self, worker: _Employed) -> None:
        """A worker of those that accept does so no more, and nobody has told it to: another takes its place."""
        if not worker.ready or worker.replaced or worker.generation != self._generation or self._ending:
            return
        worker.replaced = True
        lived = clock.monotonic() - worker.born
        self._loop.after(max(_REST - lived, 0.0), lambda: self._replace(worker.generation))

    def _died(self, worker: _Employed, ending: process.Ending) -> None:
        """A worker that was not told to end has ended; or one that was, badly."""
        how = b"was killed by signal %d" % ending.signal if ending.signal else b"exited %d" % ending.code
        if worker.ready:
            self._say(b"warning: worker %d %s; its sessions are lost" % (worker.pid, how))
        if worker.generation != self._generation or self._ending:
            return
        if worker.ready:
            self._lost(worker)
            return
        if not self._serving:  # it has said why
            self._code = EXIT[TEMP]
            self._ending = True
            return
        if self._serving == self._generation:  # the replacement of one that was ready
            self._loop.after(_REST, lambda: self._replace(worker.generation))
            return
        self._say(b"warning: new workers cannot start (the first one %s); the old ones go on" % how)
        for other in list(self._workers.values()):
            if other.generation == self._generation:
                process.kill(other.pid, signals.SIGTERM)
                self._dismiss(other)
        self._generation = self._serving
        alive = [one for one in self._workers.values() if one.generation == self._serving and one.channel is not None]
        for _ in range(self._count - len(alive)):  # lost meanwhile
            self._replace(self._serving)

    # chores

    def _do_chores(self) -> None:
        self._loop.after(CHORES, self._do_chores)
        if self._renewing is not None and self._renewing.is_due:
            self._renewing.exchange()  # our workers see the end of their channels
            self._loop.catch_signals()
            signals.ignore(signals.SIGPIPE)
        seen = services.look_at_files(self._home)
        if seen != self._seen:
            self._seen = seen
            self.renew()

    def _end(self) -> None:
        self._ending = True

    def _leave(self) -> None:
        """Nobody listens any more when we are gone; sessions go on to their end without us."""
        for one in self._listeners:
            one.close()
        waiting = []
        for worker in self._workers.values():
            if worker.channel is not None:
                self._loop.forget(worker.channel.fileno())
                try:
                    worker.channel.shutdown(_socket.SHUT_WR)
                except OSError:
                    continue
                waiting.append(worker.channel)
        until = clock.monotonic() + _LEAVING
        for channel in waiting:
            try:
                while (left := until - clock.monotonic()) > 0:
                    channel.settimeout(left)
                    if not channel.recv(16):
                        break
            except OSError:
                continue

    def _say(self, text: bytes) -> None:
        if self._options.verbosity:
            self._outlet.say(lines.line(text))

    # in a worker

    def _work(self, masters: _socket.socket, channel: _socket.socket, part: int) -> int:
        """A worker's life, from the fork to its last session.  masters: the other end, which is not for us."""
        masters.close()  # or it would never end
        for other in self._workers.values():
            if other.channel is not None:
                other.channel.close()
        self._loop.close()
        signals.as_for_a_new_program()
        posix.set_inheritable(channel.fileno(), False)
        channel.setblocking(False)
        worker = Worker(self._home, self._options, self._listeners, self._counters, part)
        renewing = self._serving > 0
        return worker.live(lambda: self._make(renewing), self._account, channel, self._open_files, self._count)
