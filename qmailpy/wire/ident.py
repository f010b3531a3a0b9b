"""The identification protocol: whose connection is this, as the client's own host says it (RFC 1413).

Query: PORT-ON-SERVER , PORT-ON-CLIENT CR LF, from the asked host's side. Reply: ports : USERID : system : user. What it
says is worth what that host is worth. Both ends of the protocol are here; the querying program is tcp-env.
"""

PORT = 113
LIMIT = 998  # bytes of a user's name that are kept
REPLY_LIMIT = 4096  # bytes of a reply that are looked at


def query(remote: int, local: int) -> bytes:
    """remote: the client's port, on the host that is asked; local: ours."""
    return b"%d , %d\r\n" % (remote, local)


def user(reply: bytes) -> bytes | None:
    """The text after the third colon of the reply's line, without blanks and NULs; None where there is none (ERROR)."""
    fields = reply.partition(b"\n")[0].split(b":", 3)
    return fields[3].translate(None, b" \t\r\0")[:LIMIT] if len(fields) == 4 else None
