"""A conversation that has a process of its own: the client on descriptors 0 and 1, as every TCP server gives it.

Nothing here waits for anything but the client and what the conversation itself asks for, so its coroutine runs to the
end at one stroke.  Used by qmail-smtpd, qmail-qmtpd, qmail-qmqpd, qmail-popup, qmail-pop3d.
"""

import errno
import posix
import select

from qmailpy.disk.home import Home
from qmailpy.skeletons import questions
from qmailpy.skeletons.dialog import Dialog, Gone, Silent
from qmailpy.system import clock, descriptors, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from qmailpy.skeletons.submit import Result
    from qmailpy.wire.parameters import Parameters

_IN, _OUT = 0, 1  # descriptors
_NETWORK = b"TCPREMOTEPORT"  # variable: every server sets it; sendmail -bs, whose client has no queue, does not
_PIECE = 65536  # bytes that are taken at once
_SURE = 4096  # bytes that do not block where poll says that writing is possible


class Alone(Dialog):
    """The conversation of this process.  note: writes one line where it is read."""

    __slots__ = ("_home", "_note")

    def __init__(self, home: Home, patience: float, note: "Callable[[bytes], None]") -> None:
        """The connection's facts are in the environment of the process."""
        super().__init__(dict(process.environment()), patience)
        self._home, self._note = home, note

    async def _take(self) -> bytes:
        self._await(_IN, select.POLLIN)
        try:
            return posix.read(_IN, _PIECE)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return await self._take()
            raise Gone from None

    async def _give(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            self._await(_OUT, select.POLLOUT)
            try:
                view = view[posix.write(_OUT, view[:_SURE]) :]
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    raise Gone from None

    def _await(self, descriptor: int, events: int) -> None:
        seconds = self.patience
        if self.until is not None:
            seconds = min(seconds, self.until - clock.monotonic())
        poll = select.poll()
        poll.register(descriptor, events)
        if seconds <= 0 or not poll.poll(seconds * 1000):
            raise Silent

    async def ask(self, question: bytes, request: bytes) -> bytes:
        """Asked in this process, which waits."""
        return questions.answer(self._home, question, request)

    def begin(self) -> "Handing":
        """By the one way that all programs of ours use; what plugins have set ($QMAILQUEUE) and unset counts."""
        for name in process.environment().keys() - self.environment.keys():
            process.set_variable(name, None)
        process.set_variables(self.environment)
        return Handing(self._home, comes_again=_NETWORK in self.environment)

    def note(self, line: bytes) -> None:
        """To where the log is."""
        self._note(line)

    def now(self) -> float:
        """The monotonic clock, seconds."""
        return clock.monotonic()


class Handing:
    """One message on its way into the queue."""

    __slots__ = ("_submission",)

    def __init__(self, home: Home, *, comes_again: bool) -> None:
        """Nothing of it has come.  comes_again: the client has a queue of its own, and drop/ is not for such mail."""
        from qmailpy.skeletons.submit import Submission  # POP3 needs no queue, and many sessions bring no mail

        self._submission = Submission(home, resident=True, drops=not comes_again)

    async def write(self, piece: bytes) -> None:
        """More of it."""
        self._submission.write(piece)

    def fail(self) -> None:
        """It will not be whole."""
        self._submission.fail()

    async def close(self, sender: bytes, recipients: list[bytes], parameters: "Parameters | None" = None) -> "Result":
        """As Submission.close."""
        return self._submission.close(sender, recipients, parameters)


def hold(conversation: "Coroutine[None, None, int]") -> int:
    """Run the conversation of an Alone to its end: what it returns.  Errors: what it raises."""
    try:
        conversation.send(None)
    except StopIteration as end:
        result: int = end.value
        return result
    raise AssertionError("a conversation that has a process of its own does not wait")


def note_on(descriptor: int) -> "Callable[[bytes], None]":
    """What writes lines for the log there."""
    return lambda line: descriptors.say(line, descriptor)
