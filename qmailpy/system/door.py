"""The door's socket: listening, connecting, and who is at the other end.

A Unix stream socket; the peer's effective uid comes from the kernel (SO_PEERCRED), never from
the peer's words. _socket is the C module below socket, which costs 11 ms to import.
"""

import _socket
import errno
import posix

from qmailpy.system import clock, identity
from qmailpy.verdict import TEMP, Die

_CREDENTIALS = 12  # bytes of struct ucred: pid, uid, gid
BACKLOG = 1024
PATH_LIMIT = 107  # bytes of sun_path on Linux, without its NUL


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
    with _short(temporary) as name:
        listener.bind(name)
    posix.chmod(temporary, 0o666)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    posix.rename(temporary, path)
    return listener


def accept(listener: _socket.socket) -> _socket.socket | None:
    """The next caller, non-blocking; None when there is none (or it has gone again)."""
    try:
        descriptor, _ = listener._accept()  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR):
            return None
        raise
    connection = _socket.socket(fileno=descriptor)
    connection.setblocking(False)
    return connection


def connect(path: bytes, patience: float) -> _socket.socket:
    """A blocking connection, its reads and writes limited to patience seconds each.

    patience: seconds > 0.  Errors: OSError; ENOENT and ECONNREFUSED mean that the door is closed.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(patience)
        with _short(path) as name:
            connection.connect(name)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_with_patience(path: bytes, total: float) -> _socket.socket:
    """connect(), tried again while the door is closed, for so many seconds.  Errors: OSError."""
    deadline = clock.monotonic() + total
    while True:
        left = deadline - clock.monotonic()
        try:
            return connect(path, max(left, 0.1))
        except (FileNotFoundError, ConnectionRefusedError):
            if left <= 0:
                raise
            clock.sleep(min(0.1, left))


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
