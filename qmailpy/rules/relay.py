"""Whom this host takes mail for, from hosts that it does not relay for: control/rcpthosts and morercpthosts.cdb.

Source: spec/06-remote-dns-smtp.md 5. Used by receive/policy, and by QMTP; the database is asked by skeletons/relaying.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def domain_of(address: bytes) -> bytes | None:
    """What counts of an address, in lower case: everything after its last @; None where it has none."""
    _, at, domain = address.rpartition(b"@")
    return domain.lower() if at else None


def keys(domain: bytes) -> "Iterator[bytes]":
    """The entries that would allow a domain: itself, then each of its endings that begins with a dot.

    domain: in lower case; none for an empty one.
    """
    at = 0
    while 0 <= at < len(domain):
        yield domain[at:]
        at = domain.find(b".", at + 1)


def is_allowed(address: bytes, rcpthosts: frozenset[bytes] | None) -> bool:
    """Whether mail for this address is taken from anybody, as far as rcpthosts itself says.

    rcpthosts: in lower case; None: there is no such file, and everything is.  An address without @ always is.
    """
    domain = domain_of(address)
    return rcpthosts is None or domain is None or any(key in rcpthosts for key in keys(domain))
