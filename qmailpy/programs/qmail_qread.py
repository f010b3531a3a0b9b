"""qmail-qread: lists the messages in the queue and where each recipient stands.

Runs as: root or qmails; anybody in an embedded home.
Descriptors: 1 the list, what is wrong with a message, and what is wrong with the queue; 2 who may read it.
Exit codes: 0; 111 the queue cannot be read.
Control files: none.  Trusts: what is in the queue, except that it is shown in printable bytes.

A message that is only in todo/ is not shown: qmail-send has not looked at it yet (spec/08-control.md 7).
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.disk.queue import listing
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.rules.date import date822
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, TEMP, Die, words
from qmailpy.wire.delivery import CHANNELS

_PIECE = 65536  # bytes that are written at one stroke
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else 0x5F for byte in range(256))


def describe(message: listing.Message) -> bytes:
    """A message's lines: when, number, size, sender; then its recipients."""
    if message.error is not None:
        return b"warning: trouble with #%d: %s\n" % (message.number, words(message.error))
    when = date822(message.birth).replace(b"-0000\n", b"GMT")
    sender = message.sender.translate(_PRINTABLE)
    lines = [b"%s  #%d  %d  <%s> " % (when, message.number, message.size, sender)]
    if message.bouncing:
        lines.append(b" bouncing")
    lines.append(b"\n")
    for done, channel, address in message.recipients:
        lines.append(b"%s\t%s\t%s\n" % (b"  done" if done else b"", CHANNELS[channel], address.translate(_PRINTABLE)))
    return b"".join(lines)


def _show(paths: Paths) -> None:
    """Errors: Trouble, Die TEMP."""
    waiting = b""
    for message in listing.messages(paths):
        waiting += describe(message)
        if len(waiting) >= _PIECE:
            _write(waiting)
            waiting = b""
    _write(waiting)


def _write(text: bytes) -> None:
    try:
        descriptors.write_all(1, text)
    except OSError as error:
        raise Die(TEMP, b"unable to write the list: " + words(error)) from None


def _fail(what: bytes, error: OSError | None) -> int:
    _write(b"fatal: unable to " + what + b": " + words(error) + b"\n")
    if isinstance(error, PermissionError):
        descriptors.say(b"qmail-qread: only root and qmails may read the queue")
    return EXIT[TEMP]


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no arguments
    """See the head of this file."""
    paths = Paths(home)
    try:
        posix.chdir(paths.root)
        _show(paths)
    except Trouble as trouble:
        return _fail(trouble.what.encode() + b" " + trouble.name, trouble.error)
    except OSError as error:
        return _fail(b"chdir", error)
    return OK
