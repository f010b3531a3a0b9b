"""Names and addresses of this machine, as its administrator's config asks for them once.

The C library answers (DNS, and /etc/hosts where the system is set up so); a name without a dot and an address of the
loopback network are no answer. Deliveries never ask here: they use system/dns.
"""

import array
import fcntl
import socket
import struct

from qmailpy.verdict import PERM, TEMP, Die

_SIOCGIFCONF = 0x8912  # Linux: list of interfaces with an IPv4 address
_REQUEST = 40  # bytes of struct ifreq on 64-bit machines: name 16, sockaddr 24
_MOST = 256  # interfaces
_TEMPORARY = (socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY)


def host_name() -> str:
    """What the kernel calls this machine, lower-cased; empty where it has no name."""
    return socket.gethostname().lower()


def addresses(name: str) -> list[str]:
    """IPv4 and IPv6 addresses of a name, without loopback ones.

    Errors: Die, PERM: it has none ("hard error"); TEMP: nobody could say ("soft error").
    """
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _TEMPORARY:
            raise Die(TEMP, b"soft error") from None
        raise Die(PERM, b"hard error") from None
    except (OSError, UnicodeError):
        raise Die(PERM, b"hard error") from None
    found = list(dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers))
    outside = [address for address in found if not address.startswith("127.") and address != "::1"]
    if not outside:
        raise Die(PERM, b"hard error")
    return outside


def name_of(address: str) -> str | None:
    """The name of an address (PTR), as the resolver gives it; None where it has none."""
    try:
        return socket.gethostbyaddr(address)[0]
    except OSError:
        return None


def full_name(name: str) -> str:
    """The name in DNS of a host: by its address, and back; lower-cased.  Errors: as addresses()."""
    for address in addresses(name):
        found = name_of(address)
        if found is not None and "." in found:
            return found.lower()
    raise Die(PERM, b"hard error")


def own_addresses() -> list[str]:
    """IPv4 addresses of this machine's interfaces, loopback too.  Errors: none; what cannot be asked is not listed."""
    space = array.array("B", bytes(_REQUEST * _MOST))
    where, size = space.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking.fileno(), _SIOCGIFCONF, struct.pack("iP", size, where))
        except OSError:
            return []
    length = struct.unpack("iP", answer)[0]
    rows = (space[at : at + _REQUEST] for at in range(0, length, _REQUEST))
    return [socket.inet_ntoa(row[20:24].tobytes()) for row in rows if row[16] == socket.AF_INET]
