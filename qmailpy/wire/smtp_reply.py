"""Replies of an SMTP server: bytes in, whole replies out (RFC 5321 4.2).

A reply line is three digits, the first 2 to 5, then '-' if more lines follow. Lines end LF; CRs are dropped. What is
kept for the report is bounded, and so is what is read at all: a server may send what it likes, for as long as it
likes. Used by wire/smtp.
"""

TEXT_LIMIT = 5000  # bytes of a reply that are kept (spec/06 1, "said")
LIMIT = 65536  # bytes of one reply; a server that says more will never come to its end
_FIRST = b"2345"


class ReplyError(Exception):
    """What the server sends is no reply, or has no end.  text: what it said, as in Reply."""

    def __init__(self, text: bytes) -> None:
        """text: at most TEXT_LIMIT bytes."""
        super().__init__(text)
        self.text = text


class Reply:
    """One reply.  code: 200..599; text: all its lines, each with LF, without CR, NUL as '?', at most TEXT_LIMIT."""

    __slots__ = ("code", "text")

    def __init__(self, code: int, text: bytes) -> None:
        """As the server said it."""
        self.code, self.text = code, text


class ReplyReader:
    """Takes bytes in pieces of any size."""

    __slots__ = ("_code", "_rest", "_seen", "_size", "_text")

    def __init__(self) -> None:
        """Nothing heard yet."""
        self._rest = bytearray()  # what was not read yet
        self._seen = 0  # bytes of it that are known to hold no LF
        self._code = 0  # of the reply that has begun
        self._text = b""
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether something was heard that has not been given out."""
        return bool(self._rest or self._size)

    def feed(self, piece: bytes) -> None:
        """More bytes of the server's.  Who has said more than a reply's bytes unasked is not heard any further."""
        if len(self._rest) <= LIMIT:
            self._rest += piece

    def next(self) -> Reply | None:
        """The next reply, once it is complete.  Errors: ReplyError."""
        while (end := self._rest.find(b"\n", self._seen)) >= 0:
            line = bytes(self._rest[: end + 1])
            del self._rest[: end + 1]
            self._seen = 0
            reply = self._take(line)
            if reply is not None:
                return reply
        self._seen = len(self._rest)
        if self._size + self._seen > LIMIT:
            self._keep(bytes(self._rest))
            raise ReplyError(self._text)
        return None

    def _take(self, line: bytes) -> Reply | None:
        self._size += len(line)
        self._keep(line)
        if self._size > LIMIT:
            raise ReplyError(self._text)
        line = line.rstrip(b"\r\n")
        code = self._code_of(line)
        if line[3:4] == b"-":
            self._code = code
            return None
        reply = Reply(code, self._text)
        self._code, self._text, self._size = 0, b"", 0
        return reply

    def _code_of(self, line: bytes) -> int:
        """The reply's code, which its first line says; a later line must at least mean the same class."""
        digits = line[:3]
        if len(digits) < 3 or digits.strip(b"0123456789") or digits[0] not in _FIRST or line[3:4].isdigit():
            raise ReplyError(self._text)
        code = int(digits)
        if self._code and code // 100 != self._code // 100:
            raise ReplyError(self._text)
        return self._code or code

    def _keep(self, line: bytes) -> None:
        room = TEXT_LIMIT - len(self._text)
        if room > 0:
            self._text += line.replace(b"\r", b"").replace(b"\0", b"?")[:room]
