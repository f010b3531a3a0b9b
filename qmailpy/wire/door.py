"""The door's protocol: a framed stream, no passed descriptors (DESIGN 2, "The door").  Private, versioned.

Client to server: MAGIC, a byte for who speaks, then for each message: frames 'm' with pieces of the message, one
'M' without content at its end, frames 'e' with pieces of the envelope (spec/02 3), one 'E' at its end. A frame
is its letter, a 32-bit big-endian length, the content. An empty 'm' or 'e' keeps the connection alive.
Server to client, once a message, perhaps before it is complete: exit code of spec/02 (one byte), qp (64 bits),
length of a text (16 bits), the text (for code 82: begins with D or Z).
A file in drop/ holds the client's bytes for one message. Both ends are here.
"""

MAGIC = b"qmailpy-door-1\n"
ONE_MESSAGE, RESIDENT = b"1", b"r"  # who speaks: qp is its pid / a serial of the door
PIECE_LIMIT = 65536  # bytes of a frame's content
_HEAD = 5  # bytes before a frame's content
_ANSWER_HEAD = 11


class DoorError(Exception):
    """The peer does not speak this protocol."""


def greeting(speaker: bytes) -> bytes:
    """The first bytes of a connection.  speaker: ONE_MESSAGE or RESIDENT."""
    return MAGIC + speaker


def frame(letter: bytes, content: bytes = b"") -> bytes:
    """One frame.  content: at most PIECE_LIMIT bytes."""
    assert len(content) <= PIECE_LIMIT
    return letter + len(content).to_bytes(4, "big") + content


def frames(letter: bytes, content: bytes) -> bytes:
    """Content of any length as frames, without the one that ends it."""
    return b"".join(frame(letter, content[at : at + PIECE_LIMIT]) for at in range(0, len(content), PIECE_LIMIT))


class Answer:
    """What became of a message.  code: exit code of qmail-queue; text: for code 82."""

    __slots__ = ("code", "qp", "text")

    def __init__(self, code: int, qp: int = 0, text: bytes = b"") -> None:
        """qp: as in the log's 'qp N'."""
        self.code, self.qp, self.text = code, qp, text

    def encode(self) -> bytes:
        """The server's bytes."""
        text = self.text[:255]
        return bytes((self.code,)) + self.qp.to_bytes(8, "big") + len(text).to_bytes(2, "big") + text


def decode_answer(received: bytes) -> tuple[Answer, int] | None:
    """The first answer in received and its length in bytes; None if it is not complete."""
    if len(received) < _ANSWER_HEAD:
        return None
    length = int.from_bytes(received[9:11], "big")
    if len(received) < _ANSWER_HEAD + length:
        return None
    qp = int.from_bytes(received[1:9], "big")
    text = received[_ANSWER_HEAD : _ANSWER_HEAD + length]
    return Answer(received[0], qp, text), _ANSWER_HEAD + length


class FrameReader:
    """The server's ear: greeting, then frames, in whatever pieces they come."""

    __slots__ = ("_rest", "speaker")

    def __init__(self) -> None:
        """Nothing heard yet."""
        self._rest = b""
        self.speaker = b""

    @property
    def partial(self) -> bool:
        """Whether something has begun that is not complete."""
        return bool(self._rest)

    def feed(self, piece: bytes) -> list[tuple[bytes, bytes]]:
        """The frames that are complete now, as (letter, content).  Errors: DoorError."""
        self._rest += piece
        if not self.speaker and not self._hear_greeting():
            return []
        found = []
        at = 0
        while len(self._rest) - at >= _HEAD:
            letter = self._rest[at : at + 1]
            length = int.from_bytes(self._rest[at + 1 : at + _HEAD], "big")
            if letter not in b"mMeE" or length > PIECE_LIMIT or (letter in b"ME" and length):
                raise DoorError("malformed frame")
            if len(self._rest) - at - _HEAD < length:
                break
            found.append((letter, self._rest[at + _HEAD : at + _HEAD + length]))
            at += _HEAD + length
        self._rest = self._rest[at:]
        return found

    def _hear_greeting(self) -> bool:
        length = len(MAGIC) + 1
        if not (MAGIC.startswith(self._rest) or self._rest.startswith(MAGIC)):
            raise DoorError("not a door client")
        if len(self._rest) < length:
            return False
        speaker = self._rest[len(MAGIC) : length]
        if speaker not in (ONE_MESSAGE, RESIDENT):
            raise DoorError("unknown speaker")
        self.speaker, self._rest = speaker, self._rest[length:]
        return True
