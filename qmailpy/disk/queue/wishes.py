"""Envelope parameters of a message in S5: records of info/N behind its first NUL, where C's programs do not read on.

    F sender NUL
    p PARAMETERS NUL                                     those of the message, if it has some
    i BYTES NUL                                          how many bytes the records of local recipients have
    l OFFSET space PARAMETERS space space ADDRESS NUL    those of the recipient at this offset of local/N
    r OFFSET space PARAMETERS space space ADDRESS NUL    those of the recipient at this offset of remote/N
Recipients in the order of their files, local ones first, and only those that have some; the address is there because
the channel file has gone when the bounce is written. Nothing is ever changed in info/N, so it is read in pieces when
they are needed: a message may have 64 MB of them, and many messages are under way.
"""

import posix

from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 65536  # bytes read at once
_READ = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
_LETTERS = (b"l", b"r")  # by channel
_GAP = b"  "  # between parameters and address; parameters have single spaces
_SECOND = 1_000_000_000  # nanoseconds
TOLD = (
    1  # nanoseconds of the modification time of info/N, whose seconds are the birth: the sender knows that it is late
)


class Wishes:
    """What is to be written.  message: text; recipients: by channel, then position among its addresses -> text."""

    __slots__ = ("message", "recipients")

    def __init__(self, message: bytes, recipients: tuple[dict[int, bytes], dict[int, bytes]]) -> None:
        """Texts as in todo/N, not judged."""
        self.message, self.recipients = message, recipients

    def encode(self, addresses: tuple[list[bytes], list[bytes]]) -> bytes:
        """The records.  addresses: as stored, by channel."""
        local, remote = (
            b"".join(_encode(letter, texts, listed))
            for letter, texts, listed in zip(_LETTERS, self.recipients, addresses, strict=True)
        )
        message = b"p%s\0" % self.message if self.message else b""
        return b"".join((message, b"i%d\0" % len(local), local, remote)) if local or remote else message


def _encode(letter: bytes, texts: dict[int, bytes], addresses: list[bytes]) -> "Iterator[bytes]":
    offset = 0
    for at, address in enumerate(addresses if texts else ()):
        text = texts.get(at)
        if text and _GAP not in text:
            yield b"%s%d %s%s%s\0" % (letter, offset, text, _GAP, address)
        offset += len(address) + 2


class Wish:
    """What info/N says of one recipient.  text: the parameters."""

    __slots__ = ("address", "channel", "offset", "text")

    def __init__(self, channel: int, offset: int, text: bytes, address: bytes) -> None:
        """offset: of the recipient's record in the channel's file."""
        self.channel, self.offset, self.text, self.address = channel, offset, text, address


class Info:
    """info/N.  birth: seconds since the epoch; parameters: text of the message's, empty where it has none.

    is_told: whether the sender was told that it is late; means nothing where nobody asked for that.
    """

    __slots__ = ("_content", "_path", "_starts", "birth", "is_told", "name", "parameters", "sender")

    def __init__(self, paths: Paths, number: int) -> None:
        """Reads it: all of it, if it has nothing or little but the sender.  Errors: OSError."""
        self._path = paths.info(number)
        self.name = paths.relative(self._path)
        descriptor = posix.open(self._path, _READ)
        try:
            content = posix.read(descriptor, _PIECE)
            modified = posix.fstat(descriptor).st_mtime_ns
            self.birth, self.is_told = modified // _SECOND, modified % _SECOND == TOLD
        finally:
            posix.close(descriptor)
        sender, _, rest = content.partition(b"\0")
        self.sender, self.parameters = sender[1:], b""
        if rest[:1] == b"p":
            text, _, rest = rest[1:].partition(b"\0")
            self.parameters = text
        index, _, records = rest.partition(b"\0")
        local = _number(index[1:]) if index[:1] == b"i" else None
        self._content = b"" if local is None else content
        self._starts = (len(content) - len(records), len(content) - len(records) + (local or 0))  # by channel

    def wishes(self, channel: int | None = None) -> "Iterator[Wish]":
        """Those of the recipients, in their order; of one channel if it is given.  Errors: Trouble.

        Where a record makes no sense, nobody after it has a wish.
        """
        if not self._content:
            return
        at = self._starts[channel or 0]
        piece, whole = self._content[at:], len(self._content) < _PIECE
        rest = b""
        while True:
            if not piece and not whole:
                piece = self._read(at)
                whole = len(piece) < _PIECE
            at += len(piece)
            *records, rest = (rest + piece).split(b"\0")
            for record in records:
                wish = _decode(record)
                if wish is None or channel not in (None, wish.channel):
                    return
                yield wish
            if whole:
                return
            piece = b""

    def wishes_of(self, channel: int) -> "Asked | None":
        """Those of one channel, to be asked for recipient by recipient; None where nothing is wished for anybody."""
        return Asked(self, channel) if self._content else None

    def _read(self, at: int) -> bytes:
        try:
            descriptor = posix.open(self._path, _READ)
            try:
                return posix.pread(descriptor, _PIECE, at)
            finally:
                posix.close(descriptor)
        except OSError as error:
            raise Trouble("read later", self.name, error) from None


class Asked:
    """One channel's wishes, read in step with its recipients."""

    __slots__ = ("_next", "_wishes")

    def __init__(self, info: Info, channel: int) -> None:
        """Nothing is read yet."""
        self._wishes = info.wishes(channel)
        self._next: Wish | None = None

    def of(self, offset: int) -> bytes:
        """The text for the recipient at this offset, empty where there is none.  Errors: Trouble.

        offset: never less than in the call before.
        """
        while self._next is None or self._next.offset < offset:
            self._next = next(self._wishes, None)
            if self._next is None:
                return b""
        return self._next.text if self._next.offset == offset else b""


def _decode(record: bytes) -> Wish | None:
    letter, rest = record[:1], record[1:]
    offset, _, rest = rest.partition(b" ")
    text, gap, address = rest.partition(_GAP)
    place = _number(offset)
    if letter not in _LETTERS or not gap or place is None:
        return None
    return Wish(_LETTERS.index(letter), place, text, address)


def _number(digits: bytes) -> int | None:
    return int(digits) if 0 < len(digits) <= 18 and not digits.strip(b"0123456789") else None
