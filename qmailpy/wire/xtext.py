"""xtext: bytes in the value of an ESMTP parameter, + and two hexadecimal digits for what cannot stand there itself.

Source: RFC 3461 4. Both ends are here. Addresses beyond ASCII have a spelling of their own (RFC 6533 3).
"""

_PLAIN = bytes(byte for byte in range(33, 127) if byte not in b"+=")
_HEXADECIMAL = b"0123456789ABCDEF"
BEYOND_ASCII = bytes(range(128, 256))
_IN_UNITEXT = bytes(byte for byte in range(33, 127) if byte not in b"+=\\")


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


def embedded(address: bytes) -> bytes | None:
    r"""An address beyond ASCII in ASCII: \x{C4} for a character; None where it is not UTF-8."""
    try:
        characters = address.decode()
    except UnicodeDecodeError:
        return None
    spelled = [
        b"%c" % ord(each) if each.isascii() and ord(each) in _IN_UNITEXT else b"\\x{%02X}" % ord(each)
        for each in characters
    ]
    return b"".join(spelled)


def typed(address: bytes, *, ascii_only: bool) -> bytes:
    """type;address as the value of ORCPT.  address: decoded; only of the type utf-8 it has bytes beyond ASCII."""
    kind, _, address = address.partition(b";")
    if address.isascii():
        return kind + b";" + encode(address)
    spelled = embedded(address) if ascii_only else None
    return kind + b";" + (spelled or encode(address, BEYOND_ASCII))
