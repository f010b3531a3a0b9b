"""A client that speaks in netstrings, heard piece by piece: for QMTP and QMQP, whose messages may have 200 MB."""

from qmailpy.rules import refused, trace
from qmailpy.skeletons.dialog import Gone, Silent, TlsFailed
from qmailpy.verdict import EXIT, OK, PERM, TEMP
from qmailpy.wire import netstring
from qmailpy.wire.netstring import NetstringError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine

    from qmailpy.skeletons.dialog import Dialog

PATIENCE = 3600.0  # seconds that a whole connection may take
FAREWELL = 10.0  # seconds that a client has to take the last words
_HEAD = 12  # bytes in which a length ends, or is none
_NOTES = 100  # lines in the log about one connection: a message may have 200,000 recipients that are refused


class Ended(Exception):
    """The client has ended where something more was to come."""


class Reader:
    """All that the client says, in order.  taken: bytes so far.

    Errors of its methods: Ended; NetstringError, TooLong; those of the dialog.
    """

    __slots__ = ("_at", "_came", "_dialog", "taken")

    def __init__(self, dialog: "Dialog") -> None:
        """Nothing has come."""
        self._dialog = dialog
        self._came, self._at = b"", 0
        self.taken = 0

    async def length(self, end: int | None = None) -> int:
        """A netstring begins: its length.  end: of the netstring that it is in, which it must not leave."""
        if end is not None and self.taken >= end:
            raise NetstringError("something is missing in it")
        while (found := netstring.head(self._came[self._at : self._at + _HEAD])) is None:
            await self._more()
        length, digits = found
        if end is not None and self.taken + digits + length + 1 > end:
            raise NetstringError("longer than what it is in")
        self._at += digits
        self.taken += digits
        return length

    async def piece(self, most: int) -> bytes:
        """What comes next: at least a byte, at most so many.  most: > 0."""
        if self._at == len(self._came):
            self._came, self._at = b"", 0
            await self._more()
        piece = self._came[self._at : self._at + most]
        self._at += len(piece)
        self.taken += len(piece)
        return piece

    async def exactly(self, length: int) -> bytes:
        """So many bytes.  length: what may be kept in memory."""
        pieces = []
        while length:
            pieces.append(await self.piece(length))
            length -= len(pieces[-1])
        return b"".join(pieces)

    async def skip(self, length: int) -> None:
        """So many bytes that nobody wants."""
        while length:
            length -= len(await self.piece(length))

    async def comma(self) -> None:
        """The end of a netstring."""
        if await self.piece(1) != b",":
            raise NetstringError("no comma at its end")

    async def address(self, end: int | None, room: int) -> bytes | None:
        """A netstring that holds an address; None for one that nobody can have: with a NUL, or too long.

        end: as of length(); room: bytes that it must be shorter than.
        """
        length = await self.length(end)
        address = None
        if length < room:
            address = await self.exactly(length)
        else:
            await self.skip(length)
        await self.comma()
        return None if address is None or b"\0" in address else address

    async def _more(self) -> None:
        came = await self._dialog.receive()
        if not came:
            raise Ended
        self._came, self._at = self._came[self._at :] + came, 0


class Log:
    """The line of the log that every refusal has, for one connection."""

    __slots__ = ("_dialog", "_left", "_program", "_traces")

    def __init__(self, dialog: "Dialog", program: bytes, *, traces: bool = False) -> None:
        """program: as qmail-qmtpd; traces: whether it says what was received too."""
        self._dialog, self._program, self._traces = dialog, program, traces
        self._left = _NOTES

    def note(self, rule: bytes, answer: bytes, sender: bytes | None = None, recipient: bytes | None = None) -> bytes:
        """Result: the answer."""
        if self._left:
            self._left -= 1
            client = refused.Client(self._dialog.environment.get(b"TCPREMOTEIP"), None, sender, recipient)
            self._dialog.note(refused.line(self._program, client, rule, answer))
        return answer

    def received(self, qp: int) -> None:
        """A message is in the queue under this qp."""
        if self._traces:
            client = self._dialog.environment.get(b"TCPREMOTEIP", b"")
            self._dialog.note(trace.received(self._program, qp, client=client))


async def hold(dialog: "Dialog", talk: "Coroutine[None, None, None]", log: Log) -> int:
    """Let a client talk, from its first byte to the last word said to it.

    Result: the exit code: 0 it has ended, 100 it does not speak this protocol, 111 it takes too long or wants too much.
    """
    try:
        await talk
    except (Ended, Gone):
        return EXIT[OK]
    except Silent:
        log.note(b"timeout", b"")
        return EXIT[TEMP]
    except netstring.TooLong as error:
        log.note(b"limits", error.args[0].encode())
        return EXIT[TEMP]
    except (NetstringError, TlsFailed) as error:
        log.note(b"protocol", b"" if isinstance(error, TlsFailed) else error.args[0].encode())
        return EXIT[PERM]
    finally:
        dialog.until = dialog.now() + FAREWELL
        await dialog.finish()
    return EXIT[OK]
