"""Who may come in: how many conversations at once, and how much of our memory they may hold.

A stranger is whoever is neither root nor one of our roles. All strangers together leave a reserve to those, and one
stranger leaves most of the rest to the others. Pure bookkeeping.
"""

_OWN = 64  # descriptors that are not conversations: listener, lock, pipes, directories being fsynced, drop/
_EACH = 2  # descriptors of a conversation: its socket and the file it writes
_MOST = 4096  # conversations, however many descriptors we may have: the memory of a small machine
_RESERVED = 8  # one place in so many is not for strangers
_SHARE = 4  # one stranger gets one place in so many of theirs
MOST_FILES = _OWN + _EACH * _MOST

CROWDED = 64 << 20  # bytes held by all: from here on messages go to the disk at once
_STRANGER = 96 << 20  # bytes one stranger may hold; more than one envelope of the largest size
_STRANGERS = 256 << 20  # bytes held by all at which strangers get no more
_ALL = 384 << 20  # the same for root and our roles


class Admission:
    """Counts conversations and bytes, in total and for each uid."""

    def __init__(self, open_files: int, trusted: frozenset[int]) -> None:
        """open_files: our limit of descriptors; trusted: root and the roles."""
        self.total = max(8, min((open_files - _OWN) // _EACH, _MOST))
        self.strangers = self.total - max(4, self.total // _RESERVED)
        self.each = max(2, self.strangers // _SHARE)
        self._trusted = trusted
        self.clear()

    def clear(self) -> None:
        """Nobody is inside."""
        self._inside = self._held = 0
        self._inside_of: dict[int, int] = {}
        self._held_of: dict[int, int] = {}

    def trusts(self, uid: int) -> bool:
        """Whether this is root or one of our roles."""
        return uid in self._trusted

    def enter(self, uid: int) -> bool:
        """Whether one more conversation of this uid may begin; if so it is counted until leave()."""
        mine = self._inside_of.get(uid, 0)
        if self._inside >= self.total:
            return False
        if uid not in self._trusted and (self._inside >= self.strangers or mine >= self.each):
            return False
        self._inside += 1
        self._inside_of[uid] = mine + 1
        return True

    def leave(self, uid: int) -> None:
        """A conversation has ended."""
        self._inside -= 1
        _take_off(self._inside_of, uid, 1)

    def hold(self, uid: int, size: int) -> None:
        """So many bytes more are in memory for this uid; negative: fewer."""
        self._held += size
        if size < 0:
            _take_off(self._held_of, uid, -size)
        else:
            self._held_of[uid] = self._held_of.get(uid, 0) + size

    @property
    def is_crowded(self) -> bool:
        """Whether messages should not be collected in memory."""
        return self._held >= CROWDED

    def may_hold(self, uid: int) -> bool:
        """Whether this uid may have still more in memory."""
        if uid in self._trusted:
            return self._held < _ALL
        return self._held < _STRANGERS and self._held_of.get(uid, 0) < _STRANGER


def _take_off(table: dict[int, int], uid: int, amount: int) -> None:
    left = table.get(uid, 0) - amount
    if left:
        table[uid] = left
    else:
        table.pop(uid, None)  # or every uid that ever came would stay here
