"""The one way into the queue for every program of ours that submits mail: client side of spec/00 12.

A program that the user or the administrator named is really executed: $QMAILQUEUE, qmail-direct where control/direct
says that there is no queue, a bin/qmail-queue that has been replaced, and everything when $QMAILEXEC is set; message on
its descriptor 0, envelope on 1, its own words on 6 or 4. Else the door is spoken to directly. Used by qmail-inject,
qmail-local, the bounces of qmail-send, the servers.

Envelope parameters go to the door and to our own qmail-queue. Any other program gets the envelope that every
qmail-queue knows: they are wishes, and it delivers as always.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.skeletons.queue_client import Client, Way
from qmailpy.system import descriptors, identity, launcher, process
from qmailpy.wire import door, envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.parameters import Parameters

_MESSAGE, _ENVELOPE, _CUSTOM_TEXT = 0, 1, 6  # descriptors of a queue program
_OLD_CUSTOM_TEXT = 4  # where simscan, and what else was written for the old patch, says its words
_READ, _FORMAT, _CLOSED, _HOME = 54, 91, 56, 61  # exit codes
_WAIT_SURPRISE = b"Zqq waitpid surprise (#4.3.0)"


class Result:
    """What became of a submission.  text: empty for success, else D or Z and a sentence; qp: as in the log."""

    __slots__ = ("qp", "text")

    def __init__(self, qp: int, text: bytes) -> None:
        """As above."""
        self.qp, self.text = qp, text


class Submission:
    """One message: write() any number of times, then close().  Raises nothing: trouble shows in close()."""

    def __init__(
        self,
        home: Home,
        *,
        resident: bool = False,
        drops: bool = True,
        program: bytes = b"",
        variables: dict[bytes, bytes] | None = None,
    ) -> None:
        """resident: this process submits more than one message; the door then gives each its own qp.

        drops: while the door is closed it is left in drop/, for who could not come again with it; program: of another
        queue, instead of ours; variables: of its environment, besides our own.
        """
        self._good = True
        executed = program or _program(home)
        self._executed = _Executed(home, executed, variables) if executed else None
        self._client: Client | None = None
        if self._executed is None:
            by_root = (lambda: _ByProgram(home)) if identity.is_root() and not home.embedded else None
            speaker = door.RESIDENT if resident else door.ONE_MESSAGE
            self._client = Client(home, speaker, by_root, drops=drops)

    def write(self, piece: bytes) -> None:
        """More of the message."""
        if self._executed is not None:
            self._executed.write(piece)
        elif self._client is not None:
            self._client.write(piece)

    def await_input(self, descriptor: int) -> bool:
        """Wait until this descriptor, where the message comes from, can be read; the door is kept waiting politely.

        False: the door has answered already, and reading on is no use.
        """
        return self._client is None or self._client.await_input(descriptor)

    def fail(self) -> None:
        """The message is not whole: close() will only report that."""
        self._good = False
        if self._client is not None:
            self._client.abandon()

    @property
    def carries_parameters(self) -> bool:
        """Whether close() passes them on: to the door, or to our own qmail-queue of this very version."""
        return self._executed is None or self._executed.is_ours

    def close(self, sender: bytes, recipients: list[bytes], parameters: "Parameters | None" = None) -> Result:
        """The envelope; what became of it all.  sender, recipients: without NUL.

        parameters: of wire/parameters, None for none; dropped where carries_parameters is false.
        """
        content = b""
        if self._good:
            try:
                if parameters is not None and self.carries_parameters:
                    content = parameters.envelope(sender, recipients)
                else:
                    content = envelope.Envelope(sender, recipients).encode()
            except ValueError:
                self.fail()
                return self._failed(_FORMAT)
        if self._executed is not None:
            return self._executed.close(content)
        if not self._good:
            return self._failed(_READ)
        if any(len(address) > envelope.LONGEST for address in (sender, *recipients)):
            self.fail()
            return self._failed(envelope.TOO_LONG_EXIT)
        if len(recipients) > envelope.MOST_RECIPIENTS:
            self.fail()
            return self._failed(envelope.REFUSED_EXIT)
        assert self._client is not None
        answer = self._client.close(content)
        if answer.code == _CLOSED and answer.text:
            return Result(answer.qp, b"Z" + answer.text + b" (#4.3.0)")
        return Result(answer.qp, envelope.result_text(answer.code, answer.text))

    def _failed(self, code: int) -> Result:
        if self._executed is not None:
            self._executed.close(b"")
        return Result(identity.my_pid(), envelope.result_text(code))


def _program(home: Home) -> bytes | None:
    """The queue program that must be executed; None where the door may be spoken to directly."""
    variables = process.environment()
    named = variables.get(b"QMAILQUEUE")
    if named:
        return named
    if home.direct:
        return home.program("qmail-direct")
    ours = home.program("qmail-queue")
    if variables.get(b"QMAILEXEC") or not launcher.is_current(home.path):
        return ours
    return None if launcher.Launchers(launcher.library()).is_ours(ours) else ours


class _Executed:
    """A queue program in a process of its own."""

    def __init__(self, home: Home, program: bytes, variables: dict[bytes, bytes] | None = None) -> None:
        """Starts it; trouble shows in close()."""
        self._home, self._program, self._variables = home, program, variables or {}
        self._message = self._envelope = self._custom = -1
        self._pid = 0
        self._good = True
        ends: list[int] = []
        try:
            for _ in range(3):
                ends += posix.pipe2(posix.O_CLOEXEC)
            wanted = {_MESSAGE: ends[0], _ENVELOPE: ends[2], _CUSTOM_TEXT: ends[5], _OLD_CUSTOM_TEXT: ends[5]}
            self._pid = process.fork(lambda: self._become(wanted))
        except OSError:
            for end in ends:
                posix.close(end)
            return
        for end in set(wanted.values()):
            posix.close(end)
        self._message, self._envelope, self._custom = ends[1], ends[3], ends[4]

    @property
    def is_ours(self) -> bool:
        """Whether it is our own qmail-queue, and not a wrapper, another one, or one that setup has just brought."""
        if self._program != self._home.program("qmail-queue") or not launcher.is_current(self._home.path):
            return False
        return launcher.Launchers(launcher.library()).is_ours(self._program)

    def write(self, piece: bytes) -> None:
        """More of the message; a program that reads no more is heard in close()."""
        if self._good and self._message >= 0:
            self._send(self._message, piece)

    def close(self, content: bytes) -> Result:
        """content: the envelope; empty: the message is bad, and the program must find out by its missing end."""
        if not self._pid:
            return Result(0, envelope.result_text(process.EXEC_FAILED))
        self._message = _shut(self._message)
        if content and self._good:
            self._send(self._envelope, content)
        self._envelope = _shut(self._envelope)
        try:
            custom = descriptors.read_all(self._custom, envelope.CUSTOM_TEXT_LIMIT)
        except OSError:
            custom = b""
        self._custom = _shut(self._custom)
        return Result(self._pid, self._outcome(bool(content), custom))

    def _outcome(self, whole: bool, custom: bytes) -> bytes:
        try:
            ending = process.wait(self._pid)
        except OSError:
            return _WAIT_SURPRISE
        if ending.signal:
            return envelope.CRASHED
        if ending.code == 0 and not (whole and self._good):
            return envelope.result_text(_READ)
        return envelope.result_text(ending.code, custom)

    def _send(self, descriptor: int, content: bytes) -> None:
        try:
            descriptors.write_all(descriptor, content)
        except OSError:
            self._good = False

    def _become(self, wanted: dict[int, int]) -> int:
        process.arrange(wanted)
        try:
            posix.chdir(self._home.path)
        except OSError:
            return _HOME
        try:
            process.execute(self._program, [self._program], {**process.environment(), **self._variables})
        except OSError:
            return process.EXEC_FAILED


class _ByProgram(Way):
    """For root, the door being closed: qmail-queue in a process of its own, which may become qmailq for good."""

    def __init__(self, home: Home) -> None:
        """Starts it."""
        self._program: _Executed | None = _Executed(home, home.program("qmail-queue"))

    def message(self, piece: bytes) -> door.Answer | None:
        if self._program is not None:
            self._program.write(piece)
        return None

    def finish(self, envelope: bytes) -> door.Answer | None:
        return self._end(envelope)

    def abandon(self) -> None:
        self._end(b"")

    def _end(self, content: bytes) -> door.Answer:
        program, self._program = self._program, None
        if program is None:
            return door.Answer(_READ)
        result = program.close(content)
        return door.Answer(envelope.CUSTOM_TEXT_EXIT if result.text else 0, result.qp, result.text)


def _shut(descriptor: int) -> int:
    if descriptor >= 0:
        posix.close(descriptor)
    return -1
