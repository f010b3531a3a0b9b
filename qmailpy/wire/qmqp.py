"""QMQP, the quick mail queueing protocol: a whole envelope and its message to a host that queues for this one.

Client: netstring(netstring(message) netstring(sender) netstring(recipient)...). Server: one netstring, K, Z or D and a
sentence, for all of them. Source: spec/06-remote-dns-smtp.md 6. Both ends are here; used by receive/qmqp, qmail-qmqpc.
"""

PORT = 628
ADDRESS_ROOM = 1000  # bytes of an address must be fewer
BAD_ADDRESS = b"Dsorry, I can't accept addresses like that (#5.1.3)"
TOO_MANY = b"Dsorry, too many recipients (#5.5.3)"
ANSWER_LIMIT = 65536  # bytes of an answer that a client reads


def accepted(now: int, qp: int) -> bytes:
    """The answer once the message is in the queue.  now: seconds; qp: as in the log."""
    return b"Kok %d qp %d" % (now, qp)


def frame(message: int, sender: bytes, recipients: "list[bytes]") -> tuple[bytes, bytes]:
    """What the client says before its message and after it.  message: its length, bytes."""
    behind = b"".join([b",", *[b"%d:%b," % (len(address), address) for address in (sender, *recipients)]])
    head = b"%d:" % message
    return b"%d:%b" % (len(head) + message + len(behind), head), behind + b","


def verdict(answer: bytes) -> bytes:
    """K, Z or D: the first of them in an answer, or in the beginning of one; empty while there is none."""
    for at in range(len(answer)):
        if answer[at : at + 1] in (b"K", b"Z", b"D"):
            return answer[at : at + 1]
    return b""
