"""Signals: what is ignored, what is caught, and the clean state that an exec'ed program gets.

_signal is the C module below the standard signal module, which costs 8 ms to import
(enum); here the numbers are enough.
"""

import _signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SIGHUP: int = _signal.SIGHUP
SIGINT: int = _signal.SIGINT
SIGQUIT: int = _signal.SIGQUIT
SIGKILL: int = _signal.SIGKILL
SIGALRM: int = _signal.SIGALRM
SIGTERM: int = _signal.SIGTERM
SIGCHLD: int = _signal.SIGCHLD
SIGUSR1: int = _signal.SIGUSR1
SIGPIPE: int = _signal.SIGPIPE
SIGXFSZ: int = _signal.SIGXFSZ
SIGWINCH: int = _signal.SIGWINCH

# what a terminal, a parent or a resource limit may send, and what must not end a submission (spec/02 3)
NUISANCES: tuple[int, ...] = (
    SIGPIPE,
    SIGXFSZ,
    SIGQUIT,
    SIGINT,
    SIGHUP,
    _signal.SIGVTALRM,
    _signal.SIGPROF,
    _signal.SIGXCPU,
)

_PYTHON_IGNORES = (SIGPIPE, SIGXFSZ)  # the interpreter ignores these; a program must not inherit it
_CATCHABLE = (SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGTERM, SIGCHLD, SIGUSR1)


def ignore(*numbers: int) -> None:
    """Ignore these signals."""
    for number in numbers:
        if _signal.getsignal(number) != _signal.SIG_IGN:  # the interpreter remembers; the kernel would have to be asked
            _signal.signal(number, _signal.SIG_IGN)


def default(*numbers: int) -> None:
    """Give these signals their default action."""
    for number in numbers:
        _signal.signal(number, _signal.SIG_DFL)


def is_ignored(number: int) -> bool:
    """Whether this signal is ignored, as whoever started us may have wished."""
    return bool(_signal.getsignal(number) == _signal.SIG_IGN)


def catch(number: int, handler: "Callable[[int], None]") -> None:
    """Call handler(number) between two byte codes when the signal comes."""
    _signal.signal(number, lambda caught, _frame: handler(caught))


def as_for_a_new_program() -> None:
    """All default, nothing blocked, no alarm: call it in a child before an exec."""
    _signal.set_wakeup_fd(-1)
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    for number in (*_CATCHABLE, *_PYTHON_IGNORES):
        if _signal.getsignal(number) != _signal.SIG_DFL:  # the interpreter remembers; the kernel would have to be asked
            default(number)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])


def undo() -> None:
    """Between two pieces of work of one process: no alarm, and nothing ignored but what the interpreter ignores."""
    for number in _CATCHABLE:
        if _signal.getsignal(number) != _signal.SIG_DFL:
            default(number)
            if number == SIGALRM:
                _signal.setitimer(_signal.ITIMER_REAL, 0)


def unblock_all() -> None:
    """Whoever started us may have blocked any signal."""
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])


def alarm(seconds: float, handler: "Callable[[int], None] | None") -> None:
    """Call handler after so many seconds; 0 and None take it back.  seconds >= 0."""
    if handler is None or seconds == 0:
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        default(SIGALRM)
        return
    catch(SIGALRM, handler)
    _signal.setitimer(_signal.ITIMER_REAL, seconds)


def wake_by(descriptor: int) -> None:
    """Every caught signal also writes one byte here (non-blocking), so that a poll ends."""
    _signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


def await_for(number: int, seconds: float) -> None:
    """Wait so long, or until this signal comes; it has been block()ed."""
    _signal.sigtimedwait([number], seconds)


def block(number: int) -> None:
    """Keep this signal waiting until it is asked for."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, [number])
