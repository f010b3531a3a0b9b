"""A connection for a program that holds one conversation and may wait: a stream to a Unix socket or a TCP port.

Everything has a time-out: the peer has `patience` seconds for each thing that is awaited, however many pieces it comes
in. (Who holds many conversations uses system/net.)
"""

import _socket

from qmailpy.system import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIECE = 65536  # bytes that are taken at once


class SilentPeer(OSError):
    """The peer has let its time pass."""


class UnknownHost(OSError):
    """No address of this name, now."""


class Stream:
    """An open connection.  patience: seconds > 0."""

    __slots__ = ("_end", "_patience", "_socket")

    def __init__(self, socket: "_socket.socket", patience: float) -> None:
        """socket: connected; ours from now on."""
        self._socket, self._patience = socket, patience
        self._end = 0.0
        self.await_anew()

    def await_anew(self) -> None:
        """From here on the peer has its whole time again."""
        self._end = clock.monotonic() + self._patience

    def have_patience(self, patience: float) -> None:
        """From here on the peer has so many seconds instead.  patience: > 0."""
        self._patience = patience
        self.await_anew()

    def receive(self) -> bytes:
        """What comes next; empty: the peer has hung up.  Errors: SilentPeer, OSError."""
        self._watch()
        try:
            return self._socket.recv(PIECE)
        except TimeoutError:
            raise SilentPeer from None

    def send(self, content: bytes) -> None:
        """All of it.  Errors: SilentPeer, OSError."""
        view = memoryview(content)
        try:
            while view:
                self._watch()
                view = view[self._socket.send(view) :]
        except TimeoutError:
            raise SilentPeer from None

    def _watch(self) -> None:
        left = self._end - clock.monotonic()
        if left <= 0:
            raise SilentPeer
        self._socket.settimeout(left)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def connect_unix(path: bytes, patience: float) -> Stream:
    """A connection to the socket at this path.  Errors: SilentPeer, OSError."""
    return _connected(_socket.AF_UNIX, path, patience)


def connect_tcp(host: bytes, port: int, patience: float) -> Stream:
    """A connection to this host's port: to the first of its addresses that answers.

    host: a name or an address, without brackets.  Errors: UnknownHost, SilentPeer, OSError; of the last address.
    """
    try:
        found = _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM)
    except OSError:
        raise UnknownHost from None
    last: OSError = UnknownHost()
    for family, _, _, _, address in found:
        try:
            return _connected(family, address, patience)
        except OSError as error:
            last = error
    raise last


def _connected(family: int, address: "bytes | tuple[Any, ...]", patience: float) -> Stream:
    socket = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.settimeout(patience)
        socket.connect(address)
    except TimeoutError:
        socket.close()
        raise SilentPeer from None
    except OSError:
        socket.close()
        raise
    return Stream(socket, patience)
