"""The clock that is set back: what waits for a time would wait so much longer, a year perhaps.

Set forward it needs nothing: what waits is due earlier. Used by send/heart.
"""

from qmailpy.rules import logline
from qmailpy.send.log import Log
from qmailpy.send.waiting import Waiting
from qmailpy.system import clock

_WORTH = 60  # seconds; less than that delays nobody


class Steps:
    """How far the clock is ahead of the one that nobody can set."""

    def __init__(self, log: Log, waitings: list[Waiting]) -> None:
        """waitings: of which the times go with the clock."""
        self._log, self._waitings = log, waitings
        self._ahead = clock.now() - clock.monotonic()

    def look(self) -> None:
        """Call it once a turn: it is noticed, told, and everybody is due as much earlier."""
        ahead = clock.now() - clock.monotonic()
        back = int(self._ahead - ahead)
        self._ahead = ahead
        if back < _WORTH:
            return
        self._log.say(logline.set_back(back))
        for waiting in self._waitings:
            waiting.all_earlier(back)
