"""How long a peer may take over a message: a piece as long as a reply, and no more for many small bites.

A time-out for each piece alone lets a peer that takes a byte a second hold a large message, and a slot of qmail-send's,
for weeks. So the message as a whole has the time of one piece, and for its bytes what the slowest line needs that mail
still comes by.  Used by remote/session.
"""

from qmailpy.system import clock

SLOWEST = 1000  # bytes a second, on the average: a modem of the nineties is three times as fast


class Pace:
    """The time of one message's body."""

    __slots__ = ("_end", "_patience")

    def __init__(self, patience: float) -> None:
        """It begins now.  patience: seconds for each piece, and for the peer to begin."""
        self._patience, self._end = patience, clock.monotonic() + patience

    def of(self, size: int) -> float:
        """Seconds that the peer has to take the next piece; none are left if not above 0.  size: its bytes."""
        self._end += size / SLOWEST
        return min(self._patience, self._end - clock.monotonic())
