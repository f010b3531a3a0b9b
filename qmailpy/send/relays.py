"""Mail that waits for a relay of control/smtproutes: when the relay is back, nobody waits any longer.

qmail-remote says in a deferral which relay the message waits for (rules/report); that is all we know of routes.
A message that was held for a relay and gets through wakes all others that wait for the same one. While a relay cannot
be reached, one of its messages tries each minute; where anything else gets through, one tries at once. So all of it
goes out within a minute of the relay's return, and a relay that is down costs one attempt a minute. What was read from
disk at our start has no relay's name; where smtproutes sends everything to one, all that waits is woken. A relay that
refuses our login is said in a warning, once an hour: nothing but an administrator will get that mail out.
Used by send/heart.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import logline, report
from qmailpy.send.log import Log
from qmailpy.send.waiting import Waiting
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from qmailpy.verdict import Die

PAUSE = 60  # seconds between two attempts to find out
HOUR = 3600  # seconds between two warnings of one relay
_MOST_WARNINGS = 1000  # relays that are remembered: their names come from a process that speaks with strangers


class Relays:
    """Which messages wait for which relay."""

    def __init__(self, loop: Loop, log: Log, home: Home, waiting: Waiting) -> None:
        """waiting: of the remote channel."""
        self._loop, self._log, self._home, self._waiting = loop, log, home, waiting
        self._held: dict[int, bytes] = {}
        self._unreachable: set[bytes] = set()
        self._warned: dict[bytes, float] = {}  # by clock.monotonic()
        self._ticking = False
        self._tried_at = 0.0  # by clock.monotonic()

    def heard(self, number: int, letter: bytes, text: bytes) -> None:
        """A remote delivery has ended, and its message waits already if it does.  number: the message's."""
        if letter == b"K":
            self._got_through(number)
            return
        relay = report.waiting_for(text) if letter == b"Z" else b""
        if not relay:
            self._held.pop(number, None)
            return
        self._held[number] = relay
        if report.is_unreachable(text):
            self._unreachable.add(relay)
            self._tick_later()
        else:  # it answers, if only to say no: who asks each minute would be locked out
            self._unreachable.discard(relay)
            if report.is_login_refused(text):
                self._warn(relay)

    def _warn(self, relay: bytes) -> None:
        now = clock.monotonic()
        if relay in self._warned and now < self._warned[relay] + HOUR:
            return
        if len(self._warned) >= _MOST_WARNINGS:
            self._warned.clear()
        self._warned[relay] = now
        self._log.say(logline.login_refused(relay))

    def _got_through(self, number: int) -> None:
        relay = self._held.pop(number, b"")
        now = clock.now()
        if relay:
            self._unreachable.discard(relay)
            self._warned.pop(relay, None)
            if self._takes_everything():
                self._waiting.all_now(now)
            for other in [other for other, its in self._held.items() if its == relay and other in self._waiting]:
                self._waiting.add(other, now)
        elif self._held and clock.monotonic() >= self._tried_at + PAUSE:
            self._try_one(set(self._held.values()))

    def _takes_everything(self) -> bool:
        """Whether all remote mail goes to a relay, but for what has a line of its own."""
        try:
            return bool((control.colon_map(self._home, "smtproutes") or {}).get(b""))
        except Die:
            return False

    def _try_one(self, relays: set[bytes]) -> None:
        """One message for each of these relays need not wait."""
        self._tried_at = clock.monotonic()
        left = set(relays)
        for number, relay in self._held.items():
            if relay in left and number in self._waiting:
                left.discard(relay)
                self._waiting.add(number, clock.now())

    def _tick_later(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.after(PAUSE, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        self._unreachable &= set(self._held.values())
        if self._unreachable:
            self._try_one(self._unreachable)
            self._tick_later()
