"""xtext: bytes in the value of an ESMTP parameter, + and two hexadecimal digits for what cannot stand there itself.

Source: RFC 3461 4. Both ends are here.
"""

_PLAIN = bytes(byte for byte in range(33, 127) if byte not in b"+=")
_HEXADECIMAL = b"0123456789ABCDEF"


def encode(value: bytes, also: bytes = b"") -> bytes:
    """also: bytes that may stand in it besides."""
    plain = _PLAIN + also
    if not value.translate(None, plain):
        return value
    return b"".join(b"%c" % byte if byte in plain else b"+%02X" % byte for byte in value)


def decode(text: bytes, also: bytes = b"") -> bytes | None:
    """The bytes that encode() has written, or could have; None where it could not.  also: as there."""
    if text.translate(None, _PLAIN + b"+" + also):
        return None
    first, *rest = text.split(b"+")
    pieces = [first]
    for part in rest:
        if len(part) < 2 or part[:2].strip(_HEXADECIMAL):
            return None
        pieces += (b"%c" % int(part[:2], 16), part[2:])
    return b"".join(pieces)
