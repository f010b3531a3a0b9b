"""The PROXY protocol, versions 1 and 2: what a load balancer says of its client before the client's first byte.

Source: "The PROXY protocol", HAProxy 2.x documentation. The receiving end only. Strict: what is not understood ends the
connection. Used by receive/smtp. Pure.
"""

import ipaddress

LONGEST = 107  # bytes of version 1, its line end included
MOST = 16 + 2048  # of version 2, with what is said besides
_LINE = b"PROXY "
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_HEAD = len(_SIGNATURE) + 4
_LOCAL, _PROXY = 0x20, 0x21
_SIZES = {0x11: 4, 0x21: 16}  # TCP over IPv4, IPv6: bytes of an address
_WORDS = {b"TCP4": 4, b"TCP6": 6}


class ProxyError(Exception):
    """This is not the PROXY protocol."""


class Ends:
    """Both ends of the client's connection.  Addresses: canonical text."""

    __slots__ = ("local_ip", "local_port", "remote_ip", "remote_port")

    def __init__(self, remote: tuple[bytes, int], local: tuple[bytes, int]) -> None:
        """Address and port of each."""
        self.remote_ip, self.remote_port = remote
        self.local_ip, self.local_port = local


def decode(came: bytes) -> tuple[Ends | None, int] | None:
    """The client's connection, and how many bytes told it; None while they are not all here.

    Ends are None where the balancer speaks for itself, or does not know: then the connection is what it seems to be.
    Errors: ProxyError.
    """
    if came.startswith(_LINE[: len(came)]):
        return _line(came)
    if came.startswith(_SIGNATURE[: len(came)]):
        return _binary(came)
    raise ProxyError


def _line(came: bytes) -> tuple[Ends | None, int] | None:
    end = came.find(b"\r\n", 0, LONGEST)
    if end < 0:
        if len(came) >= LONGEST:
            raise ProxyError
        return None
    words = came[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return None, end + 2
    if len(words) != 6 or words[1] not in _WORDS:
        raise ProxyError
    try:
        remote, local = (ipaddress.ip_address(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        raise ProxyError from None
    if {remote.version, local.version} != {_WORDS[words[1]]}:
        raise ProxyError
    return Ends((_text(remote), _port(words[4])), (_text(local), _port(words[5]))), end + 2


def _port(word: bytes) -> int:
    if not 1 <= len(word) <= 5 or word.strip(b"0123456789") or int(word) > 65535:
        raise ProxyError
    return int(word)


def _binary(came: bytes) -> tuple[Ends | None, int] | None:
    if len(came) < _HEAD:
        return None
    command, family = came[12], came[13]
    end = _HEAD + int.from_bytes(came[14:16], "big")
    if command not in (_LOCAL, _PROXY) or end > MOST:
        raise ProxyError
    if len(came) < end:
        return None
    size = _SIZES.get(family)
    if command == _LOCAL or size is None:
        return None, end
    if end < _HEAD + 2 * size + 4:
        raise ProxyError
    remote, local = (ipaddress.ip_address(came[at : at + size]) for at in (_HEAD, _HEAD + size))
    ports = [int.from_bytes(came[at : at + 2], "big") for at in (_HEAD + 2 * size, _HEAD + 2 * size + 2)]
    return Ends((_text(remote), ports[0]), (_text(local), ports[1])), end


def _text(address: "ipaddress.IPv4Address | ipaddress.IPv6Address") -> bytes:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address).encode("ascii")
