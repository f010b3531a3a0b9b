"""Lists of client addresses in control files: an address, a network as 192.0.2.0/24 or 2001:db8::/32, or the
beginning of addresses as tcprules has it: 192.0.2. or 2001:db8:

Used by receive/. Pure.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def has(entries: "Iterable[bytes]", address: bytes) -> bool:
    """Whether one of the entries is about this address.  An entry of another kind fits none.

    address: canonical text.
    """
    return any(
        entry == address
        or (entry.endswith((b".", b":")) and not entry.endswith(b"::") and address.startswith(entry))
        or (b"/" in entry and _is_inside(address, entry))
        for entry in entries
    )


def _is_inside(address: bytes, network: bytes) -> bool:
    import ipaddress  # 4 ms, for those who need it

    try:
        return ipaddress.ip_address(address.decode("ascii")) in ipaddress.ip_network(
            network.decode("ascii"), strict=False
        )
    except ValueError:
        return False
