"""How a delivery comes out: what its process says on a pipe until everybody has closed it, and how the process ends.

Both spawners use it. The report is made when both are known. Whoever is left in the background with the pipe open
delays it for a moment only, if the spawner says so; a flood of words costs the sender's time, not ours.
"""

import posix

from qmailpy.system import descriptors
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.loop import Timer

    Keep = Callable[[bytes], bytes]
    Judge = Callable[[bytes, int, int], tuple[bytes, bytes]]
    Report = Callable[[bytes, bytes], None]

QUIET = 0.02  # seconds that a process may go on before we listen: most have ended by then, and have said one line
FLOOD = 1 << 20  # bytes; whoever says more is not writing a report
PAUSE = 0.02  # seconds between two looks at a flood: 3 MB/s of it, which is a few per cent of a processor


class Outcome:
    """One delivery under way."""

    __slots__ = (
        "_ending",
        "_heard",
        "_judge",
        "_keep",
        "_linger",
        "_loop",
        "_output",
        "_read_end",
        "_report",
        "_reported",
        "_timer",
        "write_end",
    )

    def __init__(self, loop: Loop, keep: "Keep", judge: "Judge", report: "Report", linger: float | None = None) -> None:
        """Make the pipe; the process gets write_end, its parent then calls begun().

        keep(output): what of it is kept while it grows; judge(output, exit code, signal) -> letter, text; linger:
        seconds that a pipe may stay open after the process has ended, None: for ever.
        Errors: OSError, no more descriptors.
        """
        self._loop, self._keep, self._judge, self._report, self._linger = loop, keep, judge, report, linger
        self._output = b""
        self._heard = 0
        self._reported = False
        self._ending: tuple[int, int] | None = None
        self._timer: Timer | None = None
        self._read_end, self.write_end = posix.pipe2(posix.O_CLOEXEC)
        posix.set_blocking(self._read_end, False)

    def begun(self) -> None:
        """The process has its end of the pipe: from here on listen, but to what it says at once only when it ends."""
        posix.close(self.write_end)
        self._timer = self._loop.after(QUIET, self._listen)

    def forget(self) -> None:
        """There is no process, and nothing will be reported."""
        posix.close(self.write_end)
        posix.close(self._read_end)
        self._read_end = -1

    def end(self, code: int, signal: int) -> None:
        """The process has ended."""
        self._ending = (code, signal)
        if self._timer is not None:
            self._timer.cancel()
        while self._read_end >= 0 and self._take():
            pass
        if self._read_end >= 0:  # somebody else still has it
            self._listen()
            if self._linger is not None:
                self._timer = self._loop.after(self._linger, self._close)
        elif not self._reported:
            self._tell()

    def _listen(self) -> None:
        if self._read_end >= 0:
            self._loop.on_read(self._read_end, self._hear)

    def _hear(self) -> None:
        self._take()

    def _take(self) -> bool:
        """A piece, or the end.  Result: whether there may be more at once."""
        try:
            piece = posix.read(self._read_end, descriptors.READ_SIZE)
        except BlockingIOError:
            return False
        if not piece:
            self._close()
            return False
        self._output = self._keep(self._output + piece)
        self._heard += len(piece)
        if self._heard > FLOOD:
            self._loop.on_read(self._read_end, None)
            self._loop.after(PAUSE, self._listen)
            return False
        return True

    def _close(self) -> None:
        """Everybody else has closed it, or had the time to."""
        self._loop.forget(self._read_end)
        posix.close(self._read_end)
        self._read_end = -1
        if self._timer is not None:
            self._timer.cancel()
        if self._ending is not None:
            self._tell()

    def _tell(self) -> None:
        assert self._ending is not None
        self._reported = True
        self._report(*self._judge(self._output, *self._ending))
