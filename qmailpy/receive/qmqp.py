"""QMQP sessions: qmail-qmqpd, and port 628 of the listener (spec/06 6).

One message with its whole envelope, one answer. Nobody is asked whether it may come: whoever reaches the port may send
mail to anywhere, so rules for addresses must stand before it.
"""

from qmailpy.receive.netstrings import PATIENCE, Log, Reader, hold
from qmailpy.rules.arrival import arrived
from qmailpy.system import clock
from qmailpy.wire import netstring, qmqp
from qmailpy.wire.envelope import MOST_RECIPIENTS
from qmailpy.wire.smtp_server import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.skeletons.dialog import Dialog, Incoming

_MOST_BYTES = 8 << 20  # of a message's recipients: 200,000 of 40 bytes each


async def converse(dialog: "Dialog") -> int:
    """Hold a session from its first byte to its last.  Result: the exit code, as of netstrings.hold()."""
    dialog.patience = PATIENCE
    dialog.until = dialog.now() + PATIENCE
    log = Log(dialog, b"qmail-qmqpd")
    session = _Session(dialog, log)
    try:
        return await hold(dialog, session.run(), log)
    finally:
        session.give_up()


class _Session:
    """One client."""

    __slots__ = ("_dialog", "_incoming", "_log", "_reader")

    def __init__(self, dialog: "Dialog", log: Log) -> None:
        self._dialog, self._log = dialog, log
        self._reader = Reader(dialog)
        self._incoming: Incoming | None = None

    def give_up(self) -> None:
        """The session has ended, perhaps in the middle of the message."""
        if self._incoming is not None:
            self._incoming.fail()

    async def run(self) -> None:
        """The one request.  Errors: as of netstrings.Reader."""
        reader = self._reader
        end = await reader.length()
        end += reader.taken
        left = await reader.length(end)
        incoming = self._incoming = self._dialog.begin()
        await incoming.write(arrived(self._dialog.environment, b"QMQP", clock.now()))
        while left:
            piece = await reader.piece(left)
            left -= len(piece)
            await incoming.write(piece)
        await reader.comma()
        sender = await reader.address(end, qmqp.ADDRESS_ROOM)
        refusal, recipients = await self._recipients(end)
        await reader.comma()
        if sender is None:
            refusal = qmqp.BAD_ADDRESS
        if refusal:
            incoming.fail()
        result = await incoming.close(sender or b"", recipients)
        self._incoming = None
        if not refusal and result.text:
            refusal = result.text[:1] + one_line(result.text[1:])
        if refusal:
            self._log.note(b"queue" if result.text == refusal else b"address", refusal, sender)
        self._dialog.say(netstring.encode(refusal or qmqp.accepted(clock.now(), result.qp)))

    async def _recipients(self, end: int) -> tuple[bytes, list[bytes]]:
        """What stands against them, and they themselves."""
        refusal, size = b"", 0
        recipients: list[bytes] = []
        while self._reader.taken < end:
            address = await self._reader.address(end, qmqp.ADDRESS_ROOM)
            if address is None:
                refusal = qmqp.BAD_ADDRESS
            elif len(recipients) >= MOST_RECIPIENTS or size > _MOST_BYTES:
                refusal = refusal or qmqp.TOO_MANY
            else:
                size += len(address)
                recipients.append(address)
        return refusal, recipients
