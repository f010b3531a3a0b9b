"""Processes: the only file, with system/resident, that forks and executes.

A forked child ends in os._exit whatever happens, with 111 for everything unexpected; a program that
is executed gets default signals, descriptors 0, 1, 2 as told, and nothing else of ours.
"""

import posix

from qmailpy.system import signals
from qmailpy.verdict import EXIT, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

TEMP_EXIT = EXIT[TEMP]
EXEC_FAILED = 120  # what a child of ours exits with when its program cannot be started


class Ending:
    """How a process ended: code 0..255, or signal > 0."""

    __slots__ = ("code", "signal")

    def __init__(self, status: int) -> None:
        """status: as waitpid gives it."""
        self.signal = status & 0x7F if posix.WIFSIGNALED(status) else 0
        self.code = posix.WEXITSTATUS(status) if posix.WIFEXITED(status) else TEMP_EXIT


def fork(child: "Callable[[], int]") -> int:
    """Run child() in a new process, which exits with what it returns.  Result: its pid.

    The child must close what it does not need. Die and every unknown exception in it end it
    with 111 (or Die's code), in silence: what must be said is said on its descriptors.
    Errors: OSError of fork.
    """
    pid = posix.fork()
    if pid:
        return pid
    code = TEMP_EXIT
    try:
        code = child()
    except Die as death:
        code = death.code
    finally:
        posix._exit(code)


def execute(path: bytes, argv: list[bytes], environment: dict[bytes, bytes]) -> "NoReturn":
    """Become another program; path has a slash (no search).  Errors: OSError."""
    signals.as_for_a_new_program()
    posix.execve(path, argv, environment)


def find(name: bytes, search: bytes) -> bytes:
    """Where execvp would find this program.

    search: $PATH.  Result: a path with a slash; name itself if it has one, or if nothing is found
    (executing it then tells the errno).
    """
    if b"/" in name:
        return name
    for folder in search.split(b":"):
        path = (folder or b".") + b"/" + name
        if posix.access(path, posix.X_OK) and not _is_directory(path):
            return path
    return b"./" + name if search == b"" else name


def _is_directory(path: bytes) -> bool:
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o040000
    except OSError:
        return True


def arrange(wanted: dict[int, int]) -> None:
    """Make descriptor k a copy of wanted[k] for every k, in whatever order is safe.

    The copies are inherited by exec; sources that are not themselves targets stay as they are.
    """
    lifted = {}
    top = max(wanted, default=2) + 1
    for target, source in wanted.items():
        if source != target and source in wanted:  # would be overwritten before it is copied
            lifted[target] = dup_above(source, top)
    for target, source in wanted.items():
        source = lifted.get(target, source)  # noqa: PLW2901
        if source == target:
            posix.set_inheritable(target, True)
        else:
            posix.dup2(source, target, inheritable=True)
    for spare in lifted.values():
        posix.close(spare)


def dup_above(descriptor: int, least: int) -> int:
    """A close-on-exec copy numbered least or higher."""
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, least)


def close_above(last: int) -> None:
    """Close every descriptor with a number greater than last."""
    posix.closerange(last + 1, _highest() + 1)


def _highest() -> int:
    try:
        return max(int(name) for name in posix.listdir("/proc/self/fd"))
    except (OSError, ValueError):
        return int(posix.sysconf("SC_OPEN_MAX"))


def wait(pid: int) -> Ending:
    """Wait for this child."""
    while True:
        try:
            return Ending(posix.waitpid(pid, 0)[1])
        except InterruptedError:  # a handler raised nothing: go on waiting
            continue


def reap() -> "tuple[int, Ending] | None":
    """One child that has ended, without waiting; None if there is none."""
    try:
        pid, status = posix.waitpid(-1, posix.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, Ending(status)) if pid else None


def kill(pid: int, number: int) -> None:
    """Send a signal; a process that is gone already is fine."""
    try:
        posix.kill(pid, number)
    except ProcessLookupError:
        return


def environment() -> dict[bytes, bytes]:
    """A copy of our environment."""
    return dict(posix.environ)


def forget_coerced_locale() -> None:
    """In a C locale the interpreter puts LC_CTYPE into its environment (PEP 538); users' programs must not see it."""
    if posix.environ.get(b"LC_CTYPE") not in (b"C.UTF-8", b"C.utf8", b"UTF-8"):
        return
    try:
        descriptor = posix.open(b"/proc/self/environ", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return
    given = posix.read(descriptor, 1 << 20)
    posix.close(descriptor)
    if b"\0LC_CTYPE=" not in b"\0" + given:
        del posix.environ[b"LC_CTYPE"]


def set_variable(name: bytes, value: bytes | None) -> None:
    """Change our own environment, as the programs we execute will see it; None unsets."""
    if value is None:
        posix.environ.pop(name, None)
    else:
        posix.environ[name] = value.partition(b"\0")[0]
