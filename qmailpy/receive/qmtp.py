"""QMTP sessions: qmail-qmtpd, and port 209 of the listener (spec/06 6).

Any number of messages, each with its recipients, and an answer for each recipient. What is taken from whom, and for
whom, is decided by the policy of SMTP sessions, but for what only SMTP has: HELO names, plugins. Nothing of a message
is kept but its recipients.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.receive.netstrings import PATIENCE, Log, Reader, hold
from qmailpy.receive.policy import controls as policy
from qmailpy.receive.policy.policy import Policy
from qmailpy.rules.arrival import arrived
from qmailpy.system import clock
from qmailpy.wire import netstring, qmtp
from qmailpy.wire.envelope import MOST_RECIPIENTS
from qmailpy.wire.smtp_server import leading_number, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.skeletons.dialog import Dialog, Incoming

_MOST_ANSWERS = 5 * MOST_RECIPIENTS  # recipients of a message, taken or refused: nobody has so many
_MOST_BYTES = 8 << 20  # of a message's recipients: 200,000 of 40 bytes each
_MOST_UNKNOWN = 1000  # recipients of one client that do not exist: who has more is trying out names
_AT_ONCE = 1000  # answers that are held back together


class Controls:
    """What the control files say: read once, for all sessions of a listener."""

    __slots__ = ("databytes", "policy", "traces")

    def __init__(self, home: Home) -> None:
        """Errors: Die TEMP for a file that cannot be read."""
        self.databytes = control.integer(home, "databytes", 0)
        self.policy = policy.read(home)
        self.traces = control.integer(home, "trace", 0) > 0


async def converse(dialog: "Dialog", controls: Controls) -> int:
    """Hold a session from its first byte to its last.  Result: the exit code, as of netstrings.hold()."""
    dialog.patience = PATIENCE
    dialog.until = dialog.now() + PATIENCE
    log = Log(dialog, b"qmail-qmtpd", traces=controls.traces)
    session = _Session(dialog, controls, log)
    try:
        return await hold(dialog, session.run(), log)
    finally:
        session.give_up()


class _Session:
    """One client."""

    __slots__ = ("_databytes", "_dialog", "_incoming", "_log", "_policy", "_reader", "_suffix", "_unknown")

    def __init__(self, dialog: "Dialog", controls: Controls, log: Log) -> None:
        self._dialog, self._log = dialog, log
        self._policy = Policy(dialog, controls.policy, plugged=False)
        self._reader = Reader(dialog)
        said = dialog.environment.get(b"DATABYTES")
        self._databytes = controls.databytes if said is None else leading_number(said)
        self._suffix = len(dialog.environment.get(b"RELAYCLIENT", b""))
        self._unknown = 0
        self._incoming: Incoming | None = None

    def give_up(self) -> None:
        """The session has ended, perhaps in the middle of a message."""
        if self._incoming is not None:
            self._incoming.fail()

    async def run(self) -> None:
        """Until the client ends.  Errors: as of netstrings.Reader."""
        while True:
            await self._message()

    async def _message(self) -> None:
        """One message, from its first byte to the answers."""
        reader = self._reader
        length = await reader.length()
        if not length:
            raise netstring.NetstringError("an empty message does not say how its lines end")
        first = await reader.piece(1)
        if first not in (qmtp.LF, qmtp.CRLF):
            raise netstring.NetstringError("neither kind of line end")
        incoming = self._incoming = self._dialog.begin()
        await incoming.write(arrived(self._dialog.environment, b"QMTP", clock.now()))
        is_too_big = await self._body(incoming, length - 1, qmtp.LineDecoder() if first == qmtp.CRLF else None)
        await reader.comma()
        sender = await self._sender()
        answers, taken = await self._recipients(sender)
        refusal = qmtp.TOO_BIG if is_too_big else b"" if sender is not None else qmtp.BAD_SENDER
        if refusal or not taken:
            incoming.fail()
        result = await incoming.close(sender or b"", taken)
        self._incoming = None
        if refusal:
            self._log.note(b"databytes" if is_too_big else b"sender", refusal, sender)
        elif taken and result.text:
            refusal = result.text[:1] + one_line(result.text[1:])
            self._log.note(b"queue", refusal, sender)
        elif taken:
            self._log.received(result.qp)
        await self._answer(answers, refusal or qmtp.accepted(clock.now(), result.qp))

    async def _body(self, incoming: "Incoming", left: int, lines: qmtp.LineDecoder | None) -> bool:
        """The message itself; whether it is too big."""
        room = self._databytes or None
        while left:
            piece = await self._reader.piece(left)
            left -= len(piece)
            if lines is not None:
                piece = lines.feed(piece) + (b"" if left else lines.finish())
            if room is not None:
                room -= len(piece)
                if room < 0:
                    incoming.fail()
                    continue
            await incoming.write(piece)
        return room is not None and room < 0

    async def _sender(self) -> bytes | None:
        return await self._reader.address(None, qmtp.ADDRESS_ROOM)

    async def _recipients(self, sender: bytes | None) -> tuple[list[bytes], list[bytes]]:
        """An answer for each, empty for whom it is the queue's; and those it is for."""
        reader, size = self._reader, 0
        await self._policy.sender(sender or b"")
        answers: list[bytes] = []
        taken: list[bytes] = []
        kinds: dict[bytes, bytes] = {}  # of answers: many recipients share a few
        end = await reader.length()
        end += reader.taken
        while reader.taken < end:
            if len(answers) == _MOST_ANSWERS:
                raise netstring.TooLong("too many recipients")
            address = await reader.address(end, qmtp.ADDRESS_ROOM - self._suffix)
            answer = await self._refuse(sender, address)
            if not answer and address is not None:
                size += len(address)
                if len(taken) >= MOST_RECIPIENTS or size > _MOST_BYTES:
                    answer = qmtp.TOO_MANY
                else:
                    replaced = self._policy.replaced
                    taken.append(address if replaced is None else replaced)
            answers.append(kinds.setdefault(answer, answer))
        await reader.comma()
        return answers, taken

    async def _refuse(self, sender: bytes | None, address: bytes | None) -> bytes:
        """Why mail is not taken for this recipient; empty where it is."""
        if address is None:
            return self._log.note(b"address", qmtp.BAD_RECIPIENT, sender)
        if self._unknown >= _MOST_UNKNOWN:
            return self._log.note(b"unknown", qmtp.TOO_MANY, sender, address)
        refusal = await self._policy.recipient(address)
        if refusal is None:
            return b""
        if refusal.rule.startswith(b"recipient"):
            self._unknown += 1
        return self._log.note(refusal.rule, qmtp.answer(refusal.reply), sender, address)

    async def _answer(self, answers: list[bytes], common: bytes) -> None:
        for at in range(0, len(answers), _AT_ONCE):
            self._dialog.say(netstring.pack([one or common for one in answers[at : at + _AT_ONCE]]))
            if at:
                await self._dialog.flush()
