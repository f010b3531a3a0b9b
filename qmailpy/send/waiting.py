"""Messages that wait for a time: numbers by their due times."""

import heapq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


_STALE = 1000  # entries of the heap that stand for no time any more


class Waiting:
    """A heap in which every number stands once; adding it again changes its time."""

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        """Nobody waits."""
        self._due: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        """How many wait."""
        return len(self._due)

    def __contains__(self, number: int) -> bool:
        """Whether this one waits."""
        return number in self._due

    def add(self, number: int, due: int) -> None:
        """due: seconds since the epoch."""
        self._due[number] = due
        heapq.heappush(self._heap, (due, number))
        if len(self._heap) > 2 * len(self._due) + _STALE:  # times that were changed, above all by those who ask again
            self._heap = [(its, other) for other, its in self._due.items()]
            heapq.heapify(self._heap)

    def need_not_wait(self, number: int, now: int) -> bool:
        """Whether this one waits; if so, no longer than now."""
        due = self._due.get(number)
        if due is not None and due > now:
            self.add(number, now)
        return due is not None

    def due(self, number: int) -> int | None:
        """When this one is due; None where it does not wait."""
        return self._due.get(number)

    def remove(self, number: int) -> bool:
        """This one waits no longer.  Result: whether it did."""
        return self._due.pop(number, None) is not None

    def next_due(self) -> int | None:
        """The earliest time; None where nobody waits."""
        heap = self._heap
        while heap and self._due.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)  # its time was changed
        return heap[0][0] if heap else None

    def pop(self, now: int) -> int | None:
        """Take out the one that is due for longest; None where none is."""
        due = self.next_due()
        if due is None or due > now:
            return None
        number = heapq.heappop(self._heap)[1]
        del self._due[number]
        return number

    def all_now(self, now: int) -> None:
        """Nobody waits longer than now."""
        self._due = {number: min(due, now) for number, due in self._due.items()}
        self._heap = [(due, number) for number, due in self._due.items()]
        heapq.heapify(self._heap)

    def all_earlier(self, seconds: int) -> None:
        """Everybody is due so much earlier."""
        self._due = {number: due - seconds for number, due in self._due.items()}
        self._heap = [(due, number) for number, due in self._due.items()]
        heapq.heapify(self._heap)

    def items(self) -> "Iterator[tuple[int, int]]":
        """(number, due), in no order."""
        return iter(self._due.items())
