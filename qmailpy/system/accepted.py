"""A TCP connection that somebody else has accepted, on a standard descriptor: its two ends, and who is there.

The C library answers for names (it is asked once, by a program that then becomes another). _socket is the C module
below socket, which costs 6 ms to import. Used by tcp-env and qmail-listen.
"""

import _socket
import posix

from qmailpy.system import clock
from qmailpy.verdict import TEMP, Die

_MAPPED = "::ffff:"  # what an IPv4 address looks like on a socket for both kinds
_NAME_REQUIRED = 8  # NI_NAMEREQD of netdb.h: a number is not a name
_SOFT = (_socket.EAI_AGAIN, _socket.EAI_SYSTEM, _socket.EAI_MEMORY)


class End:
    """One end.  ip: as text, IPv4 wherever it is one."""

    __slots__ = ("ip", "port")

    def __init__(self, ip: str, port: int) -> None:
        """port: 0..65535."""
        self.ip, self.port = ip, port


def ends(descriptor: int) -> tuple[End, End]:
    """Local and remote end.  Errors: Die TEMP where it is not a TCP connection."""
    try:
        connection = _socket.socket(fileno=posix.dup(descriptor))
        with_family = connection.family in (_socket.AF_INET, _socket.AF_INET6)
        names = [connection.getsockname(), connection.getpeername()] if with_family else []
        connection.close()
    except OSError:
        names = []
    if not names:
        raise Die(TEMP, b"descriptor %d is not a TCP connection" % descriptor)
    local, remote = (End(name[0].partition("%")[0].removeprefix(_MAPPED), name[1]) for name in names)
    return local, remote


class NobodyKnows(Exception):
    """The DNS did not answer: asking later may help."""


def name_of(end: End) -> str | None:
    """The host name of this address; None where it has none.  Errors: NobodyKnows."""
    try:
        return _socket.getnameinfo((end.ip, end.port), _NAME_REQUIRED)[0]
    except _socket.gaierror as error:
        if error.errno in _SOFT:
            raise NobodyKnows from None
        return None
    except (OSError, UnicodeError):
        return None


def addresses_of(name: str) -> list[str]:
    """The addresses of this host name; none where there are none, or none can be found now."""
    try:
        found = _socket.getaddrinfo(name.encode("utf-8", "surrogateescape"), 0, _socket.AF_UNSPEC, _socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(one[4][0]).partition("%")[0] for one in found]


def ask(here: End, there: End, port: int, query: bytes, limits: tuple[float, int]) -> bytes:
    """What a server on the remote host says to one line, up to its LF or the end; empty if it cannot be asked.

    here: the address to ask from; limits: seconds for each step, bytes of the reply.
    """
    patience, size = limits
    family = _socket.AF_INET6 if ":" in there.ip else _socket.AF_INET
    reply = b""
    try:
        connection = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(patience)
            connection.bind((here.ip, 0))
            connection.connect((there.ip, port))
            connection.send(query)
            deadline = clock.monotonic() + patience  # for the reply as a whole: one byte a time is no progress
            while b"\n" not in reply and len(reply) < size and clock.monotonic() < deadline:
                piece = connection.recv(size - len(reply))
                if not piece:
                    break
                reply += piece
        finally:
            connection.close()
    except OSError:  # a time-out is one
        return b""
    return reply
