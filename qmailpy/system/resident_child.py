"""The life of a resident child (system/resident): from the fork to its parent's closing of the socket.

It becomes its user once, for good, has closed every descriptor it inherited, and gets its work as one packet (a
request, and descriptors beside it) on a socket of its own; it answers with one packet. Between two pieces of work it is
put back into the state that an exec would have given: working directory, umask, environment, signals, alarm,
descriptors; a child whose resource limits have been changed takes no more work.
"""

import _socket
import array
import gc
import posix

from qmailpy.system import clock, descriptors, identity, limits, process, signals, title
from qmailpy.verdict import EXIT, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[bytes], bytes]

PACKET_LIMIT = 128 << 10  # bytes of a request or answer; a socket's default buffer holds 208 kB
FRESH = 0.05  # seconds: nobody who changes a process's limits can tell whether the delivery of that moment came before
_SOCKET_FD = 3  # where a child keeps its socket: the first number after its standard descriptors

_RIGHTS = _socket.CMSG_SPACE(4 * array.array("i").itemsize)  # bytes: room for four descriptors

# what a piece of work leaves open has a number below this: the kernel gives the lowest, and no work has 200 files open.
# Asking for the highest one would cost five calls of the kernel
_NUMBERS = 256


class Kind:
    """What a child is: who it becomes, what it runs.

    key: children of equal key are interchangeable; work(request) -> answer runs in the child, with the descriptors
    that came with the request on 0, 1, ...; cwd: where it stands before each piece of work; before: called once in a
    new child, with no descriptor of its parent's, just before it stops being who its parent is; pure: its work gets no
    descriptors and runs nothing of its user's, so that there is nothing to put back after it.
    """

    __slots__ = ("before", "cwd", "gid", "key", "name", "pure", "uid", "work")

    def __init__(
        self,
        key: tuple[object, ...],
        name: str,
        uid: int,
        gid: int,
        cwd: bytes,
        work: "Work",
        before: "Callable[[], None]" = lambda: None,
        *,
        pure: bool = False,
    ) -> None:
        """name: for ps."""
        self.key, self.name, self.uid, self.gid, self.cwd, self.work = key, name, uid, gid, cwd, work
        self.before, self.pure = before, pure


def live(kind: Kind, inherited: int, prepare: "Callable[[], None]") -> int:
    """A child's life, from the fork to its parent's closing of the socket."""
    prepare()
    signals.as_for_a_new_program()
    null = posix.open(b"/dev/null", posix.O_RDWR)
    process.arrange({0: null, 1: null, 2: null, _SOCKET_FD: inherited})
    posix.set_inheritable(_SOCKET_FD, False)
    process.close_above(_SOCKET_FD)
    socket = _socket.socket(fileno=_SOCKET_FD)
    posix.chdir(kind.cwd)
    kind.before()
    identity.become(kind.uid, kind.gid)
    title.set_title(kind.name)
    gc.freeze()
    buffer = bytearray(PACKET_LIMIT)
    state = None if kind.pure else _State(kind.cwd)
    while received := _receive(socket, buffer):
        request, passed = received
        if state is not None:
            state.make_standard(passed)
        try:
            answer = kind.work(request)
        except Die as death:
            descriptors.say(death.text)
            answer = bytes((death.code,))
        finally:
            if state is not None:
                state.put_back()
        if state is not None and state.has_other_limits():
            socket.shutdown(_socket.SHUT_RD)  # before the answer: the parent must not think that it is idle now
            socket.send(answer)
            break
        socket.send(answer)
    return 0


class _State:
    """What a process is before a piece of work, and again after it."""

    __slots__ = ("_children", "_cwd", "_environment", "_kinds", "_limits", "_look_again", "_umask")

    def __init__(self, cwd: bytes) -> None:
        """As it is now; cwd: where it stands."""
        posix.closerange(0, _SOCKET_FD)
        self._cwd = cwd
        self._umask = posix.umask(0o077)
        posix.umask(self._umask)
        self._environment = process.environment()
        self._kinds = limits.kinds()
        self._limits = limits.of_kinds(self._kinds)
        self._children, self._look_again = limits.mark_of_children(), 0.0

    @staticmethod
    def make_standard(passed: list[int]) -> None:
        """Put the descriptors of a piece of work on 0, 1, 2, and nothing where it has brought none.

        The kernel has given them the lowest free numbers, so that usually there is nothing to do.
        """
        for wanted, descriptor in enumerate(passed):
            if descriptor != wanted:
                posix.dup2(descriptor, wanted)
                posix.close(descriptor)
        while len(passed) < _SOCKET_FD:
            passed.append(posix.open(b"/dev/null", posix.O_RDWR))

    def put_back(self) -> None:
        """All but the limits, which cannot be; 0, 1, 2 are closed, for the descriptors of the next piece of work."""
        posix.closerange(0, _SOCKET_FD)
        posix.closerange(_SOCKET_FD + 1, _NUMBERS)
        signals.undo()
        posix.environ.clear()
        posix.environ.update(self._environment)
        posix.umask(self._umask)
        posix.chdir(self._cwd)

    def has_other_limits(self) -> bool:
        """Whether they have been changed: by prlimit(2) of a program of its user; what is lowered stays so.

        Fifteen questions to the kernel: asked after work that has started a program, else once in FRESH.
        """
        now, children = clock.monotonic(), limits.mark_of_children()
        if children == self._children and now < self._look_again:
            return False
        self._children, self._look_again = children, now + FRESH
        return limits.of_kinds(self._kinds) != self._limits


def _receive(socket: _socket.socket, buffer: bytearray) -> tuple[bytes, list[int]] | None:
    """The next request and its descriptors; None when the parent has closed the socket."""
    numbers = array.array("i")
    try:
        length, controls, flags, _ = socket.recvmsg_into([buffer], _RIGHTS)
    except OSError:
        return None
    for level, sort, content in controls:
        if level == _socket.SOL_SOCKET and sort == _socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    if not length:
        return None
    if flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC):
        raise Die(TEMP, b"request too large", EXIT[TEMP])
    return bytes(buffer[:length]), list(numbers)
