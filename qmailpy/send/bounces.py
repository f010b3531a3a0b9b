"""Bounces: a child for each one puts the message into the queue as any submitter does; the heart goes on.

The child is this process's image without its descriptors (the mutex above all); it says on a pipe what became of it.
"""

import posix
from collections import deque

from qmailpy.disk.home import Home
from qmailpy.disk.queue.sending import Queue
from qmailpy.rules.bounce import Bounce, Sender
from qmailpy.skeletons.submit import Result, Submission
from qmailpy.system import clock, descriptors, process, signals
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Bounced = Callable[[int, "int | None"], None]

AT_ONCE = 5  # children
_RESULT_FD = 3  # the child's end of the pipe
_HEADER_LIMIT = 65536  # bytes of a header in a bounce without its message
_RESULT_LIMIT = 1000  # bytes: a number, and a sentence nobody reads


class _Child:
    __slots__ = ("heard", "number", "pid", "pipe")

    def __init__(self, number: int, pipe: int) -> None:
        self.number, self.pipe = number, pipe
        self.pid = 0
        self.heard = b""


class Bounces:
    """Which bounces are being injected, and which wait."""

    def __init__(self, loop: Loop, home: Home, queue: Queue, us: Sender, bounced: "Bounced") -> None:
        """us: who bounces come from; bounced(number, qp): told of each, qp None where it must be tried later."""
        self._loop, self._home, self._queue, self._us, self._bounced = loop, home, queue, us, bounced
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._running: dict[int, _Child] = {}  # by pipe
        self._pids: set[int] = set()

    @property
    def running(self) -> int:
        """How many are being injected."""
        return len(self._running)

    def start(self, number: int, sender: bytes) -> None:
        """Inject the bounce of this message, now or when others are through.  Errors: OSError of pipe or fork."""
        if len(self._running) >= AT_ONCE:
            self._waiting.append((number, sender))
            return
        heard, said = posix.pipe2(posix.O_CLOEXEC)
        child = _Child(number, heard)
        try:
            child.pid = process.fork(lambda: self._inject(number, sender, said))
        except OSError:
            posix.close(heard)
            raise
        finally:
            posix.close(said)
        self._running[heard] = child
        self._pids.add(child.pid)
        self._loop.on_read(heard, lambda: self._hear(child))

    def _inject(self, number: int, sender: bytes, said: int) -> int:
        """In the child: the whole message.  Errors: any ends it in silence, and it is tried again."""
        signals.as_for_a_new_program()
        signals.ignore(signals.SIGPIPE)
        null = posix.open(b"/dev/null", posix.O_RDWR)
        process.arrange({0: null, 1: null, 2: null, _RESULT_FD: said})
        posix.set_inheritable(_RESULT_FD, False)
        process.close_above(_RESULT_FD)
        result = self._submit(number, sender, whole=True)
        if result.text.startswith(
            b"D"
        ):  # too large for control/queuebytes, say: the sender must hear of it all the same
            result = self._submit(number, sender, whole=False)
        descriptors.write_all(_RESULT_FD, b"%d\0%s\0" % (result.qp, result.text))
        return 0

    def _submit(self, number: int, sender: bytes, *, whole: bool) -> Result:
        """One attempt.  whole: with all of the message, else with its header (of which _HEADER_LIMIT bytes)."""
        now = clock.now()
        bounce = Bounce(sender, self._us, now, clock.east_of_utc(now))
        submission = Submission(self._home)
        submission.write(bounce.before)
        try:
            for piece in self._queue.bounce_text(number):
                submission.write(piece)
            submission.write(bounce.between)
            for piece in self._queue.message(number):
                submission.write(piece if whole else _header(piece))
                if not whole:
                    break
        except OSError:
            submission.fail()
        return submission.close(bounce.envelope_sender, [bounce.recipient])

    def _hear(self, child: _Child) -> None:
        piece = posix.read(child.pipe, _RESULT_LIMIT)
        if piece:
            child.heard = (child.heard + piece)[:_RESULT_LIMIT]
            return
        self._loop.forget(child.pipe)
        posix.close(child.pipe)
        del self._running[child.pipe]
        qp, _, text = child.heard.partition(b"\0")
        self._bounced(child.number, int(qp) if text == b"\0" and qp.isdigit() else None)

    def step(self) -> None:
        """Start those that wait.  Errors: OSError; the one that failed is told of as bounced() does."""
        while self._waiting and len(self._running) < AT_ONCE:
            number, sender = self._waiting.popleft()
            try:
                self.start(number, sender)
            except OSError:
                self._bounced(number, None)

    def ended(self, pid: int) -> bool:
        """A child of ours has ended.  Result: whether it was one of these."""
        if pid not in self._pids:
            return False
        self._pids.discard(pid)
        return True

    def kill(self) -> None:
        """We leave and cannot wait for them any longer: what they did not finish is done after the next start."""
        for child in self._running.values():
            if child.pid in self._pids:
                process.kill(child.pid, signals.SIGKILL)


def _header(piece: bytes) -> bytes:
    """The header at the beginning of a message, or as much of it as there is."""
    header, blank, _ = piece[:_HEADER_LIMIT].partition(b"\n\n")
    return header + blank
