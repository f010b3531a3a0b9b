"""New mail: from todo/ to the channels (spec/02 6, S4 -> S5).

A scan takes what is there; what a later scan finds is new and goes before a backlog. Each turn takes a few messages and
gives the deliveries their turn again, so that neither starves.
"""

from collections import deque

from qmailpy.disk.queue.claiming import Claim, Claiming, Prepared
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.trigger import Trigger
from qmailpy.disk.queue.wishes import Wishes
from qmailpy.rules import bounce, logline, rewrite
from qmailpy.send.channel import Channel
from qmailpy.send.cleaner import BUSY, Cleaner
from qmailpy.send.controls import Controls
from qmailpy.send.jobs import FAILED_RETRY
from qmailpy.send.log import Log
from qmailpy.send.straight import Straights
from qmailpy.system import clock, identity
from qmailpy.system.loop import Loop
from qmailpy.wire import cleaning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.send.jobs import Orders

INTERVAL = 1500  # seconds between two scans that nobody asked for
_BLIND = 30  # seconds between scans while there is no trigger
_SLEEP = 10  # seconds after todo/ could not be listed
_BACKLOG = 1000  # entries found at once that are more than new mail
_SHARE = 4  # new messages taken for one of the backlog
_BATCH = 8  # messages prepared together: their fsyncs share the disk's journal
_TURN = 0.005  # seconds of one turn
_REST = 4  # times the length of a scan that passes before the next: new mail is seen within a second of 100,000 old
_PAUSE = 0.005  # seconds between two scans at least: several messages that come at once are found at once
_COURTESY = 5.0  # seconds that a bounce's own message waits for the line that tells of it


class Todo:
    """What is in todo/ and has not been taken."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        claiming: Claiming,
        trigger: Trigger,
        controls: Controls,
        cleaner: Cleaner,
        channels: list[Channel],
        finished: "Callable[[int], None]",
        bouncing: "Callable[[], int]",
        ordering: "Orders",
    ) -> None:
        """finished(number): told of a message without recipients; bouncing(): how many bounces are being injected.

        ordering: knows which messages are ordered about.
        """
        self._loop, self._log, self._claiming, self._controls = loop, log, claiming, controls
        self._trigger, self._cleaner, self._channels = trigger, cleaner, channels
        self._finished, self._bouncing = finished, bouncing
        self.straights = Straights(loop, log, claiming, controls, cleaner, self._gone, ordering)
        self._ordering = ordering
        for channel in channels:
            channel.straights = self.straights
        self._faulty: set[int] = set()  # those that make no sense: looked at again in INTERVAL
        self._new: deque[int] = deque()
        self._backlog: deque[int] = deque()
        self._own: deque[tuple[int, float]] = deque()  # messages of our own bounces, and until when they wait
        self._waited: set[int] = set()  # those of them that have waited
        self._turn = 0
        self._pulled = True
        self._next_scan = 0.0  # both on the monotonic clock, which nobody sets back
        self._rested = 0.0  # no scan before
        self._me = identity.my_uid()
        self._listen()

    def _listen(self) -> None:
        if self._trigger.descriptor >= 0:
            self._loop.forget(self._trigger.descriptor)
        if self._trigger.open():
            self._loop.on_read(self._trigger.descriptor, self._pull)

    def _pull(self) -> None:
        self._trigger.drain()
        self._pulled = True

    # time

    def patience(self) -> float:
        """Seconds until step() has something to do."""
        if (self._new or self._backlog) and self._cleaner.pending < BUSY:
            return 0
        moment = clock.monotonic()
        left = max(0.0, self._next_scan - moment)
        if self._pulled or not left:
            left = max(0.0, self._rested - moment)
        if self._own:
            courtesy = self._own[0][1] - moment if self._bouncing() else 0.0
            left = min(left, max(0.0, courtesy))
        return left

    def step(self, now: int) -> bool:
        """Look for new mail if it is time, take some of it.

        now: seconds since the epoch.  Result: whether something was taken.
        """
        moment = clock.monotonic()
        if (self._pulled or moment >= self._next_scan) and moment >= self._rested:
            self._scan()
        while self._own and (not self._bouncing() or clock.monotonic() >= self._own[0][1]):
            self._new.append(self._own.popleft()[0])
        if not self._new and not self._backlog:
            return False
        end = clock.monotonic() + _TURN
        batch: list[tuple[Prepared, tuple[list[bytes], list[bytes]]]] = []
        while (self._new or self._backlog) and len(batch) < _BATCH and self._cleaner.pending < BUSY:
            self._take(self._next(), now, batch)
            if clock.monotonic() >= end:
                break
        if batch:
            self._settle(batch)
        return True

    def _next(self) -> int:
        self._turn += 1
        if self._new and (not self._backlog or self._turn % (_SHARE + 1)):
            return self._new.popleft()
        return self._backlog.popleft()

    def _scan(self) -> None:
        begun = clock.monotonic()
        self._pulled = False
        if begun >= self._next_scan:  # nobody pulled: perhaps nobody could
            self._listen()
            while self._faulty:
                self._claiming.look_again(self._faulty.pop())
            self._next_scan = begun + (INTERVAL if self._trigger.descriptor >= 0 else _BLIND)
        try:
            found = self._claiming.news()
        except Trouble as trouble:
            self._log.tell(trouble)
            self._pulled = True
            self._rested = begun + _SLEEP
            return
        (self._backlog if len(found) > _BACKLOG else self._new).extend(found)
        ended = clock.monotonic()
        self._rested = ended + max(_PAUSE, _REST * (ended - begun) if ended - begun > _TURN else 0.0)

    # one message

    def _take(self, number: int, now: int, batch: list[tuple[Prepared, tuple[list[bytes], list[bytes]]]]) -> None:
        try:
            claim = self._claiming.claim(number)
        except Trouble as trouble:
            self._refused(number, trouble)
            return
        except MemoryError:  # one message must not end the system: it waits for a better hour
            self._faulty.add(number)
            self._log.say(logline.warning("read", b"todo/%d" % number))
            return
        if self._is_own_bounce(claim) and self._must_wait(number):
            return
        self._log.say(logline.new_message(number))
        self._log.say(logline.message(number, claim.size, claim.sender, claim.qp, claim.uid))
        addresses, wishes = self._route(claim)
        if self._log.trace.on:
            self._log.trace.new(number, claim, self._controls.domains)
        try:
            if len(claim.recipients) == 1 and number not in self._ordering:
                way = self._channels[0 if addresses[0] else 1]
                if self.straights.has_room(way) and way.lanes.is_open_for(addresses[way.number][0]):
                    self._claiming.forget(number)  # or the next start would find half a message
                    self.straights.add(number, claim.sender, way, addresses[way.number][0], now, wishes)
                    return
            batch.append((self._claiming.prepare(number, now, claim.sender, addresses, wishes), addresses))
        except Trouble as trouble:
            self._refused(number, trouble)

    def _route(self, claim: Claim) -> tuple[tuple[list[bytes], list[bytes]], Wishes | None]:
        """The addresses of each channel, as they will be stored; what is wished for them, None where nothing is."""
        addresses: tuple[list[bytes], list[bytes]] = ([], [])
        written = claim.parameters
        wishes = None if written is None else Wishes(written.message, ({}, {}))
        for at, recipient in enumerate(claim.recipients):
            channel, address = rewrite.route(recipient, self._controls.domains)
            if written is not None and wishes is not None and at in written.recipients:
                wishes.recipients[channel][len(addresses[channel])] = written.recipients[at]
            addresses[channel].append(address)
        return addresses, wishes

    def _is_own_bounce(self, claim: Claim) -> bool:
        return claim.uid == self._me and claim.sender in (b"", bounce.DOUBLE_SENDER)

    def _must_wait(self, number: int) -> bool:
        """The log tells of a bounce before it tells of the bounce's message: give the child a moment to say so."""
        if number in self._waited or not self._bouncing():
            self._waited.discard(number)
            return False
        self._waited.add(number)
        self._own.append((number, clock.monotonic() + _COURTESY))
        return True

    def _refused(self, number: int, trouble: Trouble) -> None:
        self._log.tell(trouble)
        vanished = isinstance(trouble.error, FileNotFoundError)
        if vanished and trouble.what == "open":  # somebody has removed it
            self._claiming.gone(number)
        elif vanished or trouble.error is None:
            self._faulty.add(number)
        else:
            self._loop.after(FAILED_RETRY, lambda: self._release(number))

    def _release(self, number: int) -> None:
        self._claiming.look_again(number)
        self._pulled = True

    def _gone(self, number: int) -> None:
        self._claiming.gone(number)
        self._faulty.discard(number)

    def _settle(self, batch: list[tuple[Prepared, tuple[list[bytes], list[bytes]]]]) -> None:
        self._claiming.settle([prepared for prepared, _ in batch])
        for prepared, addresses in batch:
            if prepared.trouble is not None:
                self._refused(prepared.number, prepared.trouble)
            else:
                self._ask(prepared.number, (bool(addresses[0]), bool(addresses[1])))

    def _ask(self, number: int, to: tuple[bool, bool]) -> None:
        self._cleaner.ask(cleaning.TODO, number, lambda done: self._prepared(number, to, done=done))

    def _prepared(self, number: int, to: tuple[bool, bool], *, done: bool) -> None:
        """S5, if todo/N is gone."""
        if not done:
            self._log.say(logline.warning("clean", b"todo/%d" % number))
            self._loop.after(FAILED_RETRY, lambda: self._release(number))
            return
        self._gone(number)
        for channel, wanted in zip(self._channels, to, strict=True):
            if wanted:
                channel.add_fresh(number)
        if not any(to):
            self._finished(number)
