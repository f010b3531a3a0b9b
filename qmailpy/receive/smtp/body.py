"""The message itself, on its way into the queue: piece by piece, and no piece is kept.

What it may be: so large, so slow, and not on its way round in circles. Lines are stored with LF.
"""

from qmailpy.receive.refusal import Refusal
from qmailpy.rules.hops import MOST, HopCounter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.rules.completion import Completer
    from qmailpy.skeletons.dialog import Dialog, Incoming
    from qmailpy.skeletons.submit import Result
    from qmailpy.wire.dots import ChunkDecoder
    from qmailpy.wire.parameters import Parameters

_TOO_BIG = b"552 sorry, that message size exceeds my databytes limit (#5.3.4)"
_LOOPING = b"554 too many hops, this message is looping (#5.4.6)"


class Pace:
    """When a message must be here: it has the patience for one silence, and the rest of the time by its size."""

    __slots__ = ("_begun", "_came", "_dialog", "_rate")

    def __init__(self, dialog: "Dialog", rate: int) -> None:
        """rate: bytes a second, at least; 0: any, and it may take for ever."""
        self._dialog, self._rate = dialog, rate
        self._begun, self._came = dialog.now() + dialog.patience, 0
        self.go_on(0)

    @property
    def is_over(self) -> bool:
        """Whether more should be here by now."""
        return self._rate > 0 and self._dialog.now() > self._begun + self._came / self._rate

    def go_on(self, size: int) -> None:
        """So many bytes more are here."""
        self._came += size
        self._dialog.until = self._begun + self._came / self._rate if self._rate else None


class Body:
    """One message on its way into the queue."""

    __slots__ = ("_completer", "_hops", "_incoming", "_limit", "_size", "chunks", "failed", "pace")

    def __init__(self, incoming: "Incoming", limit: int) -> None:
        """Nothing of it has come.  limit: bytes of it, 0: any."""
        self._incoming, self._limit = incoming, limit
        self._hops = HopCounter()
        self._size = 0
        self._completer: Completer | None = None
        self.chunks: ChunkDecoder | None = None  # of BDAT
        self.pace: Pace | None = None  # of all its chunks together
        self.failed = False  # nothing more of it is written

    async def begin(self, lines: list[bytes], completer: "Completer | None") -> None:
        """The lines before the first one of the client's.  completer: adds what its header lacks."""
        for line in lines:
            await self._incoming.write(line)
        self._completer = completer

    async def take(self, stored: bytes) -> None:
        """More of it, lines ending LF; what is too much is thrown away."""
        if not stored:
            return
        self._hops.feed(stored)
        self._size += len(stored)
        if self._limit and self._size > self._limit:
            self.fail()
        if not self.failed:
            await self._incoming.write(stored if self._completer is None else self._completer.feed(stored))

    def fail(self) -> None:
        """It will not be whole."""
        if not self.failed:
            self.failed = True
            self._incoming.fail()

    async def drop(self) -> None:
        """It is not wanted any more."""
        self.fail()
        await self._incoming.close(b"", [])

    @property
    def fault(self) -> Refusal | None:
        """What stands against it, now that all of it is here."""
        if self._hops.count >= MOST:
            return Refusal(_LOOPING, b"hops")
        if self._limit and self._size > self._limit:
            return Refusal(_TOO_BIG, b"databytes")
        return None

    async def close(self, sender: bytes, recipients: list[bytes], parameters: "Parameters | None") -> "Result":
        """All of it is here, and nothing stands against it: the queue's answer."""
        if self._completer is not None:
            await self._incoming.write(self._completer.finish())
        return await self._incoming.close(sender, recipients, parameters)
