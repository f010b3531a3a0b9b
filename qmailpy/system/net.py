"""TCP to other machines, and which addresses are our own.

Connections belong to an asyncio loop: thousands of conversations share a process. They do without its transports, which
cost more than all that SMTP has to say on them. Every wait is bounded by the caller, with Stream.within. Who uses it:
remote/.
"""

import asyncio
import errno
import os
import resource
import socket

from qmailpy.system.interfaces import own_test as own_test  # noqa: PLC0414 - one name for all of the net
from qmailpy.system.interfaces import source_for as source_for  # noqa: PLC0414

ROOM = 1 << 18  # bytes of a peer that are kept unread; then it has to wait
_ANSWERS = 4  # bytes that are kept, for each byte that is sent at once: answers to many commands must not stop them
_UNSENT = 1 << 20  # bytes that nobody waits for: new keys for one who asks for them for ever, and reads none
_PIECE = (
    1 << 14
)  # bytes that are read at a time: the kernel fills memory that is at hand, a quarter of a megabyte is not


class ConnectionLost(Exception):
    """The peer has gone."""


class TlsError(Exception):
    """No TLS with this peer.  text: a clause; untrusted: there could be, but the peer is not who it should be."""

    def __init__(self, text: bytes, *, untrusted: bool = False) -> None:
        """text: printable."""
        super().__init__(text)
        self.text, self.untrusted = text, untrusted


class Within:
    """As asyncio.timeout, for one who waits for one connection again and again.

    It has one timer, which is seldom set: when it rings, it looks how much time there is by then.
    """

    __slots__ = ("_before", "_due", "_is_late", "_loop", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nobody waits."""
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None  # who waits
        self._due, self._before, self._is_late = 0.0, 0, False

    def __call__(self, seconds: float) -> "Within":
        """Before `with`.  seconds: for what is in its block."""
        self._due = self._loop.time() + seconds
        return self

    def __enter__(self) -> None:
        """From now on."""
        self._task = asyncio.current_task(self._loop)
        assert self._task is not None
        self._before = self._task.cancelling()
        if self._timer is None or self._timer.when() > self._due:
            self._set()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Errors: TimeoutError, in the place of the CancelledError that was our own."""
        task, self._task = self._task, None
        if self._is_late and task is not None:
            self._is_late = False
            if task.uncancel() <= self._before and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _set(self) -> None:
        self.stop()
        self._timer = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return
        if self._loop.time() < self._due:
            self._set()
        else:
            self._is_late = True
            self._task.cancel()

    def stop(self) -> None:
        """Nobody will wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Stream:
    """One connection: bytes in as they come, bytes out with the peer's patience.  within: bounds a wait for it."""

    def __init__(self, connected: socket.socket | None = None) -> None:
        """connected: does not block, and is ours from now on; None: as one that has ended."""
        self._socket = connected
        self._received = bytearray()
        self._unsent, self._room = b"", ROOM
        self._paused = self._is_waiting = False  # for room for what we keep; until the kernel takes more
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.within = Within(self._loop)
        if connected is not None:
            self._loop.add_reader(connected.fileno(), self._hear)  # by number: a socket is asked its names by repr()

    # what the loop calls

    def _hear(self) -> None:
        if self._socket is None:
            return
        try:
            piece = self._socket.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # why does not matter: gone is gone
            piece = b""
        if not piece:
            self._end()
            return
        self._received += piece
        if len(self._received) > self._room and not self._paused:
            self._loop.remove_reader(self._socket.fileno())
            self._paused = True
        _wake(self._reader)

    def _push(self) -> None:
        """Give the kernel what it takes."""
        if self._socket is None:
            return
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._lose()
            return
        if not self._unsent and self._is_waiting:
            self._is_waiting, self._room = False, ROOM
            self._loop.remove_writer(self._socket.fileno())
            _wake(self._writer)

    def _lose(self) -> None:
        """It cannot be written any more; what the peer said before it went may lie here still."""
        while self._socket is not None and len(self._received) <= self._room:
            before = len(self._received)
            self._hear()
            if len(self._received) == before:
                break
        self._end()

    def _end(self) -> None:
        connected, self._socket = self._socket, None
        if connected is not None:
            self._loop.remove_reader(connected.fileno())
            self._loop.remove_writer(connected.fileno())
            connected.close()
        self.within.stop()
        self._unsent = b""
        _wake(self._reader)
        _wake(self._writer)

    # what conversations call

    async def receive(self) -> bytes:
        """What has come, at least one byte.  Errors: ConnectionLost, once all of it has been taken."""
        while not self._received:
            if self._socket is None:
                raise ConnectionLost
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self.take()

    def take(self) -> bytes:
        """What has come by now, perhaps nothing."""
        taken = bytes(self._received)
        self._received.clear()
        if self._paused and self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._hear)
            self._paused = False
        return taken

    def is_quiet(self) -> bool:
        """Whether the peer is there, as far as we know, and has said nothing that nobody has taken."""
        return self._socket is not None and not self._received

    async def send(self, content: bytes) -> None:
        """Give it to the kernel; comes back when that has all of it.  Errors: ConnectionLost."""
        self.say(content)
        while self._unsent:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self._socket is None:
            raise ConnectionLost

    def say(self, content: bytes) -> None:
        """A few bytes that nobody waits for."""
        if self._socket is None or not content:
            return
        if self._unsent:
            self._unsent += content
            if len(self._unsent) > max(self._room, _UNSENT):
                self._end()
            return
        self._unsent = content
        self._push()
        if self._unsent and self._socket is not None:
            self._is_waiting, self._room = True, max(ROOM, _ANSWERS * len(content))
            self._loop.add_writer(self._socket.fileno(), self._push)

    def close(self, last: bytes = b"") -> None:
        """Say the last words, without waiting for anything, and be gone: the descriptor is given back."""
        self.say(last)
        self._end()


def _wake(waiting: "asyncio.Future[None] | None") -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


class NotOurs(Exception):
    """The address that a connection shall come from is none of this machine's.  address: which."""

    def __init__(self, address: bytes) -> None:
        """As above."""
        super().__init__(address)
        self.address = address


async def connect(address: bytes, port: int, patience: float, source: bytes = b"") -> Stream:
    """A connection to this address.

    address: canonical text, no name; patience: seconds > 0; source: where it comes from, of the same family, or empty.
    Errors: TimeoutError, which is worth remembering; NotOurs; OSError.
    """
    connected = socket.socket(socket.AF_INET6 if b":" in address else socket.AF_INET)
    try:
        connected.setblocking(False)
        if source:
            _come_from(connected, source)
        try:
            connected.connect((address.decode("ascii"), port))
        except (BlockingIOError, InterruptedError):
            async with asyncio.timeout(patience):
                await _until_connected(connected)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Stream(connected)
    except BaseException:
        connected.close()
        raise


def _come_from(connecting: socket.socket, source: bytes) -> None:
    try:
        connecting.bind((source.decode("ascii"), 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise NotOurs(source) from None
        raise


async def _until_connected(connecting: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()
    loop.add_writer(connecting.fileno(), _wake, waiting)
    try:
        await waiting
    finally:
        loop.remove_writer(connecting.fileno())
    failure = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failure:
        raise OSError(failure, os.strerror(failure))


def raise_descriptor_limit() -> None:
    """As many descriptors as we may have: a conversation needs three or four."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return
