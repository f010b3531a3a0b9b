"""The door's socket and lock: listening, calling, and who is at the other end.

A Unix stream socket; the peer's effective uid comes from the kernel (SO_PEERCRED), never from
the peer's words. _socket is the C module below socket, which costs 11 ms to import.
"""

import _socket
import errno
import posix
import select

from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die

_CREDENTIALS = 12  # bytes of struct ucred: pid, uid, gid
BACKLOG = 1024
PATH_LIMIT = 107  # bytes of sun_path on Linux, without its NUL
_GONE = (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR)
_ANSWER = 4096  # bytes read from the door at once


class Peer:
    """Who connected: effective uid and gid, pid (0 if outside our pid namespace)."""

    __slots__ = ("gid", "pid", "uid")

    def __init__(self, pid: int, uid: int, gid: int) -> None:
        """As the kernel says."""
        self.pid, self.uid, self.gid = pid, uid, gid


def peer_of(connection: _socket.socket) -> Peer:
    """The other end, by SO_PEERCRED, as it was when it connected."""
    packed = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS)
    words = [int.from_bytes(packed[at : at + 4], "little", signed=at == 0) for at in (0, 4, 8)]
    return Peer(max(words[0], 0), words[1], words[2])


def lock(path: bytes) -> int | None:
    """The door's lock, for as long as the descriptor in the result is open; None: another door holds it.

    Errors: OSError.
    """
    import fcntl

    descriptor = posix.open(path, posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        posix.close(descriptor)
        return None
    return descriptor


def listen(path: bytes) -> _socket.socket:
    """A listening socket that is put in place by rename; anybody may connect (mode 0666).

    The caller holds the lock of the directory.  Errors: OSError.
    """
    temporary = path + b".%d" % identity.my_pid()
    try:
        posix.unlink(temporary)
    except FileNotFoundError:
        pass
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    before = posix.umask(0o111)  # not chmod: root may do this in a directory of qmailq's, who could put a link there
    try:
        with _short(temporary) as name:
            listener.bind(name)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        posix.rename(temporary, path)
    except BaseException:
        listener.close()
        raise
    finally:
        posix.umask(before)
    return listener


def inherited(descriptor: int) -> _socket.socket:
    """The listening socket that an earlier version of this process has left open for us.

    Errors: OSError where the descriptor is no socket.
    """
    listener = _socket.socket(fileno=descriptor)
    posix.set_inheritable(descriptor, False)
    listener.setblocking(False)
    return listener


def accept(listener: _socket.socket) -> _socket.socket | None:
    """The next caller, non-blocking; None when there is none (or it has gone again).  Errors: OSError."""
    try:
        descriptor, _ = listener._accept()  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    connection = _socket.socket(fileno=descriptor)
    connection.setblocking(False)
    return connection


def connect(path: bytes) -> _socket.socket:
    """A connection to the door, non-blocking.

    Errors: OSError; ENOENT and ECONNREFUSED: the door is closed, EAGAIN: too many are waiting before it.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.setblocking(False)
        with _short(path) as name:
            connection.connect(name)
    except BaseException:
        connection.close()
        raise
    return connection


class Line:
    """The caller's end of a conversation: nothing here waits for ever, and the door may speak at any time."""

    def __init__(self, path: bytes) -> None:
        """Errors: as connect()."""
        self._socket = connect(path)
        self._poll = select.poll()

    @property
    def peer(self) -> Peer:
        """Who listens there.  Errors: OSError."""
        return peer_of(self._socket)

    def send(self, content: bytes, patience: float) -> bool:
        """Whether all of it was sent: False as soon as the door has spoken or hung up.

        patience: seconds in which nothing moves.  Errors: TimeoutError.
        """
        view = memoryview(content)
        while view:
            try:
                view = view[self._socket.send(view, _socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                if self._wait(select.POLLIN | select.POLLOUT, patience) & ~select.POLLOUT:
                    return False
            except OSError:  # it has hung up; perhaps it said why
                return False
        return True

    def receive(self, patience: float) -> bytes:
        """What the door says; empty when it has hung up.  Errors: TimeoutError."""
        while True:
            try:
                return self._socket.recv(_ANSWER)
            except BlockingIOError:
                self._wait(select.POLLIN, patience)
            except OSError:
                return b""

    def await_input(self, descriptor: int, longest: float) -> bool | None:
        """Whether this descriptor can be read; None: no, the door has spoken; False: nothing in so many seconds."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.register(self._socket, select.POLLIN)
        ready = dict(poll.poll(longest * 1000))
        if self._socket.fileno() in ready:
            return None
        return descriptor in ready

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _wait(self, events: int, patience: float) -> int:
        self._poll.register(self._socket, events)
        for _, happened in self._poll.poll(patience * 1000):
            return happened
        raise TimeoutError(errno.ETIMEDOUT, "the door does not move")


class _short:  # noqa: N801 - reads as a word in a with statement
    """A name for a socket path that fits sun_path, however long the home's path is."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._folder = -1

    def __enter__(self) -> bytes:
        if len(self._path) <= PATH_LIMIT:
            return self._path
        folder, _, name = self._path.rpartition(b"/")
        self._folder = posix.open(folder, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
        short = b"/proc/self/fd/%d/%s" % (self._folder, name)
        if len(short) > PATH_LIMIT:
            raise Die(TEMP, b"unable to reach the door: its path is too long: " + self._path)
        return short

    def __exit__(self, *_: object) -> None:
        if self._folder >= 0:
            posix.close(self._folder)
