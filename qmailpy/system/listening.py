"""TCP sockets that listen: made here, or given to us bound by whoever starts us; and what comes in by them.

_socket is the C module below socket, which costs 6 ms to import. Used by qmail-listen.
"""

import _socket
import errno
import posix

from qmailpy.system import identity, process
from qmailpy.verdict import TEMP, Die, words

_MAPPED = "::ffff:"  # what an IPv4 address looks like on a socket for both kinds
_ANY_IPV4, _ANY_IPV6 = "0.0.0.0", "::"  # noqa: S104 - listening is what this is for
_FIRST_GIVEN = 3  # descriptor: where systemd's sockets begin
_DIGITS = 5  # of a port or descriptor
_BY_DESCRIPTOR, _BY_SYSTEMD = b"fd:", b"systemd"
_GIVEN = (b"LISTEN_PID", b"LISTEN_FDS", b"LISTEN_FDNAMES")
# one connection that went wrong before it was ours, not the listener
_PASSING = (errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.ENONET,
            errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EOPNOTSUPP)  # fmt: skip
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class Listener:
    """One listening socket, non-blocking.  ip: empty where it takes connections for any address; port: its own."""

    __slots__ = ("descriptor", "family", "ip", "port", "socket")

    def __init__(self, socket: _socket.socket) -> None:
        """Errors: OSError where it is no TCP socket that listens."""
        is_tcp = socket.family in (_socket.AF_INET, _socket.AF_INET6) and socket.type == _socket.SOCK_STREAM
        if not is_tcp or not socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "not a TCP socket that listens")
        socket.setblocking(False)
        address = socket.getsockname()
        self.socket, self.family, self.port = socket, socket.family, int(address[1])
        self.descriptor = socket.fileno()
        self.ip = b"" if address[0] in (_ANY_IPV4, _ANY_IPV6) else plain(address[0])

    def accept(self) -> "tuple[int, bytes, int] | None":
        """The next connection: its descriptor (blocking, close-on-exec), the client's address and port.

        None: there is none (any more).  Errors: OSError, of EXHAUSTED or worse.
        """
        try:
            descriptor, address = self.socket._accept()  # type: ignore[attr-defined]
        except OSError as error:
            if error.errno in _PASSING:
                return None
            raise
        return descriptor, plain(address[0]), address[1]

    def of_connection(self, descriptor: int) -> _socket.socket:
        """A connection that was accepted here, as an object that never blocks in itself."""
        return _socket.socket(self.family, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK, 0, descriptor)

    def close(self) -> None:
        """Give it back; others that share it go on."""
        self.socket.close()


def plain(address: str) -> bytes:
    """An address as text: without its interface, IPv4 wherever it is one."""
    return address.partition("%")[0].removeprefix(_MAPPED).encode()


def is_given(host: bytes) -> bool:
    """Whether this stands for sockets that whoever starts us has bound: systemd, systemd:NAME, fd:NUMBER,..."""
    return host == _BY_SYSTEMD or host.startswith((_BY_SYSTEMD + b":", _BY_DESCRIPTOR))


def given(host: bytes) -> list[Listener]:
    """Those sockets.  Errors: Die TEMP."""
    if host.startswith(_BY_DESCRIPTOR):
        texts = host.removeprefix(_BY_DESCRIPTOR).split(b",")
        if any(not text.isdigit() or len(text) > _DIGITS for text in texts):
            raise Die(TEMP, b"unable to use " + host + b": that is no descriptor")
        return [_adopt(int(text)) for text in texts]
    numbers = _from_systemd(host.partition(b":")[2])
    if not numbers:
        raise Die(TEMP, b"unable to use " + host + b": systemd has given us no such socket")
    return [_adopt(number) for number in numbers]


def _from_systemd(wanted: bytes) -> list[int]:
    environment = process.environment()
    pid, count, names = (environment.get(name, b"") for name in _GIVEN)
    if pid != b"%d" % identity.my_pid() or not count.isdigit() or len(count) > _DIGITS:
        return []
    named = names.split(b":")
    numbers = range(_FIRST_GIVEN, _FIRST_GIVEN + int(count))
    found = [number for at, number in enumerate(numbers) if not wanted or (at < len(named) and named[at] == wanted)]
    for name in _GIVEN:  # no program of ours may think that they are its own
        process.set_variable(name, None)
    return found


def _adopt(descriptor: int) -> Listener:
    try:
        posix.set_inheritable(descriptor, False)
        return Listener(_socket.socket(fileno=descriptor))
    except OSError as error:
        raise Die(TEMP, b"unable to use descriptor %d: " % descriptor + words(error)) from None


def port_number(text: bytes) -> int:
    """A port by number, or by its name in /etc/services.  Errors: Die TEMP."""
    if text.isdigit() and len(text) <= _DIGITS and int(text) < 1 << 16:
        return int(text)
    try:
        return _socket.getservbyname(text.decode("ascii", "replace"), "tcp")
    except OSError:
        raise Die(TEMP, b"unable to figure out port number for " + text) from None


def open_socket(host: bytes, port: int, family: int, interface: bytes, backlog: int) -> Listener:
    """A new one.  host: address, name, or 0 for any; family: 0 any, 4, 6; interface: of a link-local address.

    0 and no family: IPv6 and IPv4 by one socket, IPv4 alone where there is no IPv6.  Errors: Die TEMP.
    """
    text = host.decode("ascii", "replace").removeprefix("[").removesuffix("]")
    if text in ("", "0"):
        if family != 4:
            try:
                return _listen(_socket.AF_INET6, (_ANY_IPV6, port), backlog, both=family != 6)
            except OSError as error:
                if family == 6 or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise _unable(error) from None
        text = _ANY_IPV4
    number, address = _resolve(text, port, family, host)
    if interface and number == _socket.AF_INET6:
        try:
            address = (address[0], port, 0, _socket.if_nametoindex(interface.decode("utf-8", "surrogateescape")))
        except OSError as error:
            raise Die(TEMP, b"unable to use interface " + interface + b": " + words(error)) from None
    try:
        return _listen(number, address, backlog, both=False)
    except OSError as error:
        raise _unable(error) from None


def _resolve(text: str, port: int, family: int, host: bytes) -> "tuple[int, tuple[object, ...]]":
    wanted = {4: _socket.AF_INET, 6: _socket.AF_INET6}.get(family, _socket.AF_UNSPEC)
    try:
        found = _socket.getaddrinfo(text.encode(), port, wanted, _socket.SOCK_STREAM)
    except _socket.gaierror as error:
        if error.errno in (_socket.EAI_AGAIN, _socket.EAI_SYSTEM, _socket.EAI_MEMORY):
            raise Die(TEMP, b"temporarily unable to figure out IP address for " + host) from None
        found = []
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise Die(TEMP, b"no IP address for " + host)
    best = min(found, key=lambda one: one[0] != _socket.AF_INET)  # a name with both has been an IPv4 address so far
    return best[0], best[4]


def _listen(family: int, address: "tuple[object, ...]", backlog: int, *, both: bool) -> Listener:
    socket = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            socket.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0 if both else 1)
        socket.bind(address)
        socket.listen(backlog)
        return Listener(socket)
    except BaseException:
        socket.close()
        raise


def _unable(error: OSError) -> Die:
    return Die(TEMP, b"unable to bind: " + words(error))


def drop_ip_options(connection: _socket.socket) -> None:
    """No source route of the client's choice; where there is no such thing (IPv6) nothing happens."""
    try:
        connection.setsockopt(_socket.IPPROTO_IP, _socket.IP_OPTIONS, b"")
    except OSError:
        return


def never_delay(listener: Listener) -> None:
    """What is said goes out at once, on every connection that is accepted from now on (Linux hands this down)."""
    listener.socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
