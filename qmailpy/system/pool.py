"""A few threads for what blocks in the kernel although poll(2) calls it ready: fsync above all.

The loop's thread submits a job and gets its outcome back in its own thread, by way of a pipe that wakes the loop.
Used by the door. A job must not touch what the loop's thread uses meanwhile.
"""

import posix
import threading
from collections import deque
from queue import SimpleQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], None]
    Done = Callable[[BaseException | None], None]


class Pool:
    """Runs jobs in the order they are submitted, several at once."""

    def __init__(self, threads: int) -> None:
        """threads: 4 for a queue; 16 were slower (DESIGN 5)."""
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._finished: deque[tuple[Done, BaseException | None]] = deque()
        self.ready, self._wake = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: "Job", done: "Done") -> None:
        """Run job() in a thread, then done(what it raised, or None) from finished()."""
        self._jobs.put((job, done))

    def finished(self) -> None:
        """Call the done() of every job that has ended; the loop calls this when `ready` is readable."""
        try:
            posix.read(self.ready, 4096)
        except BlockingIOError:
            pass
        while self._finished:
            done, error = self._finished.popleft()
            done(error)

    def stop(self) -> None:
        """Wait for all jobs that were submitted, end the threads; then finished() still has calls to make.

        Afterwards this process has one thread, so that it may fork.
        """
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def close(self) -> None:
        """Give back the descriptors, after stop()."""
        posix.close(self.ready)
        posix.close(self._wake)

    def _work(self) -> None:
        while (work := self._jobs.get()) is not None:
            job, done = work
            error: BaseException | None = None
            try:
                job()
            except BaseException as raised:  # noqa: BLE001 - whoever submitted it decides
                error = raised
            self._finished.append((done, error))
            del work, job, done, error  # or the last job's bytes live until the next one comes
            try:
                posix.write(self._wake, b"\0")
            except BlockingIOError:  # the pipe is full: the loop will be woken
                continue
