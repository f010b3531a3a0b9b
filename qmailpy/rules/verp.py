"""VERP: a sender that carries the recipient, so that a bounce tells who it was about (spec/04 4).

list-owner-@host-@[] becomes list-owner-joe=there.example@host for joe@there.example.
"""

MARK = b"-@[]"


def expand(sender: bytes, recipient: bytes) -> bytes:
    """The sender as it is told to a spawner.

    recipient: as rewritten.  A sender without the mark, or without an @ of its own, is left as it is.
    """
    if not sender.endswith(MARK):
        return sender
    box, at, host = sender[: -len(MARK)].rpartition(b"@")
    user, at_recipient, domain = recipient.rpartition(b"@")
    if not (at and at_recipient):
        return sender
    return b"%s%s=%s@%s" % (box, user, domain, host)


def base(sender: bytes) -> bytes:
    """The sender that a bounce of the message as a whole goes to: without the mark."""
    return sender.removesuffix(MARK)
