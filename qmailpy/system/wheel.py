"""Time-outs of thousands of things: coarse, and no work for what is prolonged again and again.

Each thing carries its own deadline and changes it as it likes; the wheel looks at it when its turn comes and, if it has
been prolonged, puts it where it belongs now. A turn is never later than LOOK from now, so that there are few slots.
"""

from qmailpy.system import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from qmailpy.system.loop import Loop, Timer

    class Bounded(Protocol):
        """deadline: on the monotonic clock; slot: the wheel's own, 0 at first."""

        deadline: float
        slot: int


TICK = 0.25  # seconds: nothing is ended earlier than it should, nor later than this
LOOK = 30.0  # seconds; with 5,000 things some 170 looks a second
FOR_EVER = float("inf")


class Wheel:
    """All things with a deadline."""

    def __init__(self, loop: "Loop", expired: "Callable[[Bounded], None]") -> None:
        """expired: called when a thing's deadline has passed; it is not in the wheel any more."""
        self._loop, self._expired = loop, expired
        self._slots: dict[int, set[Bounded]] = {}
        self._timer: Timer | None = None
        self._due = 0  # slot that the timer is for

    def put(self, thing: "Bounded", now: float) -> None:
        """A thing with a new deadline; where it is prolonged this costs nothing.  now: on the monotonic clock."""
        slot = int(min(thing.deadline, now + LOOK) / TICK) + 1
        if thing.slot:
            if thing.slot <= slot:
                return
            self._leave(thing)
        thing.slot = slot
        members = self._slots.get(slot)
        if members is None:
            members = self._slots[slot] = set()
            if self._timer is None or slot < self._due:
                self._arm(slot)
        members.add(thing)

    def take_out(self, thing: "Bounded") -> None:
        """It has no deadline any more."""
        if thing.slot:
            self._leave(thing)
            thing.slot = 0

    def _leave(self, thing: "Bounded") -> None:
        members = self._slots.get(thing.slot)
        if members is not None:  # else its slot's turn has just come, and it sees that we have changed our mind
            members.discard(thing)

    def _arm(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = slot
        self._timer = self._loop.after(slot * TICK - clock.monotonic(), self._turn)

    def _turn(self) -> None:
        now = clock.monotonic()
        self._timer = None
        for slot in [slot for slot in self._slots if slot * TICK <= now]:
            for thing in self._slots.pop(slot):
                if not thing.slot:  # taken out by one before it
                    continue
                thing.slot = 0
                if thing.deadline <= now:
                    self._expired(thing)
                else:
                    self.put(thing, now)
        if self._slots:
            self._arm(min(self._slots))
