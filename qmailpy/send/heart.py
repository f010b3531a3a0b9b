"""The heart: puts qmail-send's organs together and turns them (spec/04 2).

Each turn: what the descriptors have to say, then deliveries, new mail, deliveries again, finished messages, litter.
Nothing in a turn waits for another process.
"""

from qmailpy.disk.home import Home
from qmailpy.disk.queue.claiming import Claiming
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.sending import Queue
from qmailpy.disk.queue.trigger import Trigger
from qmailpy.rules import logline
from qmailpy.send.answering import Answering
from qmailpy.send.bounces import Bounces
from qmailpy.send.budget import Budget
from qmailpy.send.channel import Channel
from qmailpy.send.cleaner import Cleaner
from qmailpy.send.collecting import Collecting
from qmailpy.send.controls import Controls
from qmailpy.send.deliveries import Counts, Deliveries
from qmailpy.send.ending import Ending
from qmailpy.send.finishing import Finishing
from qmailpy.send.loading import Loading
from qmailpy.send.log import Log
from qmailpy.send.moving import Moving
from qmailpy.send.ordering import Ordering
from qmailpy.send.relays import Relays
from qmailpy.send.reports import Reports
from qmailpy.send.steps import Steps
from qmailpy.send.todo import Todo
from qmailpy.skeletons import renewal
from qmailpy.system import clock, process, signals, title
from qmailpy.system.loop import LONGEST, Loop
from qmailpy.wire.delivery import REMOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SPAWNERS = ((1, 2), (3, 4))  # descriptors: commands to, reports of; indexed by channel
CLEANER = (5, 6)  # commands to, answers of
_REREAD_RETRY = 10.0  # seconds
_VERSION_PAUSE = 5.0  # seconds between two looks for a new version
_TITLE_PAUSE = 0.5  # seconds between two changes of the title
_LEAVING_LIMIT = 30.0  # seconds that TERM waits for bounces being injected and for qmail-clean


class Heart:
    """qmail-send, from its controls to its last line."""

    def __init__(
        self, loop: Loop, log: Log, home: Home, controls: Controls, watched: frozenset[int], *, wide: bool
    ) -> None:
        """watched: pids of the door and the logger; wide: whether the spawners were asked for the wide notation."""
        self._watched = watched
        paths = Paths(home)
        log.lost = self.leave
        log.watch()
        self._loop, self._log, self._home, self._controls = loop, log, home, controls
        self._queue, self._claiming = Queue(paths), Claiming(paths)
        log.trace.written, log.trace.on = self._queue.written, controls.traces
        self.exiting = False
        self._started = False  # both spawners have announced themselves
        self._lacks_child = False  # one of those who are watched has ended
        self._leaving_since = 0.0
        self.renewing = False  # leaving only to come back as a new version
        self._title_due = 0.0
        self._title_timer = False
        counts = Counts(self.show_status)
        self.spawners = [
            Deliveries(loop, log, counts, channel, pipes, self._lost_spawner, wide=wide)
            for channel, pipes in enumerate(SPAWNERS)
        ]
        self._cleaner = Cleaner(loop, *CLEANER, self._lost_cleaner)
        self._bounces = Bounces(loop)
        reports = Reports(loop, log, home, self._queue, controls, self._bounces)
        self._finishing = Finishing(log, self._queue, self._cleaner, self._bounces, reports)
        budget = Budget(loop, log, controls, self._finishing.bounce_collected)
        self._finishing.budget, reports.may_report = budget, budget.may_report
        moving = Moving(home, self._queue, controls, self._bounces)
        self._ordering = Ordering(loop, log, paths, self._queue, controls, moving)
        self._channels = [
            Channel(log, self._queue, controls, spawner, ending, self._finishing.add, self._ordering)
            for spawner in self.spawners
            for ending in [Ending(loop, log, self._queue, controls, reports, spawner.channel)]
        ]
        remote = self._channels[REMOTE]
        remote.deliveries.heard = Relays(loop, log, home, remote.waiting).heard
        self._todo = Todo(
            loop,
            log,
            self._claiming,
            Trigger(paths),
            controls,
            self._cleaner,
            self._channels,
            self._finishing.add,
            lambda: self._bounces.running,
            self._ordering,
        )
        self._loading = Loading(loop, log, self._queue, self._claiming, self._channels, self._finishing)
        self._ordering.meet(self._channels, self._finishing, self._todo)
        self._finishing.ended, self._finishing.is_deleted = self._ordering.forget, self._ordering.is_deleted
        self._finishing.left_open = self._ordering.look
        self._collecting = Collecting(log, self._cleaner, paths)
        self._answering = Answering(loop, log, home, self._channels, self._ordering)
        self._answering.load = self._loading.load
        self._steps = Steps(log, [*(channel.waiting for channel in self._channels), self._finishing.failed])

    # start

    def catch_signals(self) -> None:
        """TERM and INT finish, ALRM tries everything, HUP rereads the controls, CHLD watches over the other daemons."""
        self._loop.on_signal(signals.SIGTERM, self.leave)
        if not signals.is_ignored(signals.SIGINT):  # as it is in the background of a script
            self._loop.on_signal(signals.SIGINT, self.leave)
        self._loop.on_signal(signals.SIGALRM, self._try_all)
        self._loop.on_signal(signals.SIGHUP, self._reread)
        self._loop.on_signal(signals.SIGCHLD, self._reap)
        self._loop.after(0, self._reap)  # who has ended before

    def hear_spawners(self) -> bool:
        """Wait until both have announced themselves; False if one has gone instead."""
        while not self.exiting and not all(spawner.announced for spawner in self.spawners):
            if not all(spawner.alive for spawner in self.spawners):
                return False
            self._loop.turn()
        if not all(spawner.alive for spawner in self.spawners):
            return False
        for spawner, limit in zip(self.spawners, self._controls.limits, strict=True):
            spawner.limit_to(limit)
        self._started = True
        if self._lacks_child:
            self._loop.after(0, self._lost_child)
        return True

    def resume(self, notes: list[bytes]) -> None:
        """As hear_spawners(), which an older version of us did.  notes: what its own `notes` said."""
        for spawner, note in zip(self.spawners, notes, strict=True):
            spawner.resume(note)

    @property
    def notes(self) -> list[bytes]:
        """What a new version must know: the spawners will not announce themselves again."""
        return [spawner.note for spawner in self.spawners]

    def load(self, loaded: "Callable[[], None]") -> None:
        """What was there before us is listed now, and looked at while we live.  loaded(): told when that is done."""
        self._ordering.load()
        self._loading.loaded = loaded
        self._loading.begin(lambda: self.exiting)
        self._loading.step()

    # life

    def run(self) -> None:
        """Until TERM or a loss, and then until nothing is under way."""
        self._answering.open()
        for doubt in self._controls.doubts:
            self._log.alert(doubt)
        self.show_status()
        self._log.flush()
        self._look_for_new_version()
        while not self._is_over():
            self._loop.turn(self._patience())
            self._steps.look()
            now = clock.now()
            if not self.exiting:
                self._loading.step()
                self._step_channels(now)
                if self._todo.step(now):
                    self._step_channels(now)
                self._collecting.step(now)
            self._finishing.step(now)
            self._cleaner.flush()
            self._log.flush()
        self._answering.close()
        self._bounces.kill()
        now = clock.now()
        for channel in self._channels:
            channel.save(now)
        if not self.renewing:
            self._log.say(logline.EXITING)

    def _look_for_new_version(self) -> None:
        """There may be one since setup ran again: become it at a moment when nothing is being delivered or bounced."""
        self._loop.after(_VERSION_PAUSE, self._look_for_new_version)
        at_rest = not (self._bounces.running or any(spawner.running for spawner in self.spawners))
        if at_rest and not self.exiting and renewal.is_due(self._home, [b"qmail-send"]):
            self.leave()
            self.renewing = True

    def _step_channels(self, now: int) -> None:
        for channel in self._channels:
            channel.step(now)

    def _patience(self) -> float:
        now = clock.now()
        shortest = LONGEST
        if self.exiting:
            waits = [self._finishing.patience(now), 1.0]
        else:
            waits = [channel.patience(now) for channel in self._channels]
            waits += [
                None if self._loading.is_done else 0,
                self._todo.patience(),
                self._finishing.patience(now),
                self._collecting.patience(),
            ]
        for wait in waits:
            if wait is not None and wait < shortest:
                shortest = wait
        return shortest

    def _is_over(self) -> bool:
        if not self.exiting:
            return False
        if any(spawner.running for spawner in self.spawners):
            self._leaving_since = clock.monotonic()  # what follows has its time when the last of them has ended
            return False
        if clock.monotonic() > self._leaving_since + _LEAVING_LIMIT:
            return True
        return not (self._bounces.pending or self._cleaner.pending or self._finishing.patience(0) == 0)

    def show_status(self) -> None:
        """The status line, and now and then the title."""
        local, remote = self.spawners
        self._log.say(
            logline.status(local.running, local.limit, remote.running, remote.limit, exiting=self.exiting),
        )
        if self._title_timer:
            return
        now = clock.monotonic()
        if now >= self._title_due:
            self._show_title()
        else:
            self._title_timer = True
            self._loop.after(self._title_due - now, self._show_title)

    def _show_title(self) -> None:
        self._title_timer = False
        self._title_due = clock.monotonic() + _TITLE_PAUSE
        local, remote = self.spawners
        title.set_title("qmail-send", f"local {local.running}/{local.limit} remote {remote.running}/{remote.limit}")

    # signals and losses

    def leave(self) -> None:
        """Begin nothing new, finish what is under way."""
        self.renewing = False  # who is told to leave does not come back
        if self.exiting:
            return
        self.exiting = self._finishing.leaving = True
        self._leaving_since = clock.monotonic()
        self._todo.straights.leave()
        self._bounces.leave()

    def _try_all(self) -> None:
        now = clock.now()
        for channel in self._channels:
            channel.waiting.all_now(now)
        self._loading.all_now()

    def _reread(self) -> None:
        failure, is_for_now = self._controls.reread()
        if failure and not self.exiting:
            self._log.alert(failure)
            if is_for_now:
                self._loop.after(_REREAD_RETRY, self._reread)
        if failure:
            return
        self._log.trace.on = self._controls.traces
        for spawner, limit in zip(self.spawners, self._controls.limits, strict=True):
            spawner.limit_to(limit)
        for channel in self._channels:
            channel.lanes.reread()
        self.show_status()

    def _reap(self) -> None:
        while (found := process.reap()) is not None:
            if not self._bounces.ended(found[0]) and found[0] in self._watched:
                self._lacks_child = True
                self._loop.after(0, self._lost_child)  # anybody else's child is not ours to care: we may be pid 1

    def _lost_child(self) -> None:
        """The pipes have had their say: if nothing was lost there, it was a daemon without one."""
        if not self.exiting and self._started:
            self._log.alert(logline.LOST_CHILD)
            self.leave()

    def _lost_spawner(self) -> None:
        if self._started:  # else hear_spawners() tells
            self._log.alert(logline.LOST_SPAWN)
        self.leave()

    def _lost_cleaner(self) -> None:
        self._log.alert(logline.LOST_CLEAN)
        self.leave()
