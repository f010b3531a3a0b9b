"""The lines of control/qmqpservers: where a host without a queue hands its mail over.  Pure; used by qmail-qmqpc."""

from qmailpy.wire.qmqp import PORT

_DIGITS = b"0123456789"
_HEX = b"0123456789abcdefABCDEF:."


def server(line: bytes) -> tuple[bytes, int] | None:
    """Address and port of a line; None for one that names none, which is skipped.

    An IPv4 address, or an IPv6 address in brackets; then :PORT, for a server that has no right to 628.
    """
    if line.startswith(b"["):
        host, bracket, rest = line[1:].partition(b"]")
        if not bracket or b":" not in host or host.strip(_HEX):
            return None
    else:
        length = len(line) - len(line.lstrip(_DIGITS + b"."))
        host, rest = line[:length], line[length:]
        numbers = host.split(b".")
        if len(numbers) != 4 or not all(1 <= len(one) <= 3 and int(one) <= 255 for one in numbers):
            return None
        host = b"%d.%d.%d.%d" % tuple(int(one) for one in numbers)
    digits = rest[1 : 1 + len(rest[1:]) - len(rest[1:].lstrip(_DIGITS))] if rest.startswith(b":") else b""
    if not digits:
        return host, PORT
    port = int(digits) if len(digits) < 6 else 0
    return (host, port) if 0 < port < 65536 else None
