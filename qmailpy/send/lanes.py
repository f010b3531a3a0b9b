"""Hosts of the remote channel that may not have all of it: so many deliveries at once, or none (control files
concurrencydomain and holddomains).

A message that meets a domain without room is parked there and costs nothing until there is room: no turn of the loop
looks at it, and nobody else's mail waits behind it. It is then passed through once more, for this domain only.
Used by send/channel.
"""

from collections import OrderedDict, deque

from qmailpy.rules import logline
from qmailpy.send.controls import Controls
from qmailpy.send.jobs import Job
from qmailpy.send.log import Log
from qmailpy.system import clock
from qmailpy.wire import asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_SAY_AGAIN = 3600.0  # seconds between two lines that say that a domain is busy


class Lane:
    """One domain that has a rule.

    limit: deliveries at once, 0 while it is held; running: those under way; parked: messages, in their order; stalled:
    passes through a message, for this domain only, that wait for room.
    """

    __slots__ = ("domain", "is_ready", "limit", "parked", "running", "stalled")

    def __init__(self, domain: bytes, limit: int) -> None:
        """domain: in lower case."""
        self.domain, self.limit = domain, limit
        self.running = 0
        self.parked: OrderedDict[int, None] = OrderedDict()
        self.stalled: deque[Job] = deque()
        self.is_ready = False

    @property
    def has_room(self) -> bool:
        """Whether a delivery may begin."""
        return self.running < self.limit

    @property
    def may_go_on(self) -> bool:
        """Whether something that waits here need not; a pass that finds the domain held is over."""
        return (self.has_room and bool(self.parked)) or ((self.has_room or not self.limit) and bool(self.stalled))

    @property
    def is_open(self) -> bool:
        """Whether a delivery may begin, and nobody has waited for that for longer."""
        return self.running < self.limit and not (self.parked or self.stalled)


class Lanes:
    """All domains that have a rule and something to do with the mail that is here."""

    def __init__(self, log: Log, controls: Controls, *, is_remote: bool) -> None:
        """is_remote: else there are no rules."""
        self._log, self._controls, self._is_remote = log, controls, is_remote
        self._lanes: dict[bytes, Lane] = {}
        self._of: dict[int, set[bytes]] = {}  # number -> domains where it is parked
        self._tried: dict[int, set[int]] = {}  # number -> offsets of recipients that were tried just before
        self._ready: deque[Lane] = deque()
        self._said: OrderedDict[bytes, float] = OrderedDict()  # domain -> when it was said last that it is busy

    def of(self, recipient: bytes) -> Lane | None:
        """The lane of this address; None where no rule is about it."""
        if not self.has_rules:
            return None
        domain = domain_of(recipient)
        lane = self._lanes.get(domain)
        if lane is None:
            limit = self._controls.shares.limit(domain)
            if limit is None:
                return None
            lane = self._lanes[domain] = Lane(domain, limit)
        return lane

    @property
    def has_rules(self) -> bool:
        """Whether there may be a lane for anybody."""
        return self._is_remote and bool(self._controls.shares)

    def is_open_for(self, recipient: bytes) -> bool:
        """Whether a delivery to this address may begin, as far as its domain is concerned."""
        lane = self.of(recipient)
        if lane is None or lane.is_open:
            return True
        self._forget_if_empty(lane)
        return False

    # deliveries

    def enter(self, recipient: bytes) -> Lane | None:
        """A delivery to this address begins.  Result: for leave()."""
        lane = self.of(recipient)
        if lane is not None:
            lane.running += 1
        return lane

    def leave(self, lane: Lane | None) -> None:
        """It has ended."""
        if lane is not None:
            lane.running -= 1
            self._wake(lane)
            self._forget_if_empty(lane)

    def _forget_if_empty(self, lane: Lane) -> None:
        if not (lane.running or lane.parked or lane.stalled) and self._lanes.get(lane.domain) is lane:
            del self._lanes[lane.domain]

    def _wake(self, lane: Lane) -> None:
        if not lane.is_ready and lane.may_go_on:
            lane.is_ready = True
            self._ready.append(lane)

    # what waits

    def park(self, number: int, domains: "Iterable[bytes]", tried: "Collection[int]" = ()) -> None:
        """This message has recipients there that were not tried.  tried: offsets of those that were."""
        if tried:
            self._tried.setdefault(number, set()).update(tried)
        for domain in domains:
            limit = self._controls.shares.limit(domain)
            lane = self._lanes.get(domain)
            if lane is None:  # without a rule meanwhile: there is room
                lane = self._lanes[domain] = Lane(domain, _unbounded(limit))
            if number in lane.parked:
                continue
            lane.parked[number] = None
            self._of.setdefault(number, set()).add(domain)
            self._say(lane, number)
            self._wake(lane)

    def _say(self, lane: Lane, number: int) -> None:
        if self._log.trace.on:
            self._log.trace.tell(number, b"held", domain=lane.domain, limit=lane.limit, running=lane.running)
        if lane.limit == 0:
            self._log.say(logline.held_domain(number, lane.domain))
            return
        now = clock.monotonic()
        while self._said and next(iter(self._said.values())) <= now - _SAY_AGAIN:
            self._said.popitem(last=False)
        if lane.domain not in self._said:  # a lane comes and goes with its mail
            self._said[lane.domain] = now
            self._log.say(logline.busy_domain(lane.domain, lane.limit))

    def stall(self, lane: Lane, job: Job) -> None:
        """A pass for this domain only has no room to go on."""
        lane.stalled.append(job)

    @property
    def has_work(self) -> bool:
        """Whether next() has something."""
        while self._ready and not self._ready[0].may_go_on:
            self._ready.popleft().is_ready = False
        return bool(self._ready)

    def next(self) -> "tuple[bytes, int | Job, Collection[int]] | None":
        """(domain, message or pass, what was tried of it) that may go on now; again() must follow."""
        if not self.has_work:
            return None
        lane = self._ready.popleft()
        lane.is_ready = False
        if lane.stalled:
            return lane.domain, lane.stalled.popleft(), ()
        number, _ = lane.parked.popitem(last=False)
        tried = self._tried.get(number, ())
        self._unlink(number, lane.domain)
        return lane.domain, number, tried

    def again(self, domain: bytes) -> None:
        """What next() gave has been begun: there may be room for more."""
        lane = self._lanes.get(domain)
        if lane is not None:
            self._wake(lane)
            self._forget_if_empty(lane)

    def _unlink(self, number: int, domain: bytes) -> None:
        domains = self._of.get(number)
        if domains is not None:
            domains.discard(domain)
            if not domains:
                del self._of[number]
                self._tried.pop(number, None)

    def withdraw(self, number: int) -> bool:
        """Park it no longer.  Result: whether it was."""
        domains = self._of.pop(number, None)
        self._tried.pop(number, None)
        if domains is None:
            return False
        for domain in domains:
            lane = self._lanes[domain]
            del lane.parked[number]
            self._forget_if_empty(lane)
        return True

    def __contains__(self, number: int) -> bool:
        """Whether it is parked anywhere."""
        return number in self._of

    def state(self, number: int) -> bytes:
        """Why it waits here: a word of wire/asking."""
        if number not in self._of:
            return asking.NOTHING
        is_held = all(self._lanes[domain].limit == 0 for domain in self._of[number])
        return asking.HELD if is_held else asking.BUSY

    def numbers(self) -> "Iterator[int]":
        """Messages of which something waits here."""
        yield from self._of
        for lane in self._lanes.values():
            yield from (job.number for job in lane.stalled)

    def reread(self) -> None:
        """There are other rules now."""
        for lane in list(self._lanes.values()):
            lane.limit = _unbounded(self._controls.shares.limit(lane.domain))
            self._wake(lane)


def domain_of(recipient: bytes) -> bytes:
    """What follows the last @, in lower case, without a dot at its end, which would lead around a hold."""
    return recipient[recipient.rfind(b"@") + 1 :].lower().removesuffix(b".")


def _unbounded(limit: int | None) -> int:
    return 1 << 30 if limit is None else limit
