"""In which order the addresses of one host are tried (RFC 6724 6), as far as it matters to a mail system.

An address that we have no source for comes last. IPv6 comes before IPv4 where our own source is of the same kind as the
destination; a private source (ULA), or one of a tunnel (6to4, Teredo), for a destination that is not: after IPv4. Among
equals the order stays.
"""

import ipaddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Source = Callable[[bytes], "bytes | None"]

_KINDS = tuple(
    ipaddress.IPv6Network(network) for network in ("::1/128", "fc00::/7", "fe80::/10", "2002::/16", "2001::/32")
)
_NATIVE, _IPV4, _ODD, _UNREACHABLE = range(4)


def in_order(addresses: list[bytes], source_of: "Source") -> list[bytes]:
    """The same addresses, the best first.

    addresses: canonical text; source_of(address): our own that the kernel would use, None: there is no way there. It
    is asked only where there is a choice between the families.
    """
    if len({b":" in address for address in addresses}) < 2:
        return addresses
    return sorted(addresses, key=lambda address: _rank(address, source_of(address)))


def _rank(address: bytes, source: bytes | None) -> int:
    if source is None:
        return _UNREACHABLE
    if b":" not in address:
        return _IPV4
    return _NATIVE if _kind(address) == _kind(source) else _ODD


def _kind(address: bytes) -> int:
    """Which of the special networks it lies in; any number for none of them."""
    parsed = ipaddress.ip_address(address.decode("ascii"))
    return next((number for number, network in enumerate(_KINDS) if parsed in network), len(_KINDS))
