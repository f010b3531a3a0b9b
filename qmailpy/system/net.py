"""TCP to other machines, and which addresses are our own.

Connections belong to an asyncio loop: thousands of conversations share a process. Every wait is bounded by the caller
with asyncio.timeout. Who uses it: remote/.
"""

import asyncio
import errno
import resource
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = 1 << 18  # bytes of a peer that are kept unread; then it has to wait
_GETADDR, _NEWADDR, _ERROR, _DONE = 22, 20, 2, 3  # kinds of netlink messages
_DUMP = 0x301  # NLM_F_REQUEST, NLM_F_ROOT, NLM_F_MATCH
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_DUMP_SIZE = 1 << 16  # bytes; the kernel fills at most half of it at a time


class ConnectionLost(Exception):
    """The peer has gone."""


class TlsError(Exception):
    """No TLS with this peer.  text: a clause; untrusted: there could be, but the peer is not who it should be."""

    def __init__(self, text: bytes, *, untrusted: bool = False) -> None:
        """text: printable."""
        super().__init__(text)
        self.text, self.untrusted = text, untrusted


class Stream(asyncio.Protocol):
    """One connection: bytes in as they come, bytes out with the peer's patience."""

    def __init__(self) -> None:
        """Not connected yet; connect() makes it."""
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._ended = False
        self._paused = False
        self._full = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Asyncio's."""
        self._received += data
        if len(self._received) > ROOM and self._transport is not None and not self._paused:
            self._transport.pause_reading()
            self._paused = True
        _wake(self._reader)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Asyncio's; why does not matter: gone is gone."""
        self._ended = True
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """Asyncio's."""
        self._full = True

    def resume_writing(self) -> None:
        """Asyncio's."""
        self._full = False
        _wake(self._writer)

    # what conversations call

    async def receive(self) -> bytes:
        """What has come, at least one byte.  Errors: ConnectionLost, once all of it has been taken."""
        if not self._received:
            if self._ended:
                raise ConnectionLost
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self.take() or await self.receive()

    def take(self) -> bytes:
        """What has come by now, perhaps nothing."""
        taken = bytes(self._received)
        self._received.clear()
        if self._paused and self._transport is not None and not self._ended:
            self._transport.resume_reading()
            self._paused = False
        return taken

    def is_quiet(self) -> bool:
        """Whether the peer is there, as far as we know, and has said nothing that nobody has taken."""
        return not (self._ended or self._received)

    async def send(self, content: bytes) -> None:
        """Give it to the kernel; comes back when there is room for more.  Errors: ConnectionLost."""
        if self._ended or self._transport is None:
            raise ConnectionLost
        self._transport.write(content)
        while self._full and not self._ended:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self._ended:
            raise ConnectionLost

    def say(self, content: bytes) -> None:
        """A few bytes that nobody waits for."""
        if content and self._transport is not None and not self._ended:
            self._transport.write(content)

    def close(self, last: bytes = b"") -> None:
        """Say the last words, without waiting for anything, and be gone."""
        if self._transport is None:
            return
        if last and not self._ended:
            self._transport.write(last)
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    async def closed(self) -> None:
        """After close(): come back when the descriptor is given back."""
        while not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader


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
    loop = asyncio.get_running_loop()
    local = (source.decode("ascii"), 0) if source else None
    try:
        async with asyncio.timeout(patience):
            _, stream = await loop.create_connection(Stream, address.decode("ascii"), port, local_addr=local)
    except OSError as error:
        if local and error.errno == errno.EADDRNOTAVAIL:
            raise NotOurs(source) from None
        raise
    return stream


def source_for(address: bytes) -> bytes | None:
    """Our own address that the kernel would use for a connection there; None where there is no way.

    address: canonical text.  Nothing is sent.
    """
    family = socket.AF_INET6 if b":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address.decode("ascii"), 9))
            source: str = probe.getsockname()[0]
    except OSError:
        return None
    return source.partition("%")[0].encode("ascii")


def own_test() -> "Callable[[bytes], bool]":
    """The question whether an address (canonical text) is one of this machine's interfaces, as of now.

    By the kernel's list, not by binding a socket to each candidate: with ip_nonlocal_bind, or a route that brings
    foreign addresses here, every bind succeeds, and all mail would seem to loop. Only where there is no such list
    (another kernel, a unit that forbids netlink) binding must do.  Errors: OSError.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return _can_bind
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES):
            return _can_bind
        raise
    with netlink:
        packed = _interface_addresses(netlink)
    families = {4: socket.AF_INET, 16: socket.AF_INET6}
    return frozenset(socket.inet_ntop(families[len(one)], one).encode("ascii") for one in packed).__contains__


def _can_bind(address: bytes) -> bool:
    family = socket.AF_INET6 if b":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address.decode("ascii"), 0))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            raise
        return False
    return True


def _number(content: bytes) -> int:
    return int.from_bytes(content, sys.byteorder)


def _interface_addresses(netlink: socket.socket) -> set[bytes]:
    """The packed addresses of all interfaces (RTM_GETADDR of rtnetlink(7))."""
    found: set[bytes] = set()
    head = ((24, 4), (_GETADDR, 2), (_DUMP, 2), (1, 4), (0, 4))  # length, type, flags, sequence, port
    netlink.settimeout(10.0)  # the kernel answers at once
    netlink.send(b"".join(value.to_bytes(size, sys.byteorder) for value, size in head) + bytes(8))
    while True:
        answer = netlink.recv(_DUMP_SIZE)
        at = 0
        while len(answer) - at >= 16:
            length, kind = _number(answer[at : at + 4]), _number(answer[at + 4 : at + 6])
            if kind == _DONE:
                return found
            if kind == _ERROR or length < 16:
                raise OSError(errno.EIO, "netlink")
            if kind == _NEWADDR:
                found.update(_local_address(answer[at + 24 : at + length]))
            at += -(-length // 4) * 4


def _local_address(attributes: bytes) -> set[bytes]:
    """The address of one interface: IFA_LOCAL where there is one (IFA_ADDRESS is then the other end's)."""
    values = {}
    at = 0
    while len(attributes) - at >= 4:
        length = _number(attributes[at : at + 2])
        if length < 4:
            break
        kind = _number(attributes[at + 2 : at + 4])
        values[kind] = attributes[at + 4 : at + length]
        at += -(-length // 4) * 4
    value = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS) or b""
    return {value} if len(value) in (4, 16) else set()


def raise_descriptor_limit() -> None:
    """As many descriptors as we may have: a conversation needs three or four."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return
