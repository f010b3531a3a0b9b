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
from qmailpy.receive.listener.serving import Serving
from qmailpy.system import descriptors, identity, limits, process, signals, title
from qmailpy.system.listening import EXHAUSTED
from qmailpy.verdict import Die, of_bug, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from qmailpy.receive.listener.counting import Counters
    from qmailpy.receive.listener.options import Options
    from qmailpy.receive.listener.service import Service
    from qmailpy.system.listening import Listener
    from qmailpy.system.loop import Timer

MOST_FILES = 1 << 20  # descriptors, as far as the hard limit allows
_PAUSE = 1.0  # seconds without accepting when the system has no more descriptors
_FULL_PAUSE = 0.2  # seconds between two looks whether another worker's connections have ended
_TURNS, _YIELD = 16, 0.1  # connections accepted between two looks at our share; seconds left to the others
_FEW_AHEAD = 64  # connections, up to which it does not matter who has them
_SWEEP = 60.0  # seconds between two collections of what counting references does not find
_FEW = 500  # connections, up to which looking through all of memory takes no more than a few milliseconds
_YOUNG = 50_000  # objects made after which young garbage is looked for


class Worker:
    """The life of one worker."""

    def __init__(
        self, home: Home, options: "Options", listeners: "list[Listener]", counters: "Counters", part: int
    ) -> None:
        """part: ours of the counters."""
        self._home, self._options, self._counters, self._part = home, options, counters, part
        self._listeners = listeners
        self._accepting = self._waits_for_room = False
        self._resting: Timer | None = None
        self._stopping = False
        self._serial = 0

    def live(
        self,
        make: "Callable[[], Service]",
        account: tuple[int, int],
        master: "_socket.socket",
        open_files: int,
        fellows: int,
    ) -> int:
        """From the fork, while we still are who the master is, to the last session.  Result: exit code.

        make: reads files and keys; account: uid and gid to become; master: says nothing; its end, or any word, means:
        accept no more; open_files: what programs may have; fellows: how many workers there are, with us.
        """
        self._master, self._fellows = master, fellows
        try:
            service = make()
            limits.open_files(MOST_FILES)
            identity.become(*account)
            title.set_title(service.name.decode(), "resident")
            return self._serve(service, master, open_files)
        except Die as death:
            descriptors.say(lines.line(b"fatal: " + death.text))
            return death.code
        except Exception as error:
            descriptors.say(lines.line(b"fatal: internal error: " + of_bug(error)))
            raise

    def _serve(self, service: "Service", master: "_socket.socket", open_files: int) -> int:
        """Until the master says that it is over, and then until the last session has ended."""
        serving = self._serving = Serving(
            self._home, self._options, service, self._counters, self._part, open_files, self._made_room
        )
        self._loop = serving.loop
        self._arriving = Arriving(serving)
        signals.ignore(signals.SIGPIPE, signals.SIGXFSZ, signals.SIGHUP, signals.SIGINT)
        self._loop.on_signal(signals.SIGCHLD, self._reap)
        self._loop.on_signal(signals.SIGTERM, self._stop)
        self._loop.on_read(master.fileno(), self._stop)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, 20, 1 << 30)  # the oldest only by _sweep
        self._loop.after(_SWEEP, self._sweep)
        self._accept_again()
        master.send(b"r")  # ready
        while not self._stopping or serving.sessions or serving.children:
            serving.turn()
        serving.close()
        return 0

    # accepting

    def _accept_again(self) -> None:
        """Accept if there is room; else look again soon: another worker's connection may end."""
        if self._accepting or self._stopping:
            return
        if self._counters.total >= self._options.limit:
            self._rest(_FULL_PAUSE, for_room=True)
            return
        self._waits_for_room, self._accepting = False, True
        for one in self._listeners:
            self._serving.epoll.share(one.descriptor)
            self._loop.dispatch(one.descriptor, lambda _, one=one: self._accept(one))  # type: ignore[misc]

    def _rest(self, seconds: float, *, for_room: bool = False) -> None:
        """Accept nothing for so long; for_room: or until one of our own sessions has ended."""
        if self._accepting:
            self._pause()
        if self._resting is not None:
            self._resting.cancel()
        self._waits_for_room = for_room
        self._resting = self._loop.after(seconds, self._accept_again)

    def _pause(self) -> None:
        self._accepting = False
        for one in self._listeners:
            self._loop.dispatch(one.descriptor, None)
            self._serving.epoll.leave(one.descriptor)

    def _accept(self, listener: "Listener") -> None:
        """One connection: others may be nearer to taking the next."""
        if not self._accepting:
            return
        if self._counters.total >= self._options.limit:
            self._rest(_FULL_PAUSE, for_room=True)
            return
        try:
            accepted = listener.accept()
        except OSError as error:  # nearly always: too few descriptors
            self._serving.note(lines.line(b"warning: unable to accept: " + words(error)))
            self._rest(_PAUSE)
            return
        if accepted is not None:
            self._let_in(listener, *accepted)
            if self._serial % _TURNS == 0 and self._is_ahead():
                self._rest(_YIELD)

    def _is_ahead(self) -> bool:
        """Whether we hold much more than our share: the kernel likes to wake the same worker again and again."""
        mine = self._counters.of(self._part)
        return mine > _FEW_AHEAD and mine * self._fellows > 1.5 * self._counters.total

    def _let_in(self, listener: "Listener", descriptor: int, ip: bytes, port: int) -> None:
        self._serial += 1
        self._counters.add(self._part, 1)
        try:
            self._arriving.begin(listener, descriptor, ip, port, self._serial)
        except OSError as error:  # the client has gone, or there are no more descriptors
            self._counters.add(self._part, -1)
            if error.errno in EXHAUSTED or error.errno == errno.ENOSPC:
                self._serving.note(lines.dropping(words(error)))

    def _made_room(self) -> None:
        if self._waits_for_room:
            self._accept_again()

    # ending

    def _stop(self) -> None:
        """Accept no more; what has been waiting for us is ours still.  Sessions go on to their end."""
        if self._stopping:
            return
        if self._accepting:
            self._pause()
            for one in self._listeners:
                # a connection may have woken us, and nobody else
                try:
                    while self._counters.total < self._options.limit and (accepted := one.accept()) is not None:
                        self._let_in(one, *accepted)
                except OSError:  # the sessions that are there go on
                    continue
        self._stopping = True
        for one in self._listeners:
            one.close()
        self._listeners = []
        self._loop.forget(self._master.fileno())
        self._master.close()

    def _reap(self) -> None:
        while (ended := process.reap()) is not None:
            pid, ending = ended
            session = self._serving.children.pop(pid, None)
            if session is not None:
                self._serving.left(session, ending.status)
            else:
                self._serving.asking.ended(pid, ending)

    def _sweep(self) -> None:
        self._loop.after(_SWEEP, self._sweep)
        gc.collect(2 if len(self._serving.sessions) <= _FEW else 1)
