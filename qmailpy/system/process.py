"""Processes: the only file, with system/resident, that forks and executes.

A forked child ends in os._exit whatever happens, with 111 for everything unexpected; a program that
is executed gets default signals, descriptors 0, 1, 2 as told, and nothing else of ours.
"""

import errno
import posix

from qmailpy.system import clock, signals
from qmailpy.verdict import EXIT, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

TEMP_EXIT = EXIT[TEMP]
SHELL = b"/bin/sh"  # of a script that does not say whose it is
DEFAULT_PATH = b"/bin:/usr/bin"  # where there is no $PATH, as in the C library
EXEC_FAILED = 120  # what a child of ours exits with when its program cannot be started


class Ending:
    """How a process ended: code 0..255, or signal > 0; status: both, as waitpid gives them."""

    __slots__ = ("code", "signal", "status")

    def __init__(self, status: int) -> None:
        """status: as waitpid gives it."""
        self.status = status
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


def set_apart(pid: int) -> None:
    """Make a child a process group of its own: what a terminal sends to our group it does not get.

    pid: the child, or 0 for ourselves; both say it, so that it is true for each as soon as that one goes on.
    """
    try:
        posix.setpgid(pid, pid)
    except OSError:  # it has executed its program, or has ended: it said so itself before that
        return


def output_of(argv: list[bytes], seconds: float, limit: int) -> tuple[int, bytes]:
    """Run a program and wait for what it says: its exit code (111 for a signal), and its output.

    Not by fork: of a process with threads the child could find locks that nobody gives back.

    argv: searched in PATH; its descriptor 0 is empty, 2 is ours.  Any thread may call it.  Errors: OSError where it
    cannot be run, says more than limit bytes, or takes longer.
    """
    import select

    read_end, write_end = posix.pipe2(posix.O_CLOEXEC)
    try:
        nothing = (posix.POSIX_SPAWN_OPEN, 0, b"/dev/null", posix.O_RDONLY, 0)
        actions = [nothing, (posix.POSIX_SPAWN_DUP2, write_end, 1)]
        environment = dict(posix.environ)
        defaults = [signals.SIGPIPE, signals.SIGXFSZ]
        path = find(argv[0], environment.get(b"PATH", DEFAULT_PATH))
        pid = posix.posix_spawn(path, argv, environment, file_actions=actions, setpgroup=0, setsigdef=defaults)
        posix.close(write_end)
        write_end = -1
        said, end = b"", clock.monotonic() + seconds
        poll = select.poll()
        poll.register(read_end, select.POLLIN)
        while len(said) <= limit and poll.poll(max(0.0, end - clock.monotonic()) * 1000):
            piece = posix.read(read_end, 65536)
            if not piece:
                return wait(pid).code, said
            said += piece
        end_group(pid)
        wait(pid)
        raise TimeoutError(errno.ETIMEDOUT, "too long, or too much")
    finally:
        posix.close(read_end)
        if write_end >= 0:
            posix.close(write_end)


def execute_found(argv: list[bytes], environment: dict[bytes, bytes]) -> "NoReturn":
    """Become the program that argv[0] names, searched as execvp does it: by $PATH, and a script without #! is sh's.

    Errors: OSError; FileNotFoundError also where it is not in $PATH: one of the current directory is not meant.
    """
    path = find(argv[0], environment.get(b"PATH", DEFAULT_PATH))
    if b"/" not in path:
        raise FileNotFoundError(errno.ENOENT, "not in PATH")
    try:
        execute(path, argv, environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    posix.execve(SHELL, [SHELL, path, *argv[1:]], environment)


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


def lead_group() -> None:
    """In a child: be the first of a process group of one's own, which end_group() can end as a whole."""
    posix.setpgid(0, 0)


def wait_for_leader(pid: int, seconds: int) -> Ending | None:
    """Wait for this child, which leads its group; after so many seconds the whole group is killed.

    seconds: 0 for ever.  Result: None if the time was over; then it may take the kernel a while to end the child (one
    that hangs in a dead file system), and nobody waits for that.
    """
    try:
        try:
            if seconds:
                signals.alarm(seconds, _time_is_over)
            posix.waitid(posix.P_PID, pid, posix.WEXITED | posix.WNOWAIT)  # its number stays its own, to be killed by
        finally:
            signals.alarm(0, None)
    except _TimeIsOver:
        end_group(pid)
        found, status = posix.waitpid(pid, posix.WNOHANG)
        return Ending(status) if found and posix.WIFEXITED(status) else None  # it may have ended in this very moment
    return wait(pid)


class _TimeIsOver(Exception):
    pass


def _time_is_over(_: int) -> None:
    raise _TimeIsOver


def end_group(leader: int) -> None:
    """Kill a process group.  leader: a child of ours that has not been waited for."""
    try:
        posix.killpg(leader, signals.SIGKILL)
    except OSError:  # all have ended; or it is no group yet
        kill(leader, signals.SIGKILL)


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


def exists(pid: int) -> bool:
    """Whether there is a process of this number, whosever it is.  pid: > 0."""
    try:
        posix.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


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


def set_variables(variables: dict[bytes, bytes]) -> None:
    """Many of them at once; a value ends before its first NUL."""
    posix.environ.update({name: value.partition(b"\0")[0] for name, value in variables.items()})
