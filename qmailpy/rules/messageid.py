"""The Message-ID of a message, from the beginning of its text.  Pure."""

LIMIT = 16384  # bytes of a message that are looked at: who puts more before it is not asked for it
_NAME = b"message-id:"


def message_id(beginning: bytes) -> bytes:
    """What stands between < and > in the first such field, with both; empty where there is none.

    beginning: the first bytes of a message, lines ended by LF.
    """
    lines = iter(beginning[:LIMIT].split(b"\n"))
    for line in lines:
        if not line.strip(b"\r"):
            return b""
        if line[: len(_NAME)].lower() == _NAME:
            value = line[len(_NAME) :].strip(b" \t\r") or next(lines, b"")  # folded, as long names often are
            start = value.find(b"<")
            end = value.find(b">", start)
            return value[start : end + 1] if 0 <= start < end else b""
    return b""
