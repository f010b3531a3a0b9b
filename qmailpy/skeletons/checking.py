"""Running a program with checkpassword's interface, only to learn whether a password is right.

It reads login, secret and challenge on descriptor 3, each with a NUL behind it, and exits 0 for yes and 1 for no; all
else is trouble. What it must not have it does not get: descriptors 0 and 1 are /dev/null (1 a pipe, where its words are
wanted), and the secret is in no argument and no environment. Used by qmail-authd and skeletons/authenticating.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.system import descriptors, process
from qmailpy.wire.authd import LATER, NO, SAID_LIMIT, YES, Question

SECONDS = 30  # that a check may take; PAM's own pause after a wrong password is 2
OURS = "qmail-checkpassword"
VERIFY, MECHANISMS = b"--verify", b"--mechanisms"  # its first argument: it only says so, and becomes nobody
_FD = 3
_REFUSED = 1
_HANDED_ON = (b"PATH", b"QMAILHOME", b"TZ", b"LANG", b"LC_ALL")


def our_argv(home: Home, method: bytes) -> list[bytes]:
    """Our own program."""
    return [home.program(OURS), VERIFY, method]


def environment_for(home: Home, question: Question | None = None) -> dict[bytes, bytes]:
    """What a program may want to know of the client, by tcpserver's names, and little else."""
    ours = process.environment()
    found = {name: ours[name] for name in _HANDED_ON if name in ours}
    client = {}
    if question is not None:
        client = {b"TCPREMOTEIP": question.remote, b"TCPLOCALPORT": question.port}
    return found | {b"QMAILHOME": home.path} | {name: value for name, value in client.items() if value}


def start(argv: list[bytes], content: bytes, environment: dict[bytes, bytes], *, ours: bool) -> tuple[int, int]:
    """Begin a check.  Result: the process, which leads a group of its own, and where its words can be read.

    content: for its descriptor 3, less than a pipe holds; ours: whether it has words for us.  The descriptor does not
    block.  Errors: OSError.
    """
    reading, writing = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
    try:
        posix.write(writing, content)
        answer, words = posix.pipe2(posix.O_CLOEXEC)
    except BaseException:
        posix.close(reading)
        raise
    finally:
        posix.close(writing)

    def child() -> int:
        process.lead_group()
        posix.set_blocking(reading, True)
        null = posix.open(b"/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
        process.arrange({0: null, 1: words if ours else null, 2: 2, _FD: reading})
        process.close_above(_FD)
        try:
            process.execute_found(argv, environment)
        except OSError:
            return process.EXEC_FAILED

    try:
        pid = process.fork(child)
    except BaseException:
        posix.close(answer)
        raise
    finally:
        posix.close(reading)
        posix.close(words)
    posix.set_blocking(answer, False)
    return pid, answer


def said(descriptor: int) -> bytes:
    """What the program has said, once it has ended; the descriptor is closed."""
    try:
        return posix.read(descriptor, SAID_LIMIT)
    except OSError:
        return b""
    finally:
        descriptors.close(descriptor)


def verdict(ending: process.Ending | None) -> tuple[bytes, bytes]:
    """What its end means, and of LATER why.  ending: None if it was killed because it took too long."""
    if ending is None:
        return LATER, b"the program that checks passwords took more than %d seconds" % SECONDS
    if ending.signal:
        return LATER, b"the program that checks passwords was ended by signal %d" % ending.signal
    if ending.code == 0:
        return YES, b""
    if ending.code == _REFUSED:
        return NO, b""
    return LATER, b"the program that checks passwords exited %d" % ending.code
