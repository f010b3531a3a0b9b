"""How a delivery comes out: what its process says on a pipe until everybody has closed it, and how the process ends.

Both spawners use it. The report is made when both are known: a grandchild that holds the pipe open delays it, as in C.
"""

import posix

from qmailpy.system import descriptors
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Keep = Callable[[bytes], bytes]
    Judge = Callable[[bytes, int, int], tuple[bytes, bytes]]
    Report = Callable[[bytes, bytes], None]


class Outcome:
    """One delivery under way."""

    __slots__ = ("_ending", "_eof", "_judge", "_keep", "_loop", "_output", "_read_end", "_report", "write_end")

    def __init__(self, loop: Loop, keep: "Keep", judge: "Judge", report: "Report") -> None:
        """Make the pipe; the process gets write_end, its parent then calls begun().

        keep(output): what of it is kept while it grows; judge(output, exit code, signal) -> letter, text.
        Errors: OSError, no more descriptors.
        """
        self._loop, self._keep, self._judge, self._report = loop, keep, judge, report
        self._output = b""
        self._eof = False
        self._ending: tuple[int, int] | None = None
        self._read_end, self.write_end = posix.pipe2(posix.O_CLOEXEC)

    def begun(self) -> None:
        """The process has its end of the pipe: from here on listen."""
        posix.close(self.write_end)
        self._loop.on_read(self._read_end, self._hear)

    def forget(self) -> None:
        """There is no process, and nothing will be reported."""
        posix.close(self.write_end)
        posix.close(self._read_end)

    def end(self, code: int, signal: int) -> None:
        """The process has ended."""
        self._ending = (code, signal)
        self._settle()

    def _hear(self) -> None:
        piece = posix.read(self._read_end, descriptors.READ_SIZE)
        if piece:
            self._output = self._keep(self._output + piece)
            return
        self._loop.forget(self._read_end)
        posix.close(self._read_end)
        self._eof = True
        self._settle()

    def _settle(self) -> None:
        if self._eof and self._ending is not None:
            self._report(*self._judge(self._output, *self._ending))
