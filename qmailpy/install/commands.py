"""Running a program and reading what it says: useradd, groupadd, the interpreter, the package manager."""

import os
import select

from qmailpy.system import clock, process, signals
from qmailpy.system.descriptors import READ_SIZE

ENOUGH = 65536  # bytes of output that anybody reads
PATIENCE = 60.0  # seconds; useradd may wait for the lock of /etc/passwd
SEARCH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLEAN = {b"PATH": SEARCH, b"LC_ALL": b"C"}  # what such a program gets as its environment


def find(name: str) -> bytes | None:
    """The program's path in the system's directories, whatever $PATH says; None where there is none."""
    path = process.find(name.encode(), SEARCH)
    return path if b"/" in path else None


def output_of(argv: list[bytes], patience: float = PATIENCE) -> tuple[process.Ending, bytes]:
    """Run a program with nothing on descriptor 0.  Result: how it ended, and its descriptors 1 and 2 together.

    argv[0]: a path.  patience: seconds, then it is killed.  A program that cannot be started ends with 120.
    """
    read_end, write_end = os.pipe()
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def child() -> int:
        process.arrange({0: nothing, 1: write_end, 2: write_end})
        try:
            process.execute(argv[0], argv, CLEAN)
        except OSError:
            return process.EXEC_FAILED

    pid = process.fork(child)
    os.close(write_end)
    os.close(nothing)
    said = _read(read_end, clock.monotonic() + patience)
    os.close(read_end)
    if said is None:
        process.kill(pid, signals.SIGKILL)
    return process.wait(pid), said or b""


def _read(descriptor: int, deadline: float) -> bytes | None:
    """All there is until the end; None where the end did not come in time."""
    pieces: list[bytes] = []
    size = 0
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while True:
        left = deadline - clock.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            return None
        piece = os.read(descriptor, READ_SIZE)
        if not piece:
            return b"".join(pieces)[:ENOUGH]
        if size < ENOUGH:
            pieces.append(piece)
            size += len(piece)
