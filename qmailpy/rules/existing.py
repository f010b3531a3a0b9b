"""Whether a recipient exists: the answers to that question, and what users/recipients.cdb says about it.

control/recipients, from which qmail-recipients makes that table, has a line for each address of its domains:

    ann@shop.example            exists
    ann-*@shop.example          and so does every address that begins with ann-, or with ann+: the star stands between
                                such a sign and the @, and nowhere else
    @shop.example               every address there exists
    !old@shop.example           does not, whatever the other lines say

A domain that has a line there has no other recipients. One that has none is not spoken of.
The table also has the names of .qmail files in homes that only their owners can enter (skeletons/recipient_table).
Used by receive/policy, skeletons/recipients, qmail-recipients. Pure.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# the first byte of an answer; of REFUSED a text follows
KNOWN, UNKNOWN, REFUSED, LATER, UNCLEAR = b"k", b"u", b"r", b"l", b"?"

NOT, STAR, AT = b"!", b"*", b"@"
YES, NO = b"+", b"-"  # the values of addresses
_SIGNS = (b"-", b"+")
_MOST_SIGNS = 20  # of an address are looked at: each costs a look into the table


class BadEntry(Exception):
    """A line that is none.  reason: a clause."""

    def __init__(self, reason: bytes) -> None:
        """reason: printable."""
        super().__init__(reason)
        self.reason = reason


def record(entry: bytes) -> tuple[bytes, bytes]:
    """Key and value of a line of control/recipients.  Errors: BadEntry."""
    value = NO if entry.startswith(NOT) else YES
    address = entry.removeprefix(NOT).lower()
    box, at, domain = address.rpartition(AT)
    if not at or not domain:
        raise BadEntry(b"an entry is user@domain or @domain")
    if STAR in domain or STAR in box[:-1] or (box.endswith(STAR) and box[-2:-1] not in _SIGNS):
        raise BadEntry(b"a star stands only behind a - or +, before the @")
    if not box and value == NO:
        raise BadEntry(b"of a whole domain it can only be said that everything exists")
    return address, value


def domain_key(domain: bytes) -> bytes:
    """The key that every domain of the table has.  domain: in any letter case."""
    return b"\0" + domain.lower()


def keys(address: bytes) -> "Iterator[bytes]":
    """The keys that may speak of an address, in their order; the first that is there decides."""
    address = address.lower()
    yield address
    box, _, domain = address.rpartition(AT)
    signs = [at for at in range(1, len(box)) if box[at : at + 1] in _SIGNS]
    for at in reversed(signs[:_MOST_SIGNS]):
        yield box[: at + 1] + STAR + AT + domain
    yield AT + domain
