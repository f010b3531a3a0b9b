"""Straight from todo/: a message with exactly one recipient is tried before anything is written about it (DESIGN 5).

On K todo/N, then mess/N are removed, and info/ and local/ were never written: the usual message costs no fsync here.
On any other verdict, 2 s without one, or TERM, it is prepared as every other (birth = its first try) and goes on as
such. A crash repeats at most the deliveries under way, as losing their marks would.

  WAITING  for a slot; in S4, safe; prepared after a minute so that qmail-qread shows it
  TRYING   its delivery is under way; in S4
  KEEPING  info/N and its channel file are durable, qmail-clean is removing todo/N
  KEPT     in S5: the channel's
  DONE     delivered; qmail-clean is removing it
"""

from qmailpy.disk.queue.claiming import Claiming
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.wishes import Wishes
from qmailpy.rules import logline, schedule
from qmailpy.send.channel import Channel
from qmailpy.send.cleaner import Cleaner
from qmailpy.send.controls import Controls
from qmailpy.send.jobs import FAILED_RETRY, Job
from qmailpy.send.log import Log
from qmailpy.system import clock
from qmailpy.system.loop import Loop
from qmailpy.wire import cleaning, parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.send.jobs import Orders, Unprepared

_WAITING, _TRYING, _KEEPING, _KEPT, _DONE = range(5)
_TRYING_LIMIT = 1.8  # seconds, and TICK on top makes two
_WAITING_LIMIT = 60.0  # seconds
_TICK = 0.2  # seconds
_BATCH = 16  # messages prepared at once
_ROOM = 500  # messages of a channel that may wait for a slot


class Straight:
    """One message on its way.

    birth: when it was first looked at, seconds since the epoch; wishes: as they will be written, None for none.
    """

    __slots__ = (
        "begun",
        "birth",
        "channel",
        "dying",
        "job",
        "number",
        "recipient",
        "sender",
        "since",
        "state",
        "tried",
        "verdict",
        "wishes",
    )

    def __init__(
        self, number: int, sender: bytes, channel: Channel, recipient: bytes, now: int, wishes: Wishes | None
    ) -> None:
        """recipient: as rewritten."""
        self.number, self.sender, self.channel, self.recipient = number, sender, channel, recipient
        self.wishes = wishes
        self.birth = self.begun = now
        self.since = clock.monotonic()  # when it came to its present state
        self.state = _WAITING
        self.dying = self.tried = False
        self.verdict: tuple[bytes, bytes] | None = None
        self.job: Job | None = None

    @property
    def for_message(self) -> parameters.MessageParameters | None:
        """What is wished for the message."""
        return None if self.wishes is None else parameters.of_message(self.wishes.message)

    @property
    def for_recipient(self) -> parameters.RecipientParameters | None:
        """What is wished for the recipient."""
        if self.wishes is None:
            return None
        return parameters.of_recipient(self.wishes.recipients[self.channel.number].get(0, b""))


class Straights:
    """All messages that are neither prepared nor given up."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        claiming: Claiming,
        controls: Controls,
        cleaner: Cleaner,
        gone: "Callable[[int], None]",
        ordering: "Orders",
    ) -> None:
        """gone(number): told when todo/N has been removed; ordering: what may not be begun."""
        self._loop, self._log, self._claiming, self._controls = loop, log, claiming, controls
        self._cleaner, self._gone, self._ordering = cleaner, gone, ordering
        self._waiting: dict[int, Straight] = {}  # in the order they came, as is the next
        self._trying: dict[int, Straight] = {}
        self._ticking = False
        self._leaving = False

    def has_room(self, channel: Channel) -> bool:
        """Whether one more may go this way."""
        return not self._leaving and channel.deliveries.limit > 0 and len(self._waiting) < _ROOM

    def add(
        self,
        number: int,
        sender: bytes,
        channel: Channel,
        recipient: bytes,
        now: int,
        wishes: Wishes | None = None,
    ) -> None:
        """now: seconds since the epoch."""
        straight = Straight(number, sender, channel, recipient, now, wishes)
        self._waiting[number] = straight
        channel.add_fresh(straight)
        self._tick_later()

    def keep(self, number: int) -> None:
        """If this message waits here, let it be one like every other."""
        if number in self._waiting:
            self._keep([self._waiting[number]])

    def start(self, waiting: "Unprepared", now: int) -> None:
        """There is a slot for it, if it still waits."""
        straight = self._waiting.get(waiting.number)
        if straight is None or straight is not waiting:
            return
        del self._waiting[straight.number]
        self._trying[straight.number] = straight
        straight.state, straight.since, straight.begun, straight.tried = _TRYING, clock.monotonic(), now, True
        straight.dying = schedule.is_expired(straight.birth, now, self._controls.lifetime)
        lane = straight.channel.lanes.enter(straight.recipient)

        def ended(letter: bytes, text: bytes) -> None:
            straight.channel.lanes.leave(lane)
            self._ended(straight, letter, text)

        straight.channel.deliveries.start(
            straight.number,
            straight.sender,
            straight.recipient,
            ended,
            dying=straight.dying,
            parameters=parameters.of_delivery(straight.for_message, straight.for_recipient),
        )

    def _ended(self, straight: Straight, letter: bytes, text: bytes) -> None:
        if straight.job is not None:
            straight.channel.ending.ended(straight.job, 0, straight.recipient, letter, text, straight.for_recipient)
        elif straight.state == _TRYING and letter == b"K":
            del self._trying[straight.number]
            straight.state = _DONE
            self._tell(straight, text)
            self._forget_and_remove(straight)
        else:
            straight.verdict = letter, text
            if straight.state == _TRYING:
                self._keep([straight])

    @staticmethod
    def _tell(straight: Straight, text: bytes) -> None:
        """If he asked for it, the sender is told that it got through."""
        wished = straight.for_recipient
        if wished is not None and parameters.SUCCESS in wished.notify.split(b","):
            job = Job.of_one(straight.number, straight.sender, straight.birth, 0, dying=False)
            job.parameters = straight.for_message
            straight.channel.ending.note(job, straight.recipient, b"K", text, wished)
            straight.channel.ending.tell(job)

    def _forget_and_remove(self, straight: Straight) -> None:
        """It may have been refused by the disk before: what was written then must go while it is in S4."""
        try:
            self._claiming.forget(straight.number)
        except Trouble as trouble:
            self._log.tell(trouble)
            self._loop.after(FAILED_RETRY, lambda: self._forget_and_remove(straight))
            return
        self._remove(straight)

    def _remove(self, straight: Straight) -> None:
        self._cleaner.ask(cleaning.TODO, straight.number, lambda done: self._removed(straight, done))

    def _removed(self, straight: Straight, done: bool) -> None:
        number = straight.number
        if not done:
            self._later(straight)
            return
        self._gone(number)
        self._ordering.forget(number)
        self._log.say(logline.end(number))
        if self._log.trace.on:
            self._log.trace.tell(number, b"end")
        self._cleaner.ask(cleaning.MESSAGE, number, lambda done: None if done else self._unclean(b"foop/%d" % number))

    def _unclean(self, name: bytes) -> None:
        self._log.say(logline.warning("clean", name))

    def _later(self, straight: Straight) -> None:
        """qmail-clean could not remove todo/N; what was begun must not be begun again."""
        self._unclean(b"todo/%d" % straight.number)
        again = self._remove if straight.state == _DONE else self._ask
        self._loop.after(FAILED_RETRY, lambda: again(straight))

    # becoming a message like every other

    def _keep(self, batch: list[Straight]) -> None:
        """S4: prepare these, then have todo/N removed."""
        prepared = []
        for straight in batch:
            addresses: tuple[list[bytes], list[bytes]] = ([], [])
            addresses[straight.channel.number].append(straight.recipient)
            envelope = straight.sender, addresses, straight.wishes
            try:
                prepared.append((straight, self._claiming.prepare(straight.number, straight.birth, *envelope)))
            except Trouble as trouble:
                self._refused(straight, trouble)
        self._claiming.settle([files for _, files in prepared])
        for straight, files in prepared:
            if files.trouble is not None:
                self._refused(straight, files.trouble)
                continue
            self._trying.pop(straight.number, None)
            self._waiting.pop(straight.number, None)
            straight.state = _KEEPING
            self._ask(straight)

    def _refused(self, straight: Straight, trouble: Trouble) -> None:
        """The disk is full, or worse: it stays in S4; a verdict that must be kept is kept in memory."""
        self._log.tell(trouble)
        straight.since = clock.monotonic() + FAILED_RETRY
        if straight.verdict is not None and straight.state == _TRYING:
            self._loop.after(FAILED_RETRY, lambda: self._keep([straight]) if straight.state == _TRYING else None)

    def _ask(self, straight: Straight) -> None:
        self._cleaner.ask(cleaning.TODO, straight.number, lambda done: self._kept(straight, done))

    def _kept(self, straight: Straight, done: bool) -> None:
        if not done:
            self._later(straight)
            return
        self._gone(straight.number)
        straight.state = _KEPT
        channel = straight.channel
        if not straight.tried:
            channel.add_fresh(straight.number, overdue=True)
            return
        retry = schedule.next_try(straight.birth, straight.begun, channel.number)
        straight.job = Job.of_one(straight.number, straight.sender, straight.birth, retry, dying=straight.dying)
        straight.job.parameters = straight.for_message
        channel.adopt(straight.job)
        if straight.verdict is not None:
            channel.ending.ended(straight.job, 0, straight.recipient, *straight.verdict, straight.for_recipient)
            straight.verdict = None

    # time

    def _tick_later(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.after(_TICK, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        now = clock.monotonic()
        batch = _older(self._trying, now - _TRYING_LIMIT, _BATCH)
        batch += _older(self._waiting, now - _WAITING_LIMIT, _BATCH - len(batch))
        if batch:
            self._keep(batch)
        if self._trying or self._waiting:
            self._tick_later()

    def leave(self) -> None:
        """TERM: those under way are prepared; those that wait stay where they are, in todo/."""
        self._leaving = True
        for straight in self._waiting.values():
            straight.state = _DONE
        self._waiting.clear()
        self._keep([each for each in self._trying.values() if each.channel.deliveries.alive])


def _older(straights: dict[int, Straight], limit: float, most: int) -> list[Straight]:
    """Those that came to their state before limit and have no verdict, oldest first."""
    found: list[Straight] = []
    for straight in straights.values():
        if len(found) >= most:
            break
        if straight.since <= limit and straight.verdict is None:
            found.append(straight)
    return found
