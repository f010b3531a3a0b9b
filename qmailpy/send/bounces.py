"""Bounces: a child for each one puts the message into the queue as any submitter does; the heart goes on.

The child is this process's image without its descriptors (the mutex above all); it says on a pipe what became of it.
The same for the reports that a sender has asked for. What they say: send/reports.
"""

import posix
from collections import deque

from qmailpy.system import descriptors, process, signals
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.skeletons.submit import Result

    Bounced = Callable[["int | None"], None]

AT_ONCE = 5  # children
_RESULT_FD = 3  # the child's end of the pipe
_RESULT_LIMIT = 1000  # bytes: a number, and a sentence nobody reads


class _Work:
    """number: of the message whose bounce it is; -1 for that of many; 0 for what only this process knows of."""

    __slots__ = ("bounced", "heard", "number", "pid", "submit")

    def __init__(self, number: int, submit: "Callable[[], Result]", bounced: "Bounced") -> None:
        self.number, self.submit, self.bounced = number, submit, bounced
        self.pid = 0
        self.heard = b""


class Bounces:
    """Which bounces are being injected, and which wait."""

    def __init__(self, loop: Loop) -> None:
        """None yet."""
        self._loop = loop
        self._waiting: deque[_Work] = deque()
        self._running: dict[int, _Work] = {}  # by pipe
        self._pids: set[int] = set()
        self.refusal = b""  # D or Z and why, while bounced(None) is being told of that

    @property
    def running(self) -> int:
        """How many are being injected."""
        return len(self._running)

    @property
    def pending(self) -> int:
        """How many are being injected, or wait for that."""
        return len(self._running) + len(self._waiting)

    def start(self, number: int, submit: "Callable[[], Result]", bounced: "Bounced") -> None:
        """Inject the bounce of this message, now or when others are through.  Errors: OSError of pipe or fork.

        number: -1 for one about many messages; 0 for what is no bounce, and is lost if we end; submit(): does it, in
        the child; bounced(qp): told what became of it, None where it must be tried later.
        """
        work = _Work(number, submit, bounced)
        if len(self._running) >= AT_ONCE:
            self._waiting.append(work)
        else:
            self._begin(work)

    def _begin(self, work: _Work) -> None:
        heard, said = posix.pipe2(posix.O_CLOEXEC)
        try:
            work.pid = process.fork(lambda: self._inject(work, said))
        except OSError:
            posix.close(heard)
            raise
        finally:
            posix.close(said)
        self._running[heard] = work
        self._pids.add(work.pid)
        self._loop.on_read(heard, lambda: self._hear(heard, work))

    @staticmethod
    def _inject(work: _Work, said: int) -> int:
        """In the child.  Errors: any ends it in silence, and it is tried again."""
        signals.as_for_a_new_program()
        signals.ignore(signals.SIGPIPE)
        null = posix.open(b"/dev/null", posix.O_RDWR)
        process.arrange({0: null, 1: null, 2: null, _RESULT_FD: said})
        posix.set_inheritable(_RESULT_FD, False)
        process.close_above(_RESULT_FD)
        result = work.submit()
        descriptors.write_all(_RESULT_FD, b"%d\0%s\0" % (result.qp, result.text))
        return 0

    def _hear(self, pipe: int, work: _Work) -> None:
        piece = posix.read(pipe, _RESULT_LIMIT)
        if piece:
            work.heard = (work.heard + piece)[:_RESULT_LIMIT]
            return
        self._loop.forget(pipe)
        posix.close(pipe)
        del self._running[pipe]
        qp, _, text = work.heard.partition(b"\0")
        self.refusal = text.rstrip(b"\0")
        work.bounced(int(qp) if text == b"\0" and qp.isdigit() else None)
        self.refusal = b""

    def withdraw(self, number: int) -> bool:
        """Take one out of those that wait.  Result: whether it was there."""
        for at, work in enumerate(self._waiting):
            if work.number == number:
                del self._waiting[at]
                return True
        return False

    def leave(self) -> None:
        """What is on disk is left to the next start; what only we know of is still said."""
        self._waiting = deque(work for work in self._waiting if not work.number)

    def step(self) -> None:
        """Start those that wait; one that cannot be started is told of as bounced() does."""
        while self._waiting and len(self._running) < AT_ONCE:
            work = self._waiting.popleft()
            try:
                self._begin(work)
            except OSError:
                work.bounced(None)

    def ended(self, pid: int) -> bool:
        """A child of ours has ended.  Result: whether it was one of these."""
        if pid not in self._pids:
            return False
        self._pids.discard(pid)
        return True

    def kill(self) -> None:
        """We leave and cannot wait for them any longer: what they did not finish is done after the next start."""
        for work in self._running.values():
            if work.pid in self._pids:
                process.kill(work.pid, signals.SIGKILL)
