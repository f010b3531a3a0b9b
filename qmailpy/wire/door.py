"""The door's protocol: a framed stream, no passed descriptors (DESIGN 2, "The door").  Private, versioned.

Client to server: MAGIC, a byte for who speaks, then for each message: frames 'm' with pieces of the message, one
'M' without content at its end, frames 'e' with pieces of the envelope (spec/02 3), one 'E' at its end. A frame
is its letter, a 32-bit big-endian length, the content. An empty 'm' or 'e' keeps the connection alive.
Server to client, once a message, perhaps before it is complete: exit code of spec/02 (one byte), qp (64 bits),
length of a text (16 bits), the text (for code 82: begins with D or Z; else a sentence for the caller's fd 2).
After an answer that came before its 'E' the server hangs up. It also hangs up on who is silent for IDLE seconds.
Who speaks as LIST says nothing else, and gets a List: frames 'm' with pieces of a text, one 'M'; or an answer.
Who speaks as FLUSH says nothing else either, and gets an answer. DIRECT is for a door without a queue, and refused by
every other.
A file in drop/ holds the client's bytes for one message. Both ends are here.
"""

from qmailpy.wire import envelope

MAGIC = b"qmailpy-door-1\n"
ONE_MESSAGE, RESIDENT = b"1", b"r"  # who speaks: qp is its pid / a serial of the door
LIST = b"l"  # who only wants a list of his messages in the queue; also the letter of the frame that stands for it
DIRECT = b"d"  # one message, as ONE_MESSAGE, which must leave at once or be refused: no door with a queue takes it
FLUSH = b"q"  # who only wants that his messages are tried now; likewise
PIECE_LIMIT = 65536  # bytes of a frame's content
ENVELOPE_LIMIT = 64 << 20  # bytes; two million addresses of usual length
DEFAULT_BYTES = 1 << 30  # bytes of a message where control/queuebytes says nothing
IDLE = 120.0  # seconds of silence after which the server hangs up
KEEP_ALIVE = 30.0  # seconds after which a client that has nothing to say sends an empty frame
SERIALS = 1 << 22  # a qp above this is a serial of the door: no pid is as large
BUSY, SPEECH = 71, 74  # exit codes: the door has no place now; the client does not speak this protocol
_TEXT_LIMIT = envelope.CUSTOM_TEXT_LIMIT
_HEAD = 5  # bytes before a frame's content
_ANSWER_HEAD = 11


class DoorError(Exception):
    """The peer does not speak this protocol."""


class Refusal(Exception):
    """This message will not be taken.  code: exit code of qmail-queue; text: as in Answer."""

    def __init__(self, code: int, text: bytes) -> None:
        """text: without NUL."""
        super().__init__(text)
        self.code, self.text = code, text


def too_large() -> Refusal:
    """What a message over control/queuebytes is told."""
    return Refusal(envelope.CUSTOM_TEXT_EXIT, b"Dmessage larger than control/queuebytes allows (#5.3.4)")


def greeting(speaker: bytes) -> bytes:
    """The first bytes of a connection.  speaker: ONE_MESSAGE, RESIDENT, LIST, FLUSH or DIRECT."""
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
        text = self.text[:_TEXT_LIMIT]
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


class List:
    """The text that who speaks as LIST gets."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        """text: lines, each with its LF."""
        self.text = text

    def encode(self) -> bytes:
        """The server's bytes."""
        return frames(b"m", self.text) + frame(b"M")


def decode_list(received: bytes) -> "List | Answer | None":
    """What the server says to LIST, once all of it has come; None before.  Errors: DoorError."""
    if received[:1] not in b"mM":
        decoded = decode_answer(received)
        return None if decoded is None else decoded[0]
    pieces: list[bytes] = []
    at = 0
    while len(received) >= at + _HEAD:
        letter, start = received[at : at + 1], at + _HEAD
        at = start + int.from_bytes(received[at + 1 : start], "big")
        if letter == b"M" and at == start:
            return List(b"".join(pieces))
        if letter != b"m" or at > start + PIECE_LIMIT:
            raise DoorError("malformed frame")
        pieces.append(received[start:at])
    return None


class FrameReader:
    """The server's ear: greeting, then frames, in whatever pieces they come.

    Frames are taken out one at a time: a stranger's 13,000 empty frames must not become as many objects.
    """

    __slots__ = ("_at", "_rest", "_speakers", "speaker")

    def __init__(self, *, direct: bool = False) -> None:
        """Nothing heard yet.  direct: whether this server hands messages on at once."""
        self._speakers = (ONE_MESSAGE, RESIDENT, LIST, FLUSH, *([DIRECT] if direct else []))
        self._rest = b""
        self._at = 0  # what of it has been taken out
        self.speaker = b""

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return len(self._rest)

    @property
    def is_between(self) -> bool:
        """Whether everything heard has been taken out."""
        return self._at == len(self._rest)

    def feed(self, piece: bytes) -> None:
        """More bytes."""
        self._rest = self._rest[self._at :] + piece
        self._at = 0

    def forget(self) -> None:
        """Hold no longer what has been taken out."""
        if self._at:
            self._rest = self._rest[self._at :]
            self._at = 0

    def next(self) -> tuple[bytes, bytes] | None:
        """The next frame, as (letter, content); None if it is not complete.  Errors: DoorError."""
        if not self.speaker and not self._hear_greeting():
            return None
        if self.speaker in (LIST, FLUSH):
            return self.speaker, b""
        start = self._at + _HEAD
        if len(self._rest) < start:
            return None
        letter = self._rest[self._at : self._at + 1]
        length = int.from_bytes(self._rest[self._at + 1 : start], "big")
        if letter not in b"mMeE" or length > PIECE_LIMIT or (letter in b"ME" and length):
            raise DoorError("malformed frame")
        if len(self._rest) < start + length:
            return None
        self._at = start + length
        return letter, self._rest[start : self._at]

    def _hear_greeting(self) -> bool:
        length = len(MAGIC) + 1
        if not (MAGIC.startswith(self._rest) or self._rest.startswith(MAGIC)):
            raise DoorError("not a client of this version of the door")
        if len(self._rest) < length:
            return False
        speaker = self._rest[len(MAGIC) : length]
        if speaker not in self._speakers:
            raise DoorError("unknown speaker")
        self.speaker, self._at = speaker, length
        return True


class Incoming:
    """One message as its frames tell it: all of its content, then its envelope.  limit: bytes, 0 for none."""

    __slots__ = ("_envelope", "_heard", "_limit", "_whole", "done", "size")

    def __init__(self, limit: int) -> None:
        """Nothing heard yet."""
        self._limit = limit
        self._envelope = envelope.Reader()
        self._heard = 0  # bytes of envelope, those that are ignored too
        self._whole = False  # the content has ended
        self.size = 0  # bytes of content so far
        self.done = False

    def take(self, letter: bytes, content: bytes) -> bytes:
        """What this frame adds to the message's content.  Errors: DoorError; Refusal."""
        if (letter in b"mM") == self._whole:
            raise DoorError("frames out of order")
        if letter == b"m":
            self.size += len(content)
            if 0 < self._limit < self.size:
                raise too_large()
            return content
        if letter == b"M":
            self._whole = True
        elif letter == b"e":
            self._hear(content)
        else:
            self._refuse_if_cut_off()
            self.done = True
        return b""

    @property
    def envelope_size(self) -> int:
        """Bytes of envelope that are held."""
        return self._envelope.size

    def records(self) -> bytearray:
        """The envelope's records, once done; to be asked for once."""
        return self._envelope.give()

    def _hear(self, content: bytes) -> None:
        self._heard += len(content)
        if self._heard > ENVELOPE_LIMIT:
            raise Refusal(envelope.CUSTOM_TEXT_EXIT, b"Denvelope larger than 64 MB (#5.5.3)")
        try:
            self._envelope.feed(content)
        except envelope.EnvelopeError as error:
            raise Refusal(error.code, error.text) from None

    def _refuse_if_cut_off(self) -> None:
        if not self._envelope.done:
            error = envelope.EnvelopeError(envelope.CUT_OFF_EXIT)
            raise Refusal(error.code, error.text)
