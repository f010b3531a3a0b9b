"""The first word of a client that speaks TLS: the name it asks for, and the protocols it means to speak inside.

It comes in clear. OpenSSL reads it too, and it alone decides about the connection: what is found here chooses the
certificate that is shown, and sees a client off that takes us for another kind of server (ALPN, RFC 7301). Whatever is
not as RFC 8446 4.1.2 wants it asks for nothing. Used by system/tls_server.
"""

LIMIT = 20_000  # bytes; one with keys for after quantum computers has 2,000
_RECORD, _HELLO = 22, 1  # handshake; client_hello
_SERVER_NAME, _ALPN = 0, 16  # extensions
_HOST_NAME = 0
_HEAD = 5  # bytes of a record's head
_FIXED = 2 + 32  # bytes of version and random


class Hello:
    """name: of the host, as it came, or empty; protocols: empty if it names none."""

    __slots__ = ("name", "protocols")

    def __init__(self, name: bytes = b"", protocols: tuple[bytes, ...] = ()) -> None:
        """As above."""
        self.name, self.protocols = name, protocols


class _Malformed(Exception):
    pass


def read(came: bytes) -> Hello | None:
    """What these bytes ask for; None: there must be more to come.  came: all bytes from the first one on."""
    try:
        body = _handshake(came)
        if body is None:
            return None if len(came) <= LIMIT else Hello()
        return _hello(body)
    except _Malformed:
        return Hello()


def _handshake(came: bytes) -> bytes | None:
    """The message, out of as many records as it takes; None while it is not whole."""
    message = b""
    at = 0
    while True:
        head = came[at : at + _HEAD]
        if head and head[0] != _RECORD:
            raise _Malformed
        if len(head) < _HEAD:
            return None
        length = int.from_bytes(head[3:], "big")
        message += came[at + _HEAD : at + _HEAD + length]
        if message and message[0] != _HELLO:
            raise _Malformed
        end = 4 + int.from_bytes(message[1:4], "big")
        if len(message) >= max(end, 4):
            return message[4:end]
        at += _HEAD + length
        if at > len(came) or not length:
            if not length:
                raise _Malformed
            return None


def _take(content: bytes, at: int, size: int) -> tuple[bytes, int]:
    """What a length of so many bytes announces there, and where it ends."""
    begin = at + size
    end = begin + int.from_bytes(content[at:begin], "big")
    if begin > len(content) or end > len(content):
        raise _Malformed
    return content[begin:end], end


def _hello(body: bytes) -> Hello:
    at = _FIXED
    for size in (1, 2, 1):  # session, ciphers, compressions
        _, at = _take(body, at, size)
    if at == len(body):  # it has no extensions
        return Hello()
    extensions, _ = _take(body, at, 2)
    name = b""
    protocols: tuple[bytes, ...] = ()
    at = 0
    while at < len(extensions):
        kind = int.from_bytes(extensions[at : at + 2], "big")
        content, at = _take(extensions, at + 2, 2)
        if kind == _SERVER_NAME:
            name = _name(content)
        elif kind == _ALPN:
            protocols = _protocols(content)
    return Hello(name, protocols)


def _name(content: bytes) -> bytes:
    names, _ = _take(content, 0, 2)
    if not names or names[0] != _HOST_NAME:
        raise _Malformed
    return _take(names, 1, 2)[0]


def _protocols(content: bytes) -> tuple[bytes, ...]:
    listed, _ = _take(content, 0, 2)
    found = []
    at = 0
    while at < len(listed):
        protocol, at = _take(listed, at, 1)
        found.append(protocol)
    return tuple(found)
