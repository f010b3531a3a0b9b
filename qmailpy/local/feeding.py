"""Another program gets lines, and after them what is on our descriptor 0, on its own descriptor 0.

Used by preline, qsmhook, predate and mailsubj.  A program that does not want all of it (vacation reads a header only)
is no failure: what it says with its exit code counts. One that would get less than all, because we cannot read on, is
killed before it could take the end of what it got for the end of the message.
"""

import posix

from qmailpy.system import descriptors, process, signals
from qmailpy.verdict import EXIT, PERM, TEMP, Die, is_temporary, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_INPUT = 0  # descriptor


def becoming(argv: list[bytes], name: bytes) -> "Callable[[], int]":
    """What a child does: become this program, or say in our name why it cannot.

    Its exit code then is 111 where trying again may help, else 100.
    """
    environment = process.environment()

    def become() -> int:
        try:
            process.execute_found(argv, environment)
        except OSError as error:
            descriptors.say(name + b": fatal: unable to run " + argv[0] + b": " + words(error))
            return EXIT[TEMP if is_temporary(error.errno) else PERM]

    return become


def feed(become: "Callable[[], int]", head: bytes) -> int:
    """Run it and wait for it.  become: what the child does; head: what it reads first.

    Result: its exit code.  Errors: Die TEMP where it is killed, or its input could not be read.
    """
    try:
        ends = posix.pipe2(posix.O_CLOEXEC)
    except OSError as error:
        raise Die(TEMP, b"unable to create pipe: " + words(error)) from None

    def child() -> int:
        posix.dup2(ends[0], _INPUT, inheritable=True)
        for end in ends:
            posix.close(end)
        return become()

    try:
        pid = process.fork(child)
    except OSError as error:
        raise Die(TEMP, b"unable to fork: " + words(error)) from None
    posix.close(ends[0])
    unread = _copy(head, ends[1])
    if unread is not None:
        process.kill(pid, signals.SIGKILL)
    posix.close(ends[1])
    ending = process.wait(pid)
    if unread is not None:
        raise Die(TEMP, b"unable to copy input: " + words(unread))
    if ending.signal:
        raise Die(TEMP, b"child crashed")
    return ending.code


def _copy(head: bytes, pipe: int) -> OSError | None:
    """Head and our input into the pipe, as long as somebody reads there.  Result: why our input cannot be read."""
    piece = head
    while True:
        try:
            descriptors.write_all(pipe, piece)
        except OSError:
            return None
        try:
            piece = posix.read(_INPUT, descriptors.READ_SIZE)
        except OSError as error:
            return error
        if not piece:
            return None
