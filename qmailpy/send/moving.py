"""Messages that are handed to another queue, by order (qmail-queuectl move): a child of send/bounces runs its program.

The other queue has a message before it goes from here: whatever ends in between, it may be there twice, never nowhere.
Only a few are under way at a time, so that bounces need not wait for a hundred thousand of them.
Used by send/ordering.
"""

from collections import OrderedDict

from qmailpy.disk.home import Home
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules import bounce
from qmailpy.send.bounces import Bounces
from qmailpy.send.controls import Controls
from qmailpy.skeletons import elsewhere
from qmailpy.skeletons.submit import Result
from qmailpy.wire.delivery import CHANNELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Moved = Callable[[bytes], None]

_AT_ONCE = 3  # of the children of send/bounces
_NOT_OF_A_BOUNCE = -1  # as it says: not to be withdrawn as one, and left to the next start where we leave
_CRASHED = b"Zit could not be handed over (#4.3.0)"


class Moving:
    """Which messages go to another queue."""

    def __init__(self, home: Home, queue: Queue, controls: Controls, bounces: Bounces) -> None:
        """None yet."""
        self._home, self._queue, self._controls, self._bounces = home, queue, controls, bounces
        self._waiting: OrderedDict[int, tuple[bytes, Moved]] = OrderedDict()
        self._numbers: set[int] = set()
        self._under_way = 0
        self._stepping = False

    def __contains__(self, number: int) -> bool:
        """Whether this one is being moved, or waits for that."""
        return number in self._numbers

    def move(self, number: int, place: bytes, moved: "Moved") -> None:
        """Hand it over, with all who do not have it yet, now or when others are through.

        place: of skeletons/elsewhere; moved(text): told later, nothing if the other queue has it, else D or Z and why.
        """
        self._numbers.add(number)
        self._waiting[number] = place, moved
        self._step()

    def withdraw(self, number: int) -> bool:
        """Let it be, if nothing has begun: the other queue may hang.  False where it is on its way."""
        if self._waiting.pop(number, None) is not None:
            self._numbers.discard(number)
        return number not in self._numbers

    def _step(self) -> None:
        if self._stepping:
            return  # one that could not begin has ended within itself
        self._stepping = True
        while self._waiting and self._under_way < _AT_ONCE:
            number, (place, moved) = self._waiting.popitem(last=False)
            self._under_way += 1
            try:
                self._begin(number, place, moved)
            except OSError:
                self._end(number, moved, _CRASHED)
        self._stepping = False

    def _begin(self, number: int, place: bytes, moved: "Moved") -> None:
        def ended(qp: int | None) -> None:
            self._end(number, moved, b"" if qp is not None else self._bounces.refusal or _CRASHED)

        self._bounces.start(_NOT_OF_A_BOUNCE, lambda: self._submit(number, place), ended)

    def _end(self, number: int, moved: "Moved", text: bytes) -> None:
        self._under_way -= 1
        self._numbers.discard(number)
        moved(text)
        self._step()

    # in the child

    def _submit(self, number: int, place: bytes) -> Result:
        info = self._queue.info(number)
        recipients = [address for channel in range(len(CHANNELS)) for address in self._left(number, channel)]
        if not recipients:  # a crash has kept the file of those who are done
            return Result(0, b"")
        submission = elsewhere.submission(self._home, place)
        try:
            for piece in self._queue.message(number):
                submission.write(piece)
        except OSError:
            submission.fail()
        return submission.close(info.sender, recipients)

    def _left(self, number: int, channel: int) -> list[bytes]:
        """Who does not have it, as the sender knows them: the other queue has its own virtual domains."""
        if self._queue.due(number, channel) is None:
            return []
        reader = self._queue.recipients(number, channel)
        found = []
        while (record := reader.next()) is not None:
            if not record[0]:
                found.append(bounce.without_prefix(record[2], self._controls.domains.virtual))
        return found
