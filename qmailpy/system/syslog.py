"""Lines to the system's log daemon, without ever waiting for it longer than told.

What the C library's syslog(3) writes: one datagram "<PRIORITY>Mmm dd hh:mm:ss IDENT: TEXT" to the socket /dev/log (a
stream, each message ended by NUL, where the daemon wants that). syslog(3) itself is not used: it blocks while
nobody reads.  Used by splogger.
"""

import _socket
import errno
import select

from qmailpy.system import clock

DEFAULT = b"/dev/log"
PATIENCE = 1.0  # seconds to wait for a log daemon that is behind; after one such wait in vain: none

INFO, WARNING, ALERT = 6, 4, 1
MAIL = 2  # facility

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


def header(priority: int, facility: int, ident: bytes, when: int) -> bytes:
    """What stands before the text.  priority: 0..7; facility: 0..23; when: seconds since the epoch."""
    month, day, hour, minute, second = clock.local(when)
    stamp = b"%s %2d %02d:%02d:%02d" % (_MONTHS[month - 1], day, hour, minute, second)
    return b"<%d>%s %s: " % ((facility << 3) | priority, stamp, ident)


class Syslog:
    """A connection to the log daemon that comes back after the daemon was restarted.

    ident: the word before each line; path: of the socket; patience: seconds a send may wait, at most.
    """

    def __init__(self, ident: bytes, facility: int = MAIL, path: bytes = DEFAULT, patience: float = PATIENCE) -> None:
        """Nothing is opened until there is something to say."""
        self._ident, self._facility, self._path = ident, facility, path
        self._patience = patience
        self._socket: _socket.socket | None = None
        self._stream = False
        self._dated, self._header = (-1, 0), b""  # of the last line: its priority and second
        self._hopeful = True  # the last line got through, so waiting a moment for the next one is worth it

    def send(self, priority: int, text: bytes) -> bool:
        """Hand one line over.  text: no LF, no NUL.  Result: whether the log daemon has it.  Errors: none."""
        now = clock.now()
        if self._dated != (priority, now):  # a busy log has many lines in a second
            self._dated, self._header = (priority, now), header(priority, self._facility, self._ident, now)
        message = self._header + text
        got_through = self._try(message)
        if not got_through and self._socket is None:  # it was restarted: once more, on its new socket
            got_through = self._try(message)
        self._hopeful = got_through
        return got_through

    def _try(self, message: bytes) -> bool:
        if self._socket is None and not self._connect():
            return False
        connection = self._socket
        assert connection is not None
        deadline = 0.0
        left = memoryview(message + b"\0" if self._stream else message)
        while left:
            try:
                left = left[connection.send(left) :]
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                    self.close()
                    return False
                deadline = deadline or clock.monotonic() + (self._patience if self._hopeful else 0.0)
                if not _writable(connection, deadline - clock.monotonic()):
                    if self._stream and len(left) <= len(message):
                        self.close()  # half a message went out: nothing may follow it on this stream
                    self._hopeful = False
                    return False
        return True

    def _connect(self) -> bool:
        for kind in (_socket.SOCK_DGRAM, _socket.SOCK_STREAM):
            connection = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
            try:
                connection.connect(self._path)
            except OSError as error:
                connection.close()
                if error.errno == errno.EPROTOTYPE:
                    continue
                return False
            self._socket, self._stream = connection, kind == _socket.SOCK_STREAM
            return True
        return False

    def close(self) -> None:
        """Give the connection up; the next send makes a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _writable(connection: _socket.socket, seconds: float) -> bool:
    """Wait so long at most for room.  Result: whether there is some."""
    if seconds <= 0:
        return False
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLOUT)
    return bool(poller.poll(seconds * 1000))
