"""qmail-queue: puts a message into the queue.  The classic interface; a thin client of the door.

Runs as: the caller, with no privilege of its own.
Descriptors: 0 the message, to its end; 1 the envelope, which is read, not written: F sender NUL, T recipient NUL for
each recipient, NUL (and from our own programs, behind either of them, p parameters NUL: wire/parameters); 2 one line if
it fails; 6, where a caller has put a pipe there, takes the text that goes with 82.
Exit codes: 0 it is in the queue and on disk. 11 an address is too long, 31 refused for good, 51 no memory, 52 a day has
passed, 53 write error, 54 read error or cut off, 56 the door is closed, 61 home, 62 queue, 63..66 files in the queue,
71 refused for now, 72 and 74 the door does not answer, 81 a bug, 82 as the text on 6 says, 91 envelope format.
Control files: queuebytes, by way of the door.  Trusts: nobody; the kernel tells the door who the caller is.

root with the door closed becomes qmailq for good and does the door's work itself.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.skeletons import queue_face
from qmailpy.skeletons.queue_client import Client, Way
from qmailpy.system import descriptors, identity
from qmailpy.verdict import PERM, TEMP, Die, words
from qmailpy.wire import door, envelope

_MESSAGE, _ENVELOPE = 0, 1  # descriptors
_REFUSED, _NOT_NOW = 31, 71  # exit codes for a text that nobody reads on 6
_MEMORY, _READ = 51, 54


class _OwnWay(Way):
    """root, the door being closed."""

    def __init__(self, home: Home) -> None:
        """Becomes qmailq for good.  Errors: Die."""
        from qmailpy.disk import control
        from qmailpy.disk.queue.entering import UMASK, Names, check_queue
        from qmailpy.disk.queue.paths import Paths
        from qmailpy.skeletons.entry import Entry
        from qmailpy.system import clock

        caller, pid = identity.my_uid(), identity.my_pid()
        account = home.roles.account("qmailq")
        check_queue(Paths(home), account.uid)
        identity.become(account.uid, account.gid)
        posix.umask(UMASK)
        self._entry = Entry(home, Names(pid, clock.now()), caller, pid, control.integer(home, "localtime", 0) > 0)
        self._pid = pid

    def message(self, piece: bytes) -> door.Answer | None:
        self._entry.store(piece)
        return None

    def finish(self, envelope: bytes) -> door.Answer | None:
        self._entry.accept(b"", envelope[:-1])
        return door.Answer(0, self._pid)

    def abandon(self) -> None:
        self._entry.abandon()


def _may_write_itself(home: Home) -> bool:
    """Root may, in a classic home; an embedded one has an owner whose door takes what lies in drop/."""
    if not identity.is_root():
        return False
    try:
        posix.stat(home.control(b"embedded"))
    except OSError:
        return True
    return False


def _read(descriptor: int, what: bytes) -> bytes:
    """A piece.  Errors: Die 54."""
    while True:
        try:
            return posix.read(descriptor, descriptors.READ_SIZE)
        except BlockingIOError:  # the caller has made it non-blocking
            import select

            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll()
        except OSError as error:
            text = b"unable to read the %s on descriptor %d: %s" % (what, descriptor, words(error))
            raise Die(TEMP, text, _READ) from None


def _hand_over(client: Client) -> door.Answer:
    """All of both descriptors; ends early where the door does."""
    while client.await_input(_MESSAGE) and (piece := _read(_MESSAGE, b"message")):
        client.write(piece)
    reader = envelope.Reader()
    try:
        while not reader.done and client.await_input(_ENVELOPE) and (piece := _read(_ENVELOPE, b"envelope")):
            reader.feed(piece)
            if reader.size > door.ENVELOPE_LIMIT:
                raise Die(PERM, b"the envelope is larger than 64 MB", _REFUSED)
        if client.answer is not None:
            return client.answer
        return client.close(reader.records() + b"\0")
    except envelope.EnvelopeError as error:
        raise Die(TEMP, error.text, error.code) from None


def _ending(answer: door.Answer, listener: bool) -> int:
    """The exit code; a failure is one line on fd 2.  listener: somebody wants the text on descriptor 6."""
    if answer.code == 0:
        return 0
    code, text = answer.code, answer.text
    if code == envelope.CUSTOM_TEXT_EXIT:
        if listener and _tell(text):
            return code
        code = _REFUSED if text.startswith(b"D") else _NOT_NOW
        text = text[1:]
    raise Die(TEMP, text or envelope.result_text(code)[1:], code)


def _tell(text: bytes) -> bool:
    try:
        descriptors.write_all(queue_face.CUSTOM_TEXT, text)
    except OSError:
        return False
    return True


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no arguments, as ever
    """See the head of this file."""
    listener = queue_face.begin(home)
    own_way = (lambda: _OwnWay(home)) if _may_write_itself(home) else None
    client = Client(home, door.ONE_MESSAGE, own_way)
    try:
        return _ending(_hand_over(client), listener)
    except MemoryError:
        raise Die(TEMP, b"out of memory", _MEMORY) from None
    finally:
        client.abandon()
