"""One mail transaction: what is kept of MAIL and RCPT until the message is there (RFC 5321 3.3).

It is bytes in a row, not an object for each recipient, and no more than MOST_BYTES of them.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.smtp.body import Body
    from qmailpy.wire.parameters import MessageParameters, Parameters, RecipientParameters

MOST_BYTES = 8 << 20  # of a transaction's recipients: 200,000 of 40 bytes each
_OBJECTS = 256  # bytes that parameters of a recipient take besides their own


class Transaction:
    """sender: None before MAIL; body: once the first chunk of BDAT has come; weight: bytes of all recipients."""

    __slots__ = ("_each", "_message", "_recipients", "body", "count", "is_full", "sender", "size", "weight")

    def __init__(self) -> None:
        """Nothing has been said."""
        self.sender: bytes | None = None
        self.count = self.weight = 0  # of recipients
        self.is_full = False  # a recipient was too many
        self.size = 0  # as the client announced it
        self.body: Body | None = None
        self._recipients = bytearray()  # each with a NUL behind it
        self._message: MessageParameters | None = None
        self._each: dict[int, RecipientParameters] | None = None  # of those recipients that have some

    @property
    def uses_utf8(self) -> bool:
        """Whether the client has said SMTPUTF8."""
        return self._message is not None and self._message.smtputf8

    def begin(self, sender: bytes, size: int, message: "MessageParameters | None") -> None:
        """MAIL was taken."""
        self.sender, self.size, self._message = sender, size, message

    def has_room(self, most: int, address: bytes) -> bool:
        """Whether one more recipient can be taken.  most: recipients."""
        return self.count < most and self.weight + len(address) < MOST_BYTES

    def add(self, address: bytes, each: "RecipientParameters | None", said: int) -> None:
        """RCPT was taken.  said: bytes of its parameters."""
        if each is not None:
            self._each = self._each or {}
            self._each[self.count] = each
            self.weight += said + _OBJECTS
        self.weight += len(address) + 1
        self._recipients += address + b"\0"
        self.count += 1

    def recipients(self) -> list[bytes]:
        """All of them, in their order."""
        return bytes(self._recipients).split(b"\0")[:-1]

    def parameters(self) -> "Parameters | None":
        """What was wished; None where nothing was."""
        if self._message is None and self._each is None:
            return None
        from qmailpy.wire.parameters import Parameters

        each = self._each
        return Parameters(self._message, () if each is None else [each.get(at) for at in range(self.count)])
