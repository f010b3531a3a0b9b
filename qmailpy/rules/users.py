"""Whose an address could be: the keys of users/cdb to look up, and the account names to ask for, in their order.

Pure; skeletons/address asks the file and the accounts. local: the part of an address before its last @, any bytes.
Source: spec/03-pipes.md 5 (users/cdb), 6 (accounts); spec/08-control.md 3 (what qmail-newu puts into users/cdb).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BREAK = b"-"  # between an account's name and the extension (conf-break)
NAME_LIMIT = 32  # an account's name has fewer bytes than this
WILDCARDS_KEY = b""  # under it users/cdb keeps the set of bytes that a wildcard key may end with


class Key:
    """One key of users/cdb to try.

    rest: what of the address the key leaves over, in its own letter case; it follows the entry's ext.
    """

    __slots__ = ("key", "rest")

    def __init__(self, key: bytes, rest: bytes) -> None:
        """key: as the file has it."""
        self.key, self.rest = key, rest


def assigned_keys(local: bytes, wildcards: bytes) -> "Iterator[Key]":
    """The whole address, then its beginnings that a wildcard may have, longest first, down to nothing.

    wildcards: the bytes that some wildcard key ends with.
    """
    folded = b"!" + local.lower()
    yield Key(folded + b"\0", b"")
    for length in range(len(folded), 0, -1):
        if length == 1 or folded[length - 1] in wildcards:
            yield Key(folded[:length], local[length - 1 :])


def entry_fields(entry: bytes, rest: bytes) -> bytes:
    """An entry of users/cdb in the notation of wire/getpw: only its last NUL is missing there."""
    return entry + rest + b"\0"


class Split:
    """One way to read an address as account, dash and extension."""

    __slots__ = ("account", "dash", "ext")

    def __init__(self, account: bytes, dash: bytes, ext: bytes) -> None:
        """account: in lower case; dash: empty or a dash; ext: in its own letter case."""
        self.account, self.dash, self.ext = account, dash, ext


def account_splits(local: bytes) -> "Iterator[Split]":
    """The whole address, then its parts before each dash, the longest first: the longest account's name wins."""
    if 0 < len(local) < NAME_LIMIT:
        yield Split(local.lower(), b"", b"")
    at = min(len(local), NAME_LIMIT)
    while (at := local.rfind(BREAK, 0, at)) > 0:
        yield Split(local[:at].lower(), BREAK, local[at + 1 :])
