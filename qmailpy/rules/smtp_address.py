"""Addresses of the envelope as they stand in SMTP's MAIL and RCPT commands.

The queue's addresses are any bytes without NUL; a command is one line. What would end the line, or the path, early is
refused here, not sent: the rest of it would be a command or a parameter of the sender's choice.
"""

from qmailpy.rules.quote import quote

_ENDS_LINE = b"\r\n\0"  # quoting protects the local part from everything else
_ENDS_PATH = bytes(range(32)) + b"\x7f <>"


def smtp_address(address: bytes) -> bytes | None:
    """The address for a command, its local part quoted if need be; None if it cannot be said.

    Without an @ it stays as it is (spec/06 1).
    """
    box, at, host = address.rpartition(b"@")
    if _holds(host, _ENDS_PATH):
        return None
    if not at:
        return host
    return None if _holds(box, _ENDS_LINE) else quote(box) + b"@" + host


def is_clean_name(name: bytes) -> bool:
    """Whether a host name can stand in a command."""
    return bool(name) and not _holds(name, _ENDS_PATH)


def _holds(text: bytes, bytes_: bytes) -> bool:
    return len(text.translate(None, bytes_)) != len(text)
