"""A neighbour: another process at the far end of two pipes, one for what we say and one for what it says.

What we say waits until its pipe takes it, what it says goes to whoever listens, and its loss is told once, whichever
pipe shows it. Used by qmail-send for its spawners and for qmail-clean.
"""

import posix

from qmailpy.system import clock, descriptors
from qmailpy.system.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Pause:
    """Something that is done at once, but not again within so many seconds: then once, at their end.

    Each wakes another process, and a busy one is better woken for several things than for each.
    """

    __slots__ = ("_again", "_call", "_loop", "_seconds", "_waits")

    def __init__(self, loop: Loop, seconds: float, call: "Callable[[], None]") -> None:
        """call: what is to be done."""
        self._loop, self._seconds, self._call = loop, seconds, call
        self._again = 0.0  # on the monotonic clock
        self._waits = False

    def do(self) -> None:
        """Now or soon."""
        if self._waits:
            return
        now = clock.monotonic()
        if now >= self._again:
            self._again = now + self._seconds
            self._call()
        else:
            self._waits = True
            self._loop.after(self._again - now, self._do_late)

    def _do_late(self) -> None:
        self._waits = False
        self._again = clock.monotonic() + self._seconds
        self._call()


class Neighbour:
    """Both pipes, and what could not be sent yet."""

    __slots__ = ("_commands", "_heard", "_loop", "_lost", "_out", "_reports", "_sending", "alive")

    def __init__(
        self,
        loop: Loop,
        pipes: tuple[int, int],
        heard: "Callable[[bytes], None]",
        lost: "Callable[[], None]",
        pause: float = 0.0,
    ) -> None:
        """pipes: what we write and what we read; heard(piece): what it says; lost(): it is gone.

        pause: seconds that pass at least between two times that it is sent something.
        """
        self._loop, self._heard, self._lost = loop, heard, lost
        self._commands, self._reports = pipes
        self._out = bytearray()
        self._sending = Pause(loop, pause, self._send)
        self.alive = True
        posix.set_blocking(self._commands, False)
        loop.on_read(self._reports, self._hear)

    @property
    def unsent(self) -> int:
        """Bytes that it has not taken yet."""
        return len(self._out)

    def say(self, content: bytes) -> None:
        """It goes out with the next flush()."""
        if self.alive:
            self._out += content

    def flush(self) -> None:
        """Send what it takes now: call it once a turn."""
        if self._out:
            self._sending.do()

    def give_up(self) -> None:
        """It talks nonsense: as if it were gone."""
        self.alive = False
        self._out.clear()
        self._loop.forget(self._commands)
        self._loop.forget(self._reports)
        self._lost()

    def _send(self) -> None:
        if not self.alive:
            return
        try:
            del self._out[: descriptors.write_pieces(self._commands, bytes(self._out))]
        except OSError:
            self.give_up()
            return
        self._loop.on_write(self._commands, self._send if self._out else None)

    def _hear(self) -> None:
        try:
            piece = posix.read(self._reports, descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if piece:
            self._heard(piece)
        else:
            self.give_up()
