"""Which addresses are our own: the kernel's list of this machine's interfaces.  Who uses it: by system/net, remote/."""

import errno
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_GETADDR, _NEWADDR, _ERROR, _DONE = 22, 20, 2, 3  # kinds of netlink messages
_DUMP = 0x301  # NLM_F_REQUEST, NLM_F_ROOT, NLM_F_MATCH
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_DUMP_SIZE = 1 << 16  # bytes; the kernel fills at most half of it at a time


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
