"""How many bounces one sender gets: control/bouncebudget in an hour, and the rest in one more (PIC/decisions/bounces).

What is over the budget stays in the queue, as every message whose bounce is not out yet; here is only which ones they
are. So a restart forgets that they were collected, and begins to count anew; it loses nothing. Reports that a sender
asked for are counted with his bounces: anybody can ask in anybody's name.
Used by send/finishing and send/reports.
"""

from collections import OrderedDict

from qmailpy.rules import logline
from qmailpy.send.controls import Controls
from qmailpy.send.log import Log
from qmailpy.system import clock
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3600.0  # seconds


class _Account:
    """One sender's hour.  collected: messages of which he is told at its end, in their order.

    is_full: whether it was said that he gets no more of what he asked for.
    """

    __slots__ = ("begun", "collected", "is_full", "told")

    def __init__(self, begun: float) -> None:
        self.begun, self.told, self.is_full = begun, 0, False
        self.collected: dict[int, None] = {}


class Budget:
    """The senders that were told something within the hour."""

    def __init__(self, loop: Loop, log: Log, controls: Controls, collected: "Callable[[list[int]], None]") -> None:
        """collected(numbers): told at the end of an hour, of messages whose sender must hear of them now."""
        self._loop, self._log, self._controls, self._collected = loop, log, controls, collected
        self._accounts: OrderedDict[bytes, _Account] = OrderedDict()  # the oldest hour first
        self._of: dict[int, bytes] = {}  # message collected -> sender

    def may_tell(self, sender: bytes, number: int) -> bool:
        """Whether this bounce may go out now; if not, the message is collected.  sender: without its VERP mark."""
        limit = self._controls.bounce_budget
        if not limit:
            return True
        account = self._account_of(sender)
        if self._has_room(account, limit):
            return True
        if not account.collected:
            self._log.say(logline.over_budget(sender, limit))
            self._loop.after(account.begun + HOUR - clock.monotonic(), lambda: self._settle(sender.lower()))
        account.collected[number] = None
        self._of[number] = sender.lower()
        return False

    def may_report(self, sender: bytes) -> bool:
        """Whether a report that he asked for may go out; if not, there is none: nothing has failed."""
        limit = self._controls.bounce_budget
        if not limit:
            return True
        account = self._account_of(sender)
        if self._has_room(account, limit):
            return True
        if not account.is_full:
            account.is_full = True
            self._log.say(logline.no_more_reports(sender, limit))
        return False

    def _account_of(self, sender: bytes) -> _Account:
        self._prune()
        account = self._accounts.get(sender.lower())
        if account is None:
            account = self._accounts[sender.lower()] = _Account(clock.monotonic())
        return account

    @staticmethod
    def _has_room(account: _Account, limit: int) -> bool:
        if account.told >= limit or account.collected:
            return False
        account.told += 1
        return True

    def take_back(self, sender: bytes) -> None:
        """A bounce that might go out could not."""
        account = self._accounts.get(sender.lower())
        if account is not None and account.told:
            account.told -= 1

    def withdraw(self, number: int) -> None:
        """This message is not to be told of."""
        sender = self._of.pop(number, None)
        if sender is not None:
            self._accounts[sender].collected.pop(number, None)

    def _prune(self) -> None:
        ended = clock.monotonic() - HOUR
        while self._accounts:
            sender, account = next(iter(self._accounts.items()))
            if account.begun > ended or account.collected:
                break
            del self._accounts[sender]

    def _settle(self, sender: bytes) -> None:
        account = self._accounts.pop(sender)
        numbers = list(account.collected)
        for number in numbers:
            self._of.pop(number, None)
        if numbers:
            self._accounts[sender] = _Account(clock.monotonic())  # and a new hour begins
            self._collected(numbers)
