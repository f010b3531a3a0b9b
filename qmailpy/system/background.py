"""Detaching from a terminal where no supervisor exists; python-daemon does it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def detached(work: "Callable[[], int]") -> int:
    """Run work() in a session of its own with standard descriptors on /dev/null.

    The caller's process ends with 0 as soon as the detached one runs.  Result: of work().
    """
    import daemon

    with daemon.DaemonContext(umask=0o077, working_directory="/"):
        return work()
