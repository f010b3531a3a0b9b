"""Lists of addresses or names, as in control/badmailfrom: upper and lower case are the same, and

    word        this very word
    @host       every address at this host (only where addresses are compared)
    be*.exam*   a star stands for anything, nothing and dots and @ included; it is the only sign of its kind
    !word       never what fits this one, whatever the other lines say and wherever they stand; stars count here too

No regular expressions: a list has thousands of entries that must cost nothing, and one that nobody mistakes.
Used by receive/policy. Pure.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

STAR, NOT = b"*", b"!"
_DOT_OR_AT = b".@"
_BEGINS = (b".", b"@")


class Some:
    """Entries without the sign for exceptions."""

    __slots__ = ("_ends", "_globs", "_longest", "_words")

    def __init__(self, entries: "Iterable[bytes]") -> None:
        """entries: in any letter case."""
        lowered = [entry.lower() for entry in entries]
        self._words = frozenset(entry for entry in lowered if STAR not in entry)
        # most of them are *.domain or *@domain: of these there may be thousands as well
        ends = {entry for entry in lowered if entry[:1] == STAR and entry[1:2] in _BEGINS and STAR not in entry[1:]}
        self._ends = frozenset(entry[1:] for entry in ends)
        self._longest = max(map(len, self._ends), default=0)
        self._globs = tuple(tuple(entry.split(STAR)) for entry in lowered if STAR in entry and entry not in ends)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._words or self._ends or self._globs)

    def fits(self, word: bytes, host: bytes) -> bool:
        """word: in lower case; host: what may stand as an entry for it, or empty."""
        return (
            word in self._words
            or (host != b"" and host in self._words)
            or (bool(self._ends) and self._has_end(word))
            or any(_fits(pieces, word) for pieces in self._globs)
        )

    def _has_end(self, word: bytes) -> bool:
        tail = word[max(0, len(word) - self._longest) :]
        return any(tail[at:] in self._ends for at, byte in enumerate(tail) if byte in _DOT_OR_AT)


class Patterns:
    """One such list."""

    __slots__ = ("_spared", "_wanted")

    def __init__(self, entries: "Iterable[bytes]") -> None:
        """entries: of a control file's list."""
        entries = list(entries)
        self._wanted = Some(entry for entry in entries if not entry.startswith(NOT))
        self._spared = Some(entry[1:] for entry in entries if entry.startswith(NOT))

    def __bool__(self) -> bool:
        """Whether there is anything that could fit."""
        return bool(self._wanted)

    def has_address(self, address: bytes) -> bool:
        """Whether the list is about this address; its host is what follows the last @."""
        if not self._wanted:
            return False
        address = address.lower()
        at = address.rfind(b"@")
        return self._has(address, address[at:] if at >= 0 else b"")

    def has_name(self, name: bytes) -> bool:
        """Whether the list is about this name of a host."""
        return bool(self._wanted) and self._has(name.lower(), b"")

    def _has(self, word: bytes, host: bytes) -> bool:
        return self._wanted.fits(word, host) and not self._spared.fits(word, host)


def _fits(pieces: tuple[bytes, ...], word: bytes) -> bool:
    """pieces: what stands between the stars, at least two.  One pass over the word, whatever it holds."""
    first, last = pieces[0], pieces[-1]
    end = len(word) - len(last)
    if len(first) > end or not word.startswith(first) or not word.endswith(last):
        return False
    at = len(first)
    for piece in pieces[1:-1]:
        at = word.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
