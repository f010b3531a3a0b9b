"""qmail-clean: removes finished and abandoned messages from the queue.

Runs as: qmailq.  Started by qmail-start.
Descriptors: 0 commands of qmail-send, each ended by NUL; 1 one byte for each: + done, ! it could not be removed,
x it is malformed and nothing was done (spec/03-pipes.md 8).
Exit codes: 0 end of file on 0; 100 the answers cannot be written; 111 the queue cannot be entered.
Trusts: qmail-send as far as removing messages goes, which is all that it can be told.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.disk.queue import cleaning
from qmailpy.disk.queue.paths import Paths
from qmailpy.skeletons import renewal
from qmailpy.system import clock, descriptors, title
from qmailpy.verdict import OK, PERM, TEMP, Die, words
from qmailpy.wire import cleaning as wire

COMMANDS, ANSWERS = 0, 1  # descriptors
ROUND = 30  # commands after which pid/ is looked at again
_REMOVE = {wire.MESSAGE: cleaning.remove_message, wire.TODO: cleaning.remove_todo}


def _obey(paths: Paths, command: tuple[bytes, int] | None) -> bytes:
    if command is None:
        return wire.MALFORMED
    word, number = command
    try:
        _REMOVE[word](paths, number)
    except OSError:
        return wire.FAILED
    return wire.DONE


def _answer(answers: bytes) -> None:
    try:
        descriptors.write_all(ANSWERS, answers)
    except OSError:
        raise Die(PERM, b"unable to answer qmail-send") from None


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    title.set_title("qmail-clean")
    paths = Paths(home)
    try:
        posix.chdir(paths.root)
    except OSError as error:
        raise Die(TEMP, b"unable to switch to " + paths.root + b": " + words(error)) from None
    reader = wire.CommandReader()
    stale = False
    left = 0  # commands until pid/ is looked at
    while True:
        if left <= 0:
            cleaning.collect_pid(paths, clock.now())
            left = ROUND
        piece = posix.read(COMMANDS, descriptors.READ_SIZE)
        if not piece:
            return OK
        commands = reader.feed(piece)
        left -= len(commands)
        if commands:
            _answer(b"".join(_obey(paths, command) for command in commands))
            if not (stale or reader.partial) and renewal.is_due(home, argv):
                renewal.exchange(home, argv, [])
                stale = True  # it cannot be run
