"""Messages that are whole and small go to the disk together: as many as have come while earlier ones were on their way.

An idle door takes each message at once. A busy one has several waiting, and the disk's journal writes once for all of
them what it would write for each: a third of the CPU time and half of the wall time (tests/bench).
"""

from qmailpy.skeletons.entry import Entry, accept_together

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.skeletons.entry import Bytes, Whole
    from qmailpy.system.pool import Done, Job

_LANES = 2  # on their way at once: one fills while the other waits for the disk; half of the threads are for others
_MOST = 16  # messages of one batch: whoever is in it waits for all of it


class Committing:
    """What waits for the disk, and how many batches are there."""

    def __init__(self, submit: "Callable[[Job, Done], None]", soon: "Callable[[Callable[[], None]], None]") -> None:
        """submit: has a job done by the pool; soon: has something called at the end of this turn."""
        self._submit, self._soon = submit, soon
        self._waiting: list[tuple[Whole, Done]] = []
        self._running = 0
        self._called = False  # _start() will be called at the end of this turn

    def add(self, entry: Entry, content: "Bytes", records: "Bytes", done: "Done") -> None:
        """Have this message accepted: done(error or None) comes in the loop's thread."""
        self._waiting.append(((entry, content, records), done))
        self._call()

    def _call(self) -> None:
        if self._waiting and self._running < _LANES and not self._called:
            self._called = True
            self._soon(self._start)  # whoever else has come in this turn goes with it

    def _start(self) -> None:
        self._called = False
        while self._waiting and self._running < _LANES:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            self._run(batch)

    def _run(self, batch: "list[tuple[Whole, Done]]") -> None:
        self._running += 1
        errors: list[BaseException | None] = []

        def work() -> None:
            errors.extend(accept_together([whole for whole, _ in batch]))

        def worked(error: BaseException | None) -> None:
            self._running -= 1
            for (_, done), own in zip(batch, errors or [error] * len(batch), strict=True):
                done(own)
            self._call()

        self._submit(work, worked)

    def resume(self) -> None:
        """The loop has become another one."""
        self._called = False
        self._call()

    def surrender(self) -> None:
        """A fork of this process accepts what waits here: if we did too, it would be in the queue twice."""
        self._waiting.clear()
