"""qmail-direct: hands a message to its relay while the caller waits; in the place of qmail-queue, without a queue.

By QMAILQUEUE for one caller, by control/direct for a host. Nothing is written to disk, no daemon is needed, no root: it
works in a container with a read-only file system and a uid that has no name. Where control/direct is there and
qmail-queued runs, who has no logins of his own goes by that, which may read the host's.
Runs as: the caller, with no privilege of its own.
Descriptors: 0 the message, to its end; 1 the envelope, as for qmail-queue; 6, where a caller has put a pipe there,
takes the text that goes with 82; 2 has what does not fit, or all of it where there is no such pipe.
Exit codes: 0 the relay has taken it, for all recipients. 82 failed, as the text on 6 says; without 6: 31 for good, 71
for now. It was then delivered to nobody, and nothing is tried again. 51 no memory, 52 a day has passed, 54 read error
or cut off, 61 home, 72 and 74 qmail-queued does not answer, 81 a bug, 11 and 91 as qmail-queue.
Control files: me, helohost, smtproutes, senderroutes, locals, virtualdomains, percenthack, envnoathost, queuebytes,
timeoutconnect, timeoutremote, aliasfile; $QMAILSMTPAUTH, else ~/.qmail-smtpauth, else control/smtpauth for logins.
Trusts: nobody.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.remote import direct
from qmailpy.rules.received import received_line
from qmailpy.skeletons import direct_client, queue_face
from qmailpy.system import clock, descriptors, identity
from qmailpy.verdict import EXIT, LETTER, PERM, TEMP, Die, words
from qmailpy.wire import door, envelope

_MESSAGE, _ENVELOPE = 0, 1  # descriptors
_REFUSED, _NOT_NOW, _MEMORY, _READ = 31, 71, 51, 54
_NAME = b"qmail-direct"


def _read(descriptor: int, what: bytes) -> bytes:
    """A piece.  Errors: Die 54."""
    try:
        return posix.read(descriptor, descriptors.READ_SIZE)
    except OSError as error:
        text = b"unable to read the %s on descriptor %d: %s" % (what, descriptor, words(error))
        raise Die(TEMP, text, _READ) from None


def _message(home: Home) -> tuple[int, int]:
    """The whole message in memory, with its Received line, as a descriptor that can seek; and where it begins itself.

    Errors: Die.
    """
    limit = control.integer(home, "queuebytes", door.DEFAULT_BYTES)
    kept = posix.memfd_create("message", posix.MFD_CLOEXEC)
    line = received_line(identity.my_pid(), b"by uid %d" % identity.my_uid(), clock.now())
    descriptors.write_all(kept, line)
    size = 0
    while piece := _read(_MESSAGE, b"message"):
        size += len(piece)
        if 0 < limit < size:
            raise Die(PERM, door.too_large().text[1:])
        descriptors.write_all(kept, piece)
    posix.lseek(kept, 0, 0)
    return kept, len(line)


def _envelope() -> envelope.Reader:
    """A whole one.  Errors: Die."""
    reader = envelope.Reader()
    try:
        while not reader.done and (piece := _read(_ENVELOPE, b"envelope")):
            reader.feed(piece)
            if reader.size > door.ENVELOPE_LIMIT:
                raise Die(PERM, b"the envelope is larger than 64 MB", _REFUSED)
        reader.result()
    except envelope.EnvelopeError as error:
        raise Die(TEMP, error.text, error.code) from None
    return reader


def _by_door(home: Home, message: int, start: int, content: bytes) -> bool:
    """Whether a door has had it handed on.  content: the envelope.  Errors: Die, also with the relay's words."""
    if not home.direct or direct.own_logins():
        return False
    answer = direct_client.hand_over_now(home, message, start, content)
    if answer is None:
        posix.lseek(message, 0, 0)
        return False
    if answer.code == envelope.CUSTOM_TEXT_EXIT:
        raise Die(PERM if answer.text.startswith(b"D") else TEMP, answer.text[1:])
    if answer.code:
        raise Die(TEMP, answer.text or b"qmail-queued has hung up; perhaps the relay has the message", answer.code)
    return True


def _fail(death: Die, *, listener: bool) -> int:
    """A no of the peer, or ours: on descriptor 6 if somebody wants it there.  Result: the exit code."""
    text = LETTER[death.verdict] + death.text
    if listener:
        if len(text) > envelope.CUSTOM_TEXT_LIMIT:
            descriptors.say(_NAME + b": " + death.text)
        try:
            descriptors.write_all(queue_face.CUSTOM_TEXT, text[: envelope.CUSTOM_TEXT_LIMIT])
        except OSError:
            return _REFUSED if death.verdict == PERM else _NOT_NOW
        return envelope.CUSTOM_TEXT_EXIT
    descriptors.say(_NAME + b": " + death.text)
    return _REFUSED if death.verdict == PERM else _NOT_NOW


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no arguments, as qmail-queue
    """See the head of this file."""
    listener = queue_face.begin(home)
    try:
        message, start = _message(home)
        asked = _envelope()
        try:
            if not _by_door(home, message, start, asked.records() + b"\0"):
                direct.relay(home, asked.result(), message, identity.my_uid())
        except Die as death:
            if death.code not in EXIT:
                raise
            return _fail(death, listener=listener)
    except MemoryError:
        raise Die(TEMP, b"out of memory", _MEMORY) from None
    return 0
