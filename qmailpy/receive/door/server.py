"""The door itself: who comes in, the regular chores, the end, and handing over to a new version.

One thread runs the loop; a pool of threads does what waits for the disk. No caller, and no file in drop/, can end it.
"""

import _socket
import errno
import posix

from qmailpy.disk.home import Home
from qmailpy.receive.door.admission import Admission
from qmailpy.receive.door.inside import Inside
from qmailpy.receive.door.session import Session
from qmailpy.receive.door.taking import Taking
from qmailpy.skeletons import renewal
from qmailpy.system import clock, descriptors, door, launcher, process, signals, title
from qmailpy.verdict import TEMP, Die, words
from qmailpy.wire import door as wire

NAME = "qmail-queued"
INHERIT = b"--inherit"  # followed by the numbers of the listening socket and of the lock
SERVICE = b"service"
_THREADS = 4  # 16 were slower (DESIGN 5)
_CHORES = 5.0  # seconds between two looks at the clock, the version, drop/'s time of change
_LOOKS = 12  # chores after which drop/ is looked into anyway
_AT_ONCE = 64  # callers let in before those inside are heard again
_PAUSE = 1.0  # seconds without accepting when the system has no more descriptors
_BOUND = 10.0  # seconds that conversations get when the door closes


class Door:
    """The life of one door.  story: what it tells of messages."""

    def __init__(
        self, home: Home, lock: int, admission: Admission, listener: _socket.socket | None, *, service: bool
    ) -> None:
        """lock: ours for life; listener: from the older version that became us; service: descriptor 0 says nothing."""
        self._home, self._listener, self._lock, self._service = home, listener, lock, service
        self._inside = Inside(home, admission, NAME.encode(), _THREADS)
        self.story = self._inside.story
        self._sessions: set[Session] = set()
        self._taking = Taking(self._inside)
        self._stopping = False  # nobody is let in any more
        self._bounded = False  # and those inside must be quick
        self._chores = 0
        # where the link does not lead to us even now, we would execute ourselves for ever
        self._may_renew = listener is None or launcher.is_current(home.path)

    def run(self) -> int:
        """Serve until told to end.  Result: exit code 0.  Errors: Die where the socket cannot be put in place."""
        self._inside.read_controls()
        self._hear_signals()  # before anybody can see that we are there
        if self._listener is None:
            try:
                self._listener = door.listen(self._home.socket)
            except OSError as error:
                raise Die(TEMP, b"unable to listen on " + self._home.socket + b": " + words(error)) from None
        self._listen()
        self._taking.look()
        self._do_chores()
        return self._serve()

    def _serve(self) -> int:
        while not (self._stopping and not self._sessions and not self._taking.is_running):
            self._inside.loop.turn()
        self._inside.end()
        return 0

    def stop(self) -> None:
        """Let nobody in any more; those inside get a few seconds."""
        if self._bounded:
            return
        self._stopping = self._bounded = True
        if self._listener is not None:
            self._inside.loop.forget(self._listener.fileno())
            try:
                posix.unlink(self._home.socket)  # first, or callers wait before a socket that nobody serves
            except OSError:
                pass
            self._listener.close()
            self._listener = None
        self._taking.stop()
        for session in [session for session in self._sessions if session.is_idle]:
            session.close()
        self._inside.loop.after(_BOUND, self._finish_sessions)

    def _finish_sessions(self) -> None:
        for session in list(self._sessions):
            session.finish()

    def _hear_signals(self) -> None:
        signals.ignore(signals.SIGPIPE, signals.SIGXFSZ, signals.SIGCHLD)  # the last: a fork of ours is not waited for
        for number, call in (
            (signals.SIGTERM, self.stop),
            (signals.SIGINT, self.stop),
            (signals.SIGHUP, self._inside.read_controls),
        ):
            self._inside.loop.on_signal(number, call)
        if not self._service:
            self._inside.loop.on_read(0, self._hear_starter)

    def _hear_starter(self) -> None:
        if descriptors.is_at_end(0):
            self._inside.loop.forget(0)
            self.stop()

    def _listen(self) -> None:
        if self._listener is not None:
            self._inside.loop.on_read(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if self._listener is None:
                return
            try:
                connection = door.accept(self._listener)
            except OSError as error:
                self._pause_accepting(error)
                return
            if connection is None:
                return
            self._let_in(connection)

    def _let_in(self, connection: _socket.socket) -> None:
        try:
            peer = door.peer_of(connection)
        except OSError:
            connection.close()
            return
        if self._inside.admission.enter(peer.uid):
            session = Session(self._inside, connection, peer, self._sessions.discard)
            self._sessions.add(session)
            session.start()
            return
        try:
            connection.send(wire.Answer(wire.BUSY, 0, b"the door is busy").encode(), _socket.MSG_NOSIGNAL)
        except OSError:
            pass
        connection.close()

    def _pause_accepting(self, error: OSError) -> None:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
            raise error
        self._inside.log(b"warning: unable to accept: " + words(error))
        assert self._listener is not None
        self._inside.loop.on_read(self._listener.fileno(), None)
        self._inside.loop.after(_PAUSE, self._listen)

    def _do_chores(self) -> None:
        self._inside.loop.after(_CHORES, self._do_chores)
        self.story.look()
        process.reap()  # a fork that ended between its exec and our ignoring SIGCHLD
        now = clock.monotonic()
        for session in list(self._sessions):
            session.look_at_clock(now)
        if self._listener is None:
            return
        self._chores += 1
        if self._chores % _LOOKS:
            self._taking.look_if_changed()
        else:
            self._taking.look()
        if self._may_renew and renewal.is_due(self._home, [NAME.encode()]):
            self._hand_over()

    def _hand_over(self) -> None:
        """A new version is installed: become it, with socket and lock; a fork finishes what is under way."""
        assert self._listener is not None
        self._may_renew = False
        self._taking.stop()
        self._inside.pause()
        try:
            process.fork(self._finish_as_fork)
        except OSError as error:
            self._inside.log(b"warning: unable to fork: " + words(error))
            self._may_renew = True
            self._go_on()
            return
        numbers = (self._listener.fileno(), self._lock)
        for number in numbers:
            posix.set_inheritable(number, True)
        environment = process.environment() | {b"QMAILHOME": self._home.path}
        argv = (
            [NAME.encode(), INHERIT, *(b"%d" % number for number in numbers)]
            + [SERVICE] * self._service
            + self.story.words
        )
        try:
            process.execute(self._home.program(NAME), argv, environment)
        except OSError as error:
            self._inside.log(b"warning: unable to run the new version, going on with the old one: " + words(error))
        for number in numbers:
            posix.set_inheritable(number, False)
        self._lose_sessions()
        self._hear_signals()
        self._inside.loop.catch_signals()
        self._go_on()

    def _go_on(self) -> None:
        self._inside.go_on()
        self._taking.resume()
        self._taking.look()

    def _lose_sessions(self) -> None:
        for session in self._sessions:
            session.surrender()
        self._sessions.clear()
        self._inside.surrender()

    def _finish_as_fork(self) -> int:
        title.set_title(NAME, "finishing")
        assert self._listener is not None
        self._listener.close()  # the lock and the name in door/ stay with the process that we come from
        self._listener = None
        posix.close(self._lock)
        self._inside.go_on_as_fork()
        self._hear_signals()
        self._stopping = True
        for session in list(self._sessions):
            session.resume()
            if session.is_idle:
                session.close()
        self._inside.committing.resume()
        self._taking.is_running = False
        self._inside.loop.after(_CHORES, self._do_chores)
        return self._serve()
