"""What qmail-send says to qmail-clean: foop/N NUL or todo/N NUL; the answer is one byte (spec/03 8).  Both ends.

Answers come in the order of the commands, so that several may be under way. For anything malformed the answer is one x
and nothing is done (C also acts on the leading digits, and answers twice).
"""

MESSAGE, TODO = b"foop", b"todo"  # remove intd/N and mess/N; remove intd/N and todo/N
DONE, FAILED, MALFORMED = b"+", b"!", b"x"
_SHORTEST, _LONGEST = 7, 100  # bytes of a command with its NUL


def encode(word: bytes, number: int) -> bytes:
    """One command.  word: MESSAGE or TODO; number: a message's."""
    return b"%s/%d\0" % (word, number)


class CommandReader:
    """qmail-clean's ear: takes bytes, gives (word, number), or None for what is malformed."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        """Nothing read yet."""
        self._rest = b""

    @property
    def partial(self) -> bool:
        """Whether a command has begun that is not complete."""
        return bool(self._rest)

    def feed(self, piece: bytes) -> list[tuple[bytes, int] | None]:
        """The commands that are complete now."""
        *commands, self._rest = (self._rest + piece).split(b"\0")
        self._rest = self._rest[:_LONGEST]  # of an endless one keep what shows that it is too long
        return [_decode(command) for command in commands]


def _decode(command: bytes) -> tuple[bytes, int] | None:
    word, slash, digits = command[:4], command[4:5], command[5:]
    if word not in (MESSAGE, TODO) or slash != b"/" or not _SHORTEST <= len(command) + 1 <= _LONGEST:
        return None
    return None if digits.strip(b"0123456789") else (word, int(digits))
