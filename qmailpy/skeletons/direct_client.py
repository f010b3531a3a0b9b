"""One message for a door that hands it on at once (receive/door/relaying): the client's side, used by qmail-direct."""

import posix

from qmailpy.disk.home import Home
from qmailpy.skeletons.queue_client import BUSY_PATIENCE, AtDoor
from qmailpy.system import clock, descriptors
from qmailpy.wire import door as wire


def hand_over_now(home: Home, message: int, start: int, envelope: bytes) -> wire.Answer | None:
    """One message to a door that has it handed on at once; None where there is no such door.

    message: a descriptor that can seek, read from start; envelope: a whole one, checked.
    """
    until = clock.monotonic() + BUSY_PATIENCE
    while True:
        answer = _hand_over_once(home, message, start, envelope)
        if answer is None or answer.code != wire.BUSY or clock.monotonic() > until:
            return answer
        clock.sleep(0.2)


def _hand_over_once(home: Home, message: int, start: int, envelope: bytes) -> wire.Answer | None:
    try:
        way = AtDoor(home.socket)
    except BlockingIOError:
        return wire.Answer(wire.BUSY, 0, b"too many are waiting before the door")
    except OSError:
        return None
    try:
        posix.lseek(message, start, 0)
        answer = way.open(wire.DIRECT, b"", None)
        while answer is None and (piece := posix.read(message, descriptors.READ_SIZE)):
            answer = way.message(piece)
        answer = answer or way.finish(envelope)
    finally:
        way.abandon()
    if answer.code == wire.SPEECH and answer.text:  # it has a queue
        return None
    return answer
