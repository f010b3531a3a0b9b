"""The log: lines to fd 0, in whole lines, without ever waiting for whoever reads them.

poll(2) says of a pipe that it is writable when PIPE_BUF bytes fit, so a piece of that size never blocks, and nobody
else's descriptor has to be made non-blocking (fd 0 may be the supervisor's). A reader that is HOLD bytes behind is
waited for: the log is an interface and not dropped.
"""

import fcntl
import posix

from qmailpy.disk.queue.recipients import Trouble
from qmailpy.rules import logline
from qmailpy.send.tracing import Tracing
from qmailpy.system import descriptors
from qmailpy.system.loop import Loop, is_writable
from qmailpy.system.neighbour import Pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 4096  # PIPE_BUF on Linux
_PAUSE = 0.005  # seconds between two writes, or a busy log would be written, and its reader woken, for each line
_FIFO, _KIND = 0o010000, 0o170000
HOLD = 1 << 20  # bytes kept for a slow reader


class Log:
    """What has been said and not been written yet."""

    def __init__(self, loop: Loop, descriptor: int) -> None:
        """lost: called once, when nobody reads the log any more; trace: what is said beside qmail's lines."""
        self._loop, self._descriptor = loop, descriptor
        self.lost: Callable[[], None] = lambda: None
        self._lines: list[bytes] = []
        self._rest = b""
        self._broken = False
        self.trace = Tracing(self.say)
        self._flushing = Pause(loop, _PAUSE, self._flush)

    def watch(self) -> None:
        """Notice the end of the log's reader at once, not only with the next line: it may be who started us.

        A pipe that we can only write has nothing to read but that.
        """
        only_written = fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & posix.O_ACCMODE == posix.O_WRONLY
        if only_written and posix.fstat(self._descriptor).st_mode & _KIND == _FIFO:
            self._loop.on_read(self._descriptor, self._break)

    def say(self, line: bytes) -> None:
        """line: of rules/logline, with its LF."""
        if self._broken:
            return
        self._lines.append(line)
        if len(self._lines) > 64:  # joining costs less than counting
            self._rest += b"".join(self._lines)
            self._lines.clear()
            if len(self._rest) > HOLD:
                self.finish()

    def tell(self, trouble: Trouble) -> None:
        """A step in the queue that failed."""
        if trouble.what == "opendir":
            self.say(logline.alert_directory(trouble.name))
        elif trouble.what == "append":
            self.say(logline.alert(logline.APPEND))
        else:
            self.say(logline.warning(trouble.what, trouble.name))

    def alert(self, text: bytes) -> None:
        """text: a constant of rules/logline."""
        self.say(logline.alert(text))

    def flush(self) -> None:
        """Write what can be written without waiting, now or soon: call it once a turn."""
        if self._lines or self._rest:
            self._flushing.do()

    def _flush(self) -> None:
        if not self._lines and not self._rest:
            return  # finish() has written it
        if is_writable(self._descriptor):
            self._write()
        if self._rest or self._lines:
            self._loop.on_write(self._descriptor, self._write)

    def _write(self) -> None:
        text = self._rest + b"".join(self._lines)
        self._lines.clear()
        end = len(text) if len(text) <= _PIECE else text.rfind(b"\n", 0, _PIECE) + 1 or _PIECE
        try:
            written = posix.write(self._descriptor, text[:end])
        except BlockingIOError:
            written = 0
        except OSError:
            self._break()
            return
        self._rest = text[written:]
        if not self._rest:
            self._loop.on_write(self._descriptor, None)

    def finish(self) -> None:
        """Write all of it, however long that takes."""
        text = self._rest + b"".join(self._lines)
        self._lines.clear()
        self._rest = b""
        self._loop.on_write(self._descriptor, None)
        if self._broken or not text:
            return
        posix.set_blocking(self._descriptor, True)
        try:
            descriptors.write_all(self._descriptor, text)
        except OSError:
            self._break()

    def _break(self) -> None:
        self._broken = True
        self._rest = b""
        self._loop.forget(self._descriptor)
        self.lost()
