"""Detaching from a terminal where no supervisor exists; python-daemon does it."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_UMASK = 0o022  # what a supervisor gives to what it runs


def detached(work: "Callable[[], int]", output: bytes = b"/dev/null", keep: tuple[int, ...] = ()) -> int:
    """Run work() in a session of its own, in the root directory, with descriptor 0 on /dev/null.

    output: what descriptors 1 and 2 append to; keep: descriptors that stay open, all others are closed.
    The caller's process ends with 0 as soon as the detached one runs.  Result: of work().  Errors: OSError.
    """
    import daemon

    for number, name in enumerate(("stdin", "stdout", "stderr")):  # None where they were closed at our start
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    # every limit and signal stays as it is: a user's program that runs by |command may want its core dump
    with (
        open(output, "ab", buffering=0) as said,
        daemon.DaemonContext(
            umask=_UMASK,
            working_directory="/",
            stdout=said,
            stderr=said,
            files_preserve=list(keep),
            detach_process=True,
            prevent_core=False,
            signal_map={},
        ),
    ):
        for descriptor in range(3):  # the null device may have been opened as 0 at once, close-on-exec
            os.set_inheritable(descriptor, True)
        return work()
