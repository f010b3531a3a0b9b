"""The log of a process that serves many: lines on descriptor 2, and whoever does not read them keeps nobody waiting.

A line that cannot go out now is kept, in order, as long as MOST bytes are enough; what comes beyond that is counted,
and the count is said when there is room again. The descriptor's own flags are left alone: it is shared with processes
that expect to wait.  Used by qmail-listen's workers and master, the door, qmail-authd.
"""

import _socket
import errno
import posix
import select
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    After = Callable[[float, Callable[[], None]], object]  # of system/loop

MOST = 256 << 10  # bytes that are kept
AGAIN = 0.25  # seconds between two attempts while nobody reads
_SURE = 4096  # bytes that a pipe takes whole, or not at all
_TYPE, _PIPE, _SOCKET, _FILE = 0o170000, 0o010000, 0o140000, 0o100000  # of st_mode
_UNABLE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ESPIPE, errno.EINVAL)  # an older kernel's pipes
_LOST = b": warning: nobody read the log for a while: %d lines are lost"


class Outlet:
    """Lines out, in their order, without waiting.  Nothing raises."""

    __slots__ = (
        "_after",
        "_descriptor",
        "_is_called",
        "_is_file",
        "_is_pipe",
        "_is_socket",
        "_lost",
        "_name",
        "_size",
        "_waiting",
    )

    def __init__(self, name: bytes, after: "After", descriptor: int = 2) -> None:
        """name: of the program, before what we say ourselves; after: has something called later."""
        self._name, self._after, self._descriptor = name, after, descriptor
        self._waiting: deque[bytes] = deque()  # whole lines, but perhaps for the first one's beginning
        self._size = self._lost = 0
        self._is_called = False  # _go_on() will be
        try:
            kind = posix.fstat(descriptor).st_mode & _TYPE
        except OSError:  # it is closed, and every write fails
            kind = 0
        self._is_pipe, self._is_socket, self._is_file = kind == _PIPE, kind == _SOCKET, kind == _FILE

    def say(self, text: bytes) -> None:
        """A line, or some together.  text: without the last LF."""
        content = text + b"\n"
        if self._waiting:
            self._drain()  # or a reader that is only slow would lose lines
        if self._waiting:
            self._keep(content)
            return
        left = self._give(content)
        if left:
            self._waiting.append(left)
            self._size = len(left)
            self._try_later()

    def resume(self) -> None:
        """In a fork of this process, with another loop: what waits is ours to say."""
        self._is_called = False
        if self._waiting:
            self._try_later()

    def forget(self) -> None:
        """After such a fork: the other one says what waits."""
        self._waiting.clear()
        self._size = self._lost = 0

    def finish(self, seconds: float) -> None:
        """The process ends: what waits may take so long."""
        if self._waiting and _is_writable(self._descriptor, seconds):
            self._drain()

    def _keep(self, content: bytes) -> None:
        if self._size + len(content) > MOST:
            self._lost += content.count(b"\n")
        else:
            self._waiting.append(content)
            self._size += len(content)

    def _try_later(self) -> None:
        if not self._is_called:
            self._is_called = True
            self._after(AGAIN, self._go_on)

    def _go_on(self) -> None:
        self._is_called = False
        self._drain()
        if self._waiting:
            self._try_later()

    def _drain(self) -> None:
        """As much as goes now."""
        while self._waiting or self._lost:
            if not self._waiting:
                self._waiting.append(self._name + _LOST % self._lost + b"\n")
                self._size, self._lost = len(self._waiting[0]), 0
            content = self._waiting.popleft()
            left = self._give(content)
            self._size -= len(content) - len(left)
            if left:
                self._waiting.appendleft(left)
                return

    def _give(self, content: bytes) -> bytes:
        """What of it does not go now; nothing where it can never go."""
        try:
            while content:
                content = content[self._write(content[:_SURE]) :]
        except BlockingIOError:
            return content
        except OSError:  # nobody is there
            return b""
        return b""

    def _write(self, piece: bytes) -> int:
        """Errors: BlockingIOError, not now; OSError."""
        if self._is_pipe:
            try:
                return posix.pwritev(self._descriptor, [piece], -1, posix.RWF_NOWAIT)
            except OSError as error:
                if error.errno not in _UNABLE:
                    raise
                self._is_pipe = False
        if self._is_socket:
            connection = _socket.socket(fileno=self._descriptor)
            try:
                return connection.send(piece, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
            finally:
                connection.detach()  # it is not ours to close
        if not self._is_file and not _is_writable(self._descriptor, 0.0):
            raise BlockingIOError
        return posix.write(self._descriptor, piece)


def _is_writable(descriptor: int, seconds: float) -> bool:
    """Whether _SURE bytes can be written without waiting, or the write would fail."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
