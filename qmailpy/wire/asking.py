"""What the door asks qmail-send, which alone may read the envelopes that it has taken up; what qmail-queuectl orders.

Private, versioned.
Client: MAGIC, a verb (one byte), the uid whose messages are meant (64 bits, ANYBODY for all), how many messages (16
bits, at most MOST), their numbers (64 bits each). Server: for each of them, in their order, length (32 bits) and text;
then it hangs up. No text: there is nothing to tell of this message, it is none of that uid's, or it is gone.
An order has behind each number the message's key (64 bits), which is when its file was last written, in nanoseconds:
numbers come back. Then a length (16 bits) and a text, the reason of FAIL or the place of MOVE. Its answer is one of the
words below.
Both ends are here. Used by send/answering and skeletons/asking.
"""

MAGIC = b"qmailpy-send-1\n"
TELL, NOW = b"l", b"n"  # the message in words; try it now, and the text is a word if it waited
STATE = b"s"  # what it waits for: a word for each channel, a time where it waits, and what was ordered
HOLD, RELEASE, DELETE, FAIL, MOVE = ORDERS = b"h", b"r", b"d", b"b", b"m"
DONE, LATER, ENDING, NOT_HELD, FAILED = b"done", b"later", b"ending", b"not held", b"failed "  # the last: and why
RUNNING, FRESH, NOTHING = b"running", b"now", b"-"  # words of STATE
HELD, BUSY = b"held", b"busy"  # the same, of a message that waits for its domain
REASON_LIMIT = 1000  # bytes
ANYBODY = (1 << 64) - 1
MOST = 100  # messages in a question
TEXT_LIMIT = 1 << 20  # bytes of an answer about one message
_HEAD = len(MAGIC) + 1 + 8 + 2


class AskingError(Exception):
    """The peer does not speak this protocol."""


class Question:
    """verb: as above; uid: whose messages, or ANYBODY; numbers: which; keys: of an order, as many; text: its reason."""

    __slots__ = ("keys", "numbers", "text", "uid", "verb")

    def __init__(
        self, verb: bytes, uid: int, numbers: list[int], keys: list[int] | None = None, text: bytes = b""
    ) -> None:
        """numbers: at most MOST."""
        self.verb, self.uid, self.numbers = verb, uid, numbers
        self.keys, self.text = keys or [], text

    def encode(self) -> bytes:
        """The client's bytes."""
        assert len(self.numbers) <= MOST
        head = MAGIC + self.verb + self.uid.to_bytes(8, "big") + len(self.numbers).to_bytes(2, "big")
        if self.verb not in ORDERS:
            return head + b"".join([number.to_bytes(8, "big") for number in self.numbers])
        text = self.text[:REASON_LIMIT]
        both = [
            number.to_bytes(8, "big") + key.to_bytes(8, "big")
            for number, key in zip(self.numbers, self.keys, strict=True)
        ]
        return head + b"".join(both) + len(text).to_bytes(2, "big") + text


def decode_question(received: bytes) -> Question | None:
    """The question; None while it is not complete.  Errors: AskingError."""
    if not (received.startswith(MAGIC) or MAGIC.startswith(received)):
        raise AskingError("not a client of this version")
    if len(received) < _HEAD:
        return None
    verb = received[len(MAGIC) : len(MAGIC) + 1]
    uid = int.from_bytes(received[len(MAGIC) + 1 : _HEAD - 2], "big")
    count = int.from_bytes(received[_HEAD - 2 : _HEAD], "big")
    if verb not in (TELL, NOW, STATE, *ORDERS) or count > MOST:
        raise AskingError("malformed question")
    end = _HEAD + (16 * count + 2 if verb in ORDERS else 8 * count)
    whole, text = end, b""
    if verb in ORDERS and len(received) >= end:
        whole = end + int.from_bytes(received[end - 2 : end], "big")
        text = received[end:whole]
        if whole > end + REASON_LIMIT:
            raise AskingError("malformed question")
    if len(received) > whole:
        raise AskingError("malformed question")
    if len(received) < whole:
        return None
    if verb not in ORDERS:
        return Question(verb, uid, _integers(received[_HEAD:end]))
    both = _integers(received[_HEAD : end - 2])
    return Question(verb, uid, both[::2], both[1::2], text)


def _integers(packed: bytes) -> list[int]:
    return [int.from_bytes(packed[at : at + 8], "big") for at in range(0, len(packed), 8)]


def encode_text(text: bytes) -> bytes:
    """What the server says of one message."""
    text = text[:TEXT_LIMIT]
    return len(text).to_bytes(4, "big") + text


class TextReader:
    """The client's ear."""

    __slots__ = ("_count", "_rest", "texts")

    def __init__(self, count: int) -> None:
        """count: of messages that were asked about."""
        self._count, self._rest = count, b""
        self.texts: list[bytes] = []  # so far

    @property
    def done(self) -> bool:
        """Whether all of them have come."""
        return len(self.texts) == self._count

    def feed(self, piece: bytes) -> None:
        """More bytes.  Errors: AskingError."""
        rest = self._rest + piece
        at = 0
        while not self.done and len(rest) >= at + 4:
            length = int.from_bytes(rest[at : at + 4], "big")
            if length > TEXT_LIMIT:
                raise AskingError("malformed answer")
            if len(rest) < at + 4 + length:
                break
            self.texts.append(rest[at + 4 : at + 4 + length])
            at += 4 + length
        self._rest = rest[at:]
        if self.done and self._rest:
            raise AskingError("too long an answer")
