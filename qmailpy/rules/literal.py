"""Addresses of machines in digits, as they stand in mail addresses, routes and reports.

An address is its canonical text as bytes: 127.0.0.1, 2001:db8::1. IPv4 inside IPv6 (::ffff:127.0.0.1) is IPv4.
"""

import ipaddress

_DIGITS = b"0123456789"
_HEX = b"0123456789abcdefABCDEF:."  # no zone: it means something on one machine only
_TAG = b"ipv6:"


def literal(name: bytes) -> bytes | None:
    """The address that a host name in digits is: d.d.d.d, [d.d.d.d], [v6], [IPv6:v6]; None for a real name.

    Numbers are decimal, also with leading zeros (spec/06 3); above 255 they are a name.
    """
    if name.startswith(b"[") and name.endswith(b"]"):
        inside = name[1:-1]
        tagged = inside[: len(_TAG)].lower() == _TAG
        return ipv6(inside[len(_TAG) :] if tagged else inside) or (None if tagged else ipv4(inside))
    return ipv4(name)


def ipv4(text: bytes) -> bytes | None:
    """Four decimal numbers with dots, canonical; None if it is not that."""
    if not text[-1:].isdigit():  # as nearly every name
        return None
    parts = text.split(b".")
    if len(parts) != 4:
        return None
    numbers = []
    for part in parts:
        if not 1 <= len(part) <= 3 or part.strip(_DIGITS) or int(part) > 255:
            return None
        numbers.append(int(part))
    return b"%d.%d.%d.%d" % tuple(numbers)


def ipv6(text: bytes) -> bytes | None:
    """An IPv6 address, canonical (RFC 5952), without zone; None if it is not that."""
    if b":" not in text or text.strip(_HEX):
        return None
    try:
        return _canonical(ipaddress.IPv6Address(text.decode("ascii")))
    except ValueError:
        return None


def _canonical(address: "ipaddress.IPv4Address | ipaddress.IPv6Address") -> bytes:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address).encode("ascii")


def text_of(packed: bytes) -> bytes:
    """The canonical text of 4 or 16 bytes."""
    return _canonical(ipaddress.ip_address(packed))


def pack(address: bytes) -> bytes:
    """The 4 or 16 bytes of a canonical address."""
    if b":" not in address:
        return bytes(map(int, address.split(b".")))
    return ipaddress.ip_address(address.decode("ascii")).packed


def is_always_own(address: bytes) -> bool:
    """Whether this address means the machine that uses it, whatever its interfaces: 0/8, 127/8, ::, ::1."""
    parsed = ipaddress.ip_address(address.decode("ascii"))
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.is_unspecified or parsed.is_loopback
    return parsed.packed[0] in (0, 127)


def is_loopback(address: bytes) -> bool:
    """Whether what goes there never leaves this machine: 127/8, ::1."""
    return ipaddress.ip_address(address.decode("ascii")).is_loopback
