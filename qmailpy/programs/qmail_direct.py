"""qmail-direct: hands a message to its relay while the caller waits; in the place of qmail-queue, without a queue.

By QMAILQUEUE for one caller, by control/direct for a host. Nothing is written to disk, no daemon runs, no root: it
works in a container with a read-only file system and a uid that has no name.
Runs as: the caller, with no privilege of its own.
Descriptors: 0 the message, to its end; 1 the envelope, as for qmail-queue; 6, where a caller has put a pipe there,
takes the text that goes with 82; 2 has what does not fit, or all of it where there is no such pipe.
Exit codes: 0 the relay has taken it, for all recipients. 82 failed, as the text on 6 says; without 6: 31 for good, 71
for now. It was then delivered to nobody, and nothing is tried again. 51 no memory, 52 a day has passed, 54 read error
or cut off, 61 home, 81 a bug, 11 and 91 as qmail-queue.
Control files: me, helohost, smtproutes, senderroutes, locals, virtualdomains, percenthack, envnoathost, queuebytes,
timeoutconnect, timeoutremote, aliasfile; $QMAILSMTPAUTH, else ~/.qmail-smtpauth, else control/smtpauth for logins.
Trusts: nobody.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.remote.addressees import Search
from qmailpy.remote.direct import hand_over
from qmailpy.rules.received import received_line
from qmailpy.skeletons import queue_face
from qmailpy.system import clock, descriptors, identity, syslog
from qmailpy.verdict import LETTER, PERM, TEMP, Die, words
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


def _message(home: Home) -> int:
    """The whole message in memory, with its Received line, as a descriptor that can seek.  Errors: Die."""
    limit = control.integer(home, "queuebytes", door.DEFAULT_BYTES)
    kept = posix.memfd_create("message", posix.MFD_CLOEXEC)
    who = b"by uid %d" % identity.my_uid()
    descriptors.write_all(kept, received_line(identity.my_pid(), who, clock.now()))
    size = 0
    while piece := _read(_MESSAGE, b"message"):
        size += len(piece)
        if 0 < limit < size:
            raise Die(PERM, door.too_large().text[1:])
        descriptors.write_all(kept, piece)
    posix.lseek(kept, 0, 0)
    return kept


def _envelope() -> envelope.Envelope:
    """Errors: Die."""
    reader = envelope.Reader()
    try:
        while not reader.done and (piece := _read(_ENVELOPE, b"envelope")):
            reader.feed(piece)
            if reader.size > door.ENVELOPE_LIMIT:
                raise Die(PERM, b"the envelope is larger than 64 MB", _REFUSED)
        return reader.result()
    except envelope.EnvelopeError as error:
        raise Die(TEMP, error.text, error.code) from None


def _log(verdict: bytes, envelope_: envelope.Envelope, text: bytes) -> None:
    """Say it to syslog, if somebody listens."""
    priority = syslog.INFO if verdict == b"success" else syslog.WARNING
    whom = b", ".join(envelope_.recipients)
    line = b"%s from <%s> to <%s>: %s" % (verdict, envelope_.sender, whom, text)
    syslog.Syslog(_NAME).send(priority, line[:1000].replace(b"\n", b" ").replace(b"\0", b" "))


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
        message = _message(home)
        asked = _envelope()
        try:
            found = Search(home, asked.sender).of(asked.recipients)
            said = hand_over(home, found, message) if found.recipients else b"thrown away, as an alias says"
        except Die as death:
            _log(b"failure", asked, death.text)
            return _fail(death, listener=listener)
    except MemoryError:
        raise Die(TEMP, b"out of memory", _MEMORY) from None
    _log(b"success", asked, said)
    return 0
