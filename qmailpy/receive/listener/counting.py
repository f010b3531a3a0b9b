"""How many connections there are in all workers: counters in shared memory, without locks.

Each worker writes in a part of its own and reads those of all; a part is emptied by the master when its worker has
ended, however that came. Two workers that accept at the same moment may exceed a limit by one.
Addresses and networks are counted in two rows of cells by two hashes; the smaller of the two counts. A stranger does
not know the hashes, so nobody can be counted together with whom he likes.
"""

import mmap

from qmailpy.receive.listener import crowds
from qmailpy.receive.listener.connection import network_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Cells = tuple[int, ...]

MOST_WORKERS = 64  # parts; workers of earlier generations that finish their sessions have theirs
_CELLS = 1 << 14  # of a row; with 10,000 connections of 10,000 addresses hardly one is counted too high
_CELL = 2  # bytes
_FIRST = 64  # bytes before the parts
_HEAD = 64  # bytes of a part before its rows: one processor's line, so that workers do not slow each other down
_PART = _HEAD + 2 * _CELLS * _CELL
_MOST = (1 << 8 * _CELL) - 1


class Counters:
    """The shared memory, made by the master before it forks.  Its first word: how many parts are in use, or more."""

    __slots__ = ("_cells", "_map", "_totals")

    def __init__(self) -> None:
        """All are 0, and take no memory until they are not.  Errors: OSError."""
        self._map = mmap.mmap(-1, _FIRST + MOST_WORKERS * _PART)
        view = memoryview(self._map)
        self._totals = view.cast("I")
        self._cells = view.cast("H")

    @property
    def total(self) -> int:
        """Connections of all workers."""
        totals = self._totals
        return sum([totals[(_FIRST + part * _PART) // 4] for part in range(totals[0])])

    def of(self, part: int) -> int:
        """Connections of this worker."""
        return self._totals[(_FIRST + part * _PART) // 4]

    def open(self, part: int) -> None:
        """By the master: a worker is going to have this part."""
        self._totals[0] = max(self._totals[0], part + 1)

    def empty(self, part: int) -> None:
        """By the master: its worker has ended."""
        start = _FIRST + part * _PART
        self._map[start : start + _PART] = bytes(_PART)

    def add(self, part: int, by: int) -> None:
        """By its worker: 1 or -1 to its connections."""
        self._totals[(_FIRST + part * _PART) // 4] += by

    @staticmethod
    def cells(ip: bytes) -> "Cells":
        """Where this address and its network are counted: to be kept as long as a connection lasts."""
        return *_places(ip), *_places(b"/" + network_of(ip))

    def add_of(self, part: int, places: "Cells", by: int) -> None:
        """By its worker: 1 or -1 to those of an address and of its network."""
        start = (_FIRST + part * _PART + _HEAD) // _CELL
        cells = self._cells
        for place in places:
            cells[start + place] = min(max(cells[start + place] + by, 0), _MOST)

    def count(self, first: int, second: int) -> int:
        """Connections of what is counted in these two cells, in all workers; perhaps a few too many."""
        cells, one, two = self._cells, 0, 0
        for part in range(self._totals[0]):
            start = (_FIRST + part * _PART + _HEAD) // _CELL
            one += cells[start + first]
            two += cells[start + second]
        return min(one, two)

    def refusal(
        self, limits: tuple[int, int], ip: bytes, places: "Cells", environment: "Mapping[bytes, bytes]", most: int
    ) -> bytes | None:
        """As crowds.refusal.  most: connections in all."""
        counts = (lambda: self.count(*places[:2]), lambda: self.count(*places[2:]))
        return crowds.refusal(limits, ip, environment, counts, (self.total, most))


def _places(key: bytes) -> tuple[int, int]:
    """One cell in each row.  The interpreter's own hash, with a secret that all forks of a process share."""
    mixed = hash(key)
    return mixed % _CELLS, _CELLS + (mixed >> 24) % _CELLS
