"""Who sent a message that came by UUCP: the lines that begin with From or >From, before its header.

Each host on the way has put one in front: From USER DATE remote from HOST. The last one has the user, the others the
path to him. Source: spec/10-neighbours.md c2 (rmail); RFC 976.
"""

_STARTS = (b"From ", b">From ")


def is_from_line(line: bytes) -> bool:
    """Whether this line is one of them."""
    return line.startswith(_STARTS)


def may_be_from_line(start: bytes) -> bool:
    """Whether a line of which this is the beginning may be one of them."""
    return any(whole.startswith(start[: len(whole)]) for whole in _STARTS)


def sender(lines: list[bytes]) -> bytes | None:
    """The envelope sender; empty for nobody, None where there is no line.  lines: in their order.

    a!b!joe is joe@b where b has a dot, so that it is a domain; else the path stays, as a user of this host knows it.
    """
    path: list[bytes] = []
    user = b""
    for line in lines:
        words = line.lstrip(b">").split()
        if len(words) < 2:
            continue
        user = words[1]
        if words[-3:-1] == [b"remote", b"from"] and len(words) > 4:
            path.append(words[-1])
    if not user:
        return None if not lines else b""
    hosts, bang, name = user.rpartition(b"!")
    if user in (b"<>", b"MAILER-DAEMON") or not name:
        return b""
    if b"@" in name:
        return name
    path += hosts.split(b"!") if bang else []
    if path and b"." in path[-1]:
        return name + b"@" + path[-1]
    return b"!".join([*path, name])
