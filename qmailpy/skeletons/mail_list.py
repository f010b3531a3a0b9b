"""Messages in the queue, in words: qmail-qread's lines, and each user's own messages, which the door tells him.

Users cannot read the queue. The door can, as qmailq: mess/, which tells in its first line who brought a message, and
todo/, which has its envelope. Once qmail-send has taken a message up, its envelope is in files of qmails that not even
the door may read: then a user is told that his message is there, and since when, but not to whom it still goes. In
an embedded home one uid has everything, and the list is whole. Both ends of the conversation are here.
"""

from qmailpy.disk.home import Home
from qmailpy.disk.queue import listing
from qmailpy.disk.queue.arrived import Arrived, arrived, is_entering, todo_start
from qmailpy.disk.queue.paths import Paths
from qmailpy.rules.date import date822
from qmailpy.rules.received import invoker
from qmailpy.system import clock, door
from qmailpy.verdict import TEMP, Die, words
from qmailpy.wire import door as wire
from qmailpy.wire import envelope
from qmailpy.wire.delivery import CHANNELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 5.0  # seconds that the door looks for a user's messages
_MOST = 1 << 20  # bytes of a list that the door sends
_WAIT = 30.0  # seconds that a user waits for his turn
_SILENCE = 60.0  # seconds without a word of the door
_SHOWN = 100  # recipients of a message that has just come
_NOBODY = 65534  # the uid of everyone whose own has no meaning here, as in a container's: many people
_CUT = b"and more: the list is too long\n"
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else 0x5F for byte in range(256))


def describe(message: listing.Message) -> bytes:
    """The lines of a message in S5: when, number, size, sender; then its recipients."""
    if message.error is not None:
        return b"warning: trouble with #%d: %s\n" % (message.number, words(message.error))
    lines = [_head(message.birth, message.number, message.size) + b"<" + message.sender.translate(_PRINTABLE) + b"> "]
    if message.bouncing:
        lines.append(b" bouncing")
    lines.append(b"\n")
    for done, channel, address in message.recipients:
        lines.append(b"%s\t%s\t%s\n" % (b"  done" if done else b"", CHANNELS[channel], address.translate(_PRINTABLE)))
    return b"".join(lines)


def _head(when: int, number: int, size: int) -> bytes:
    return b"%s  #%d  %d  " % (date822(when).replace(b"-0000\n", b"GMT"), number, size)


def new(paths: Paths) -> "Iterator[bytes]":
    """The messages in S4, which qmail-qread does not show.  Errors: Trouble "opendir"."""
    for number in listing.todo(paths):
        message = arrived(paths, number)
        text = None if message is None else _describe_new(paths, message)
        if text is not None:
            yield text


def _describe_new(paths: Paths, message: Arrived) -> bytes | None:
    """None where the message is not in S4."""
    start = todo_start(paths, message.number)
    todo = None if start is None else envelope.decode_todo(start[0])
    if start is None or todo is None:
        return None
    head = _head(message.when, message.number, message.size) + b"<" + todo.sender.translate(_PRINTABLE) + b">  new\n"
    lines = [b"\ttodo\t%s\n" % address.translate(_PRINTABLE) for address in todo.recipients[:_SHOWN]]
    if len(todo.recipients) > _SHOWN or not start[1]:
        lines.append(b"\ttodo\tand more\n")
    return head + b"".join(lines)


def owned(home: Home, uid: int, until: float) -> "Iterator[bytes]":
    """The door's end: the messages that this uid has brought.  until: on the monotonic clock.

    Errors: Trouble "opendir".
    """
    if uid == _NOBODY and not home.embedded:
        return
    paths, roles = Paths(home), home.roles.uid
    left = _MOST
    for number in listing.arrivals(paths):
        if clock.monotonic() > until or left < 0:
            yield _CUT
            return
        message = arrived(paths, number)
        if message is None or invoker(message.start, roles["alias"], roles["qmaild"], roles["qmails"]) != uid:
            continue
        text = _describe_owned(paths, message)
        left -= len(text)
        yield text


def _describe_owned(paths: Paths, message: Arrived) -> bytes:
    number = message.number
    text = _describe_new(paths, message)
    if text is not None:
        return text
    if is_entering(paths, number):
        return b""
    taken = listing.message(paths, number)
    if taken is None:
        return b""
    if isinstance(taken.error, PermissionError):
        return _head(message.when, number, message.size) + b"in delivery\n"
    return describe(taken)


def ask(home: Home) -> bytes:
    """The user's end.  Errors: Die TEMP where the door tells nothing."""
    until = clock.monotonic() + _WAIT
    while True:
        told = _ask_once(home)
        if isinstance(told, wire.List):
            return told.text
        if told.code != wire.BUSY or clock.monotonic() > until:
            raise Die(TEMP, b"the door does not tell: " + (told.text or b"it has hung up"))
        clock.sleep(0.2)


def _ask_once(home: Home) -> "wire.List | wire.Answer":
    try:
        line = door.Line(home.socket)
    except BlockingIOError:
        return wire.Answer(wire.BUSY, 0, b"too many are waiting before it")
    except OSError as error:
        text = b"the queue is not yours to read, and qmail-queued, who would read it for you, does not run: "
        raise Die(TEMP, text + words(error)) from None
    heard = []
    try:
        line.send(wire.greeting(wire.LIST), _SILENCE)
        while piece := line.receive(_SILENCE):
            heard.append(piece)
        return wire.decode_list(b"".join(heard)) or wire.Answer(wire.SPEECH)
    except (TimeoutError, wire.DoorError) as error:
        raise Die(TEMP, b"the door does not tell: " + str(error).encode()) from None
    finally:
        line.close()
