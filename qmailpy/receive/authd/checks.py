"""The programs that check passwords: some at a time, others wait for their turn; one that hangs is killed."""

from collections import deque

from qmailpy.disk.home import Home
from qmailpy.skeletons import checking
from qmailpy.system import process
from qmailpy.system.loop import Loop
from qmailpy.wire.authd import LATER, YES, Answer, Question

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.loop import Timer

    Done = Callable[[Answer], None]

AT_ONCE = 16  # programs; each may hold 32 MB for scrypt
WAITING = 256  # questions


class Checks:
    """Those that run, and those that wait."""

    def __init__(self, loop: Loop, home: Home) -> None:
        """None yet."""
        self._loop, self._home = loop, home
        self.program: list[bytes] = []  # a foreign one with its arguments; empty: ours
        self._running: dict[int, tuple[int, Timer, Done]] = {}
        self._waiting: deque[tuple[Question | None, Done]] = deque()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._running or self._waiting)

    def begin(self, question: Question | None, done: "Done") -> None:
        """Have it checked; done() gets the answer, perhaps at once.

        question: None asks our own program what can be offered.
        """
        if len(self._running) < AT_ONCE:
            self._start(question, done)
        elif len(self._waiting) < WAITING:
            self._waiting.append((question, done))
        else:
            done(Answer(LATER, 0, b"too many passwords are being checked"))

    def _start(self, question: Question | None, done: "Done") -> None:
        argv, content = [self._home.program(checking.OURS), checking.MECHANISMS], b""
        if question is not None:
            argv, content = self.program or checking.our_argv(self._home, question.method), question.for_program
        try:
            environment = checking.environment_for(self._home, question)
            pid, words = checking.start(argv, content, environment, ours=question is None or not self.program)
        except OSError:
            done(Answer(LATER, 0, b"the program that checks passwords cannot be started"))
            return
        timer = self._loop.after(checking.SECONDS, lambda: self._kill(pid))
        self._running[pid] = (words, timer, done)

    def _kill(self, pid: int) -> None:
        """It hangs: whoever waits for it is told now, its number stays ours until the kernel says that it has ended."""
        process.end_group(pid)
        words, timer, done = self._running[pid]
        checking.said(words)
        self._running[pid] = (-1, timer, _nobody)
        done(Answer(LATER, 0, checking.verdict(None)[1]))

    def reap(self) -> None:
        """Children have ended."""
        while (found := process.reap()) is not None:
            pid, ending = found
            known = self._running.pop(pid, None)
            if known is None:
                continue
            words, timer, done = known
            timer.cancel()
            if words >= 0:
                verdict, why = checking.verdict(ending)
                said = checking.said(words)
                done(Answer(verdict, 0, said if verdict == YES else why))
        while self._waiting and len(self._running) < AT_ONCE:
            self._start(*self._waiting.popleft())

    def kill_all(self) -> None:
        """We end: nobody waits for the answers."""
        for pid in self._running:
            process.end_group(pid)


def _nobody(_: Answer) -> None:
    return
