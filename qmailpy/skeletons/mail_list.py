"""Messages in the queue, in words: qmail-qread's lines, and each user's own messages, which the door tells him.

Users cannot read the queue. The door can, as qmailq: mess/, which tells in its first line who brought a message, and
todo/, which has its envelope. Once qmail-send has taken a message up, its envelope is in files of qmails that not even
the door may read: then the door asks qmail-send (skeletons/asking), and while that does not run a user is told that his
message is there, and since when, but not to whom it still goes. In an embedded home one uid has everything.
Both ends of the conversation with the door are here; of the one with qmail-send what it says.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.disk.queue import listing
from qmailpy.disk.queue.arrived import Arrived, arrived, is_entering, todo_start
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.rules.date import date822
from qmailpy.rules.received import invoker
from qmailpy.skeletons import asking
from qmailpy.system import clock, door
from qmailpy.verdict import TEMP, Die, words
from qmailpy.wire import asking as question
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
_TOLD = 1000  # recipients of a message that qmail-send tells of
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
    if message.cut:
        lines.append(b"\tand more\n")
    return b"".join(lines)


def describe_taken(paths: Paths, number: int) -> bytes:
    """The same of a message by its number, cut where it has very many recipients; nothing if it is not in S5."""
    message = listing.message(paths, number, _TOLD)
    return b"" if message is None else describe(message)


def is_of(home: Home, paths: Paths, number: int, uid: int) -> bool:
    """Whether this uid has brought the message that has this number now."""
    message = arrived(paths, number)
    return message is not None and _is_his(home, message, uid)


def _is_his(home: Home, message: Arrived, uid: int) -> bool:
    roles = home.roles.uid
    return invoker(message.start, roles["alias"], roles["qmaild"], roles["qmails"]) == uid


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


def is_nobody(home: Home, uid: int) -> bool:
    """Whether this uid is not one person's."""
    return uid == _NOBODY and not home.embedded


def owned(home: Home, uid: int, until: float) -> "Iterator[bytes]":
    """The door's end: the messages that this uid has brought.  until: on the monotonic clock.

    Errors: Trouble "opendir".
    """
    if is_nobody(home, uid):
        return
    paths, taken = Paths(home), []
    left = _MOST
    for number in listing.arrivals(paths):
        if clock.monotonic() > until or left < 0:
            yield _CUT
            return
        message = arrived(paths, number)
        if message is None or not _is_his(home, message, uid):
            continue
        text = _describe_owned(paths, message)
        if text is None:
            taken.append(message)
            continue
        left -= len(text)
        yield text
    yield from _tell_taken(home, uid, taken, left, until)


def _describe_owned(paths: Paths, message: Arrived) -> bytes | None:
    """None where qmail-send has its envelope, in files that we may not read."""
    number = message.number
    text = _describe_new(paths, message)
    if text is not None:
        return text
    if is_entering(paths, number):
        return b""
    taken = listing.message(paths, number, _TOLD)
    if taken is None:
        return b""
    return None if isinstance(taken.error, PermissionError) else describe(taken)


def _tell_taken(home: Home, uid: int, taken: list[Arrived], left: int, until: float) -> "Iterator[bytes]":
    """What qmail-send says of these messages, or that it says nothing."""
    silent = b""
    told = 0
    try:
        for _, text in asking.ask(home, question.TELL, uid, [message.number for message in taken]):
            if clock.monotonic() > until or left < 0:
                yield _CUT
                return
            told += 1
            left -= len(text)
            yield text
    except asking.Silent as error:
        silent = error.reason
    for message in taken[told:]:
        yield _head(message.when, message.number, message.size) + b"in delivery\n"
    if silent:
        yield b"To whom these messages still go is not known now: " + silent + b".\n"


def try_now(home: Home, uid: int, until: float) -> int:
    """The door's end of a wish: how many waiting messages of this uid are tried now.  until: on the monotonic clock.

    Errors: Trouble "opendir"; Silent.
    """
    if is_nobody(home, uid):
        return 0
    paths = Paths(home)
    own: list[int] = []
    for number in listing.arrivals(paths):
        if clock.monotonic() > until:
            break
        if is_of(home, paths, number, uid):
            own.append(number)
    return sum(1 for _, text in asking.ask(home, question.NOW, uid, own) if text)


def try_some(home: Home, wish: bytes) -> bool:
    """Root's own way: what -q names is tried now.  False where it names nothing, or qmail-send does not answer.

    wish: as in sendmail's option: a letter and a part, of the number (I, all of it), a recipient (R) or the sender (S);
    with ! before them all others.
    """
    others = wish.startswith(b"!")
    letter, part = wish[others : others + 1], wish[others + 1 :].lower()
    if letter not in (b"I", b"R", b"S") or not part:
        return False
    try:
        chosen = [
            message.number
            for message in listing.messages(Paths(home))
            if any(_matches(letter, part, text) for text in _texts(letter, message)) != others
        ]
        for _ in asking.ask(home, question.NOW, question.ANYBODY, chosen):
            pass
    except (asking.Silent, Trouble):
        return False
    return True


def _texts(letter: bytes, message: listing.Message) -> list[bytes]:
    if letter == b"I":
        return [b"%d" % message.number]
    return [message.sender] if letter == b"S" else [address for done, _, address in message.recipients if not done]


def _matches(letter: bytes, part: bytes, text: bytes) -> bool:
    return part.lstrip(b"#") == text if letter == b"I" else part in text.lower()


def may_read(home: Home) -> bool:
    """Whether the queue is ours to read."""
    try:
        posix.listdir(Paths(home).folder(b"info"))
    except PermissionError:
        return False
    except OSError:  # whoever goes on has the words for that
        return True
    return True


def ask(home: Home) -> bytes:
    """The user's end: his list.  Errors: Die TEMP where the door tells nothing."""
    told = _ask(home, wire.LIST)
    if isinstance(told, wire.List):
        return told.text
    raise Die(TEMP, b"the door does not tell: " + (told.text or b"it has hung up"))


def count(text: bytes) -> int:
    """How many messages a list tells of."""
    lines = text.split(b"\n")
    return sum(1 for line in lines if b"  #" in line and not line.startswith((b"\t", b"  done\t", b"warning: ")))


def ask_for_another_try(home: Home) -> None:
    """The user's end of a wish: his waiting messages are tried now.  Errors: Die TEMP."""
    told = _ask(home, wire.FLUSH)
    if isinstance(told, wire.List) or told.code:
        text = b"" if isinstance(told, wire.List) else told.text
        raise Die(TEMP, b"your mail is not tried now: " + (text or b"the door has hung up"))


def _ask(home: Home, speaker: bytes) -> "wire.List | wire.Answer":
    """What the door says once it is not busy any more; or that it still is."""
    until = clock.monotonic() + _WAIT
    while True:
        told = _ask_once(home, speaker)
        if isinstance(told, wire.List) or told.code != wire.BUSY or clock.monotonic() > until:
            return told
        clock.sleep(0.2)


def _ask_once(home: Home, speaker: bytes) -> "wire.List | wire.Answer":
    try:
        line = door.Line(home.socket)
    except BlockingIOError:
        return wire.Answer(wire.BUSY, 0, b"too many are waiting before it")
    except OSError as error:
        text = b"the queue is not yours to read, and qmail-queued, which reads it for you, does not answer (%s)"
        raise Die(TEMP, text % words(error)) from None
    heard = []
    try:
        line.send(wire.greeting(speaker), _SILENCE)
        while piece := line.receive(_SILENCE):
            heard.append(piece)
        return wire.decode_list(b"".join(heard)) or wire.Answer(wire.SPEECH)
    except (TimeoutError, wire.DoorError) as error:
        raise Die(TEMP, b"the door does not tell: " + str(error).encode()) from None
    finally:
        line.close()
