"""Addresses of a name as the C library finds them: /etc/hosts and whatever else nsswitch.conf says, then the DNS.

For qmail-direct, which knows one relay by the name that a container's network gives it. It asks in a thread, since the
C library waits. Deliveries from the queue use system/dns alone.
"""

import asyncio
import socket

from qmailpy.system.dns import Hard, Resolver, Soft

_UNKNOWN = (socket.EAI_NONAME, socket.EAI_NODATA)


class HostsResolver(Resolver):
    """MX by the DNS, addresses by the C library."""

    async def a(self, name: bytes) -> list[bytes]:
        """IPv4 addresses as text.  Errors: Soft, Hard."""
        return await _addresses(name, socket.AF_INET)

    async def aaaa(self, name: bytes) -> list[bytes]:
        """IPv6 addresses as text.  Errors: Soft, Hard."""
        return await _addresses(name, socket.AF_INET6)


async def _addresses(name: bytes, family: socket.AddressFamily) -> list[bytes]:
    try:
        host = name.decode("utf-8")
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise (Hard if error.errno in _UNKNOWN else Soft) from None
    except UnicodeError:
        raise Hard from None
    return list(dict.fromkeys(str(one[4][0]).partition("%")[0].encode("ascii") for one in found))
