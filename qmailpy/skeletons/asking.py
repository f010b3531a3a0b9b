"""Asking the running qmail-send about messages that it has taken up: the client's side of wire/asking.

Its socket is in a directory that only the roles of group qmail can enter, and who listens there is looked at: qmailq
owns the directory above, and must not be able to answer in qmail-send's place. Used by the door and by root's tools.
"""

from qmailpy.disk.home import Home
from qmailpy.system import clock, door
from qmailpy.verdict import words
from qmailpy.wire import asking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SILENCE = 5.0  # seconds in which nothing comes: qmail-send has answers in a few milliseconds, unless its disk hangs


class Silent(Exception):
    """There is no answer.  reason: a sentence."""

    def __init__(self, reason: bytes) -> None:
        """reason: printable."""
        super().__init__(reason)
        self.reason = reason


def order(home: Home, verb: bytes, messages: list[tuple[int, int]], text: bytes = b"") -> "Iterator[tuple[int, bytes]]":
    """Each message's number with the answer (wire/asking).  messages: number and key.  Errors: Silent, at any point."""
    for at in range(0, len(messages), asking.MOST):
        some = messages[at : at + asking.MOST]
        numbers = [number for number, _ in some]
        question = asking.Question(verb, asking.ANYBODY, numbers, [key for _, key in some], text)
        yield from zip(numbers, _ask(home, question), strict=True)


def ask(home: Home, verb: bytes, uid: int, numbers: list[int]) -> "Iterator[tuple[int, bytes]]":
    """Each number with its text, empty where there is none; any number of them.  Errors: Silent, at any point."""
    for at in range(0, len(numbers), asking.MOST):
        some = numbers[at : at + asking.MOST]
        yield from zip(some, _ask(home, asking.Question(verb, uid, some)), strict=True)


def _ask(home: Home, question: asking.Question) -> list[bytes]:
    try:
        line = door.Line(home.sender_socket)
    except (FileNotFoundError, ConnectionRefusedError):
        raise Silent(b"qmail-send does not run") from None
    except OSError as error:
        raise Silent(b"qmail-send cannot be asked: " + words(error)) from None
    reader = asking.TextReader(len(question.numbers))
    try:
        if line.peer.uid not in (0, home.roles.uid["qmails"]):
            raise Silent(b"who listens on " + home.sender_socket + b" is not qmail-send")
        end = clock.monotonic() + 2 * _SILENCE
        line.send(question.encode(), _SILENCE)
        while not reader.done:
            piece = line.receive(_SILENCE)
            if not piece or clock.monotonic() > end:
                raise Silent(b"qmail-send does not answer")
            reader.feed(piece)
    except (TimeoutError, asking.AskingError, OSError):
        raise Silent(b"qmail-send does not answer") from None
    finally:
        line.close()
    return reader.texts
