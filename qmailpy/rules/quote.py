"""Quoting of local parts, so that an address of the envelope can stand in a header or an SMTP command.

Source: spec/00-common.md 5. Bytes of 128 and more are quoted too: they are data here, of no known charset.
"""

_SAFE = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-./=?^_`{|}~"
_ESCAPED = (b"\\", b'"', b"\r", b"\n")  # the backslash first, or it would double the others'


def needs_quote(box: bytes) -> bool:
    """Whether a local part is not a dot-atom of safe bytes (an empty one is not)."""
    if not box or box.translate(None, _SAFE):
        return True
    return box[0] == 0x2E or box[-1] == 0x2E or b".." in box


def quote(box: bytes) -> bytes:
    """A local part as it stands in a header: unchanged, or in double quotes with backslashes."""
    if not needs_quote(box):
        return box
    for byte in _ESCAPED:
        box = box.replace(byte, b"\\" + byte)
    return b'"' + box + b'"'


def quote2(address: bytes) -> bytes:
    """An address with its local part quoted; the empty address stays empty.

    The domain begins after the last @ and is never touched; without an @ all of it is local part.
    """
    if not address:
        return b""
    box, at, domain = address.rpartition(b"@")
    return quote(box) + at + domain if at else quote(domain)


def flat(text: bytes) -> bytes:
    """A text on one line: folds are undone, any other CR or LF becomes a space.

    Whatever name or address it was, it cannot begin a header line of its own.
    """
    if b"\n" not in text and b"\r" not in text:
        return text
    text = text.replace(b"\r\n", b"\n").replace(b"\n ", b" ").replace(b"\n\t", b"\t")
    return text.replace(b"\n", b" ").replace(b"\r", b" ")
