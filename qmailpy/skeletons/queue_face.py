"""How every program in qmail-queue's place begins (spec/02-queue.md): its caller expects the same of each."""

import posix

from qmailpy.disk.home import Home
from qmailpy.disk.layout import DEATH
from qmailpy.system import signals
from qmailpy.verdict import TEMP, Die, words

CUSTOM_TEXT = 6  # the descriptor for a text of our own, if it is a pipe
_TIMEOUT, _HOME = 52, 61  # exit codes
_FIFO, _KIND = 0o010000, 0o170000


def begin(home: Home) -> bool:
    """Signals, the alarm, the directory.  Result: whether the caller listens for a text.  Errors: Die 61."""
    listener = _is_pipe(CUSTOM_TEXT)  # before anything of ours gets that number
    signals.unblock_all()
    signals.ignore(*signals.NUISANCES)
    signals.alarm(DEATH, lambda _: posix._exit(_TIMEOUT))
    try:
        posix.chdir(home.path)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir to " + home.path + b": " + words(error), _HOME) from None
    return listener


def _is_pipe(descriptor: int) -> bool:
    try:
        return posix.fstat(descriptor).st_mode & _KIND == _FIFO
    except OSError:
        return False
