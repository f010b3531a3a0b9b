"""An address as people write it in an alias or a .forward: a word, quotes, a name before <...>, (comments).

Pure; a line is read once, from left to right. Used by rules/aliasvalue.
"""

from qmailpy.wire.envelope import LONGEST

BLANKS = b" \t"
CONTROL = bytes((*range(32), 127))
_SIMPLE = bytes(byte for byte in range(33, 256) if byte != 127 and byte not in b'"(),:;<>@[\\]|') + b"@"
_NO_QUOTE = b"a quote is not closed on its line"


class BadValueError(Exception):
    """A line that does not say what it means.  reason: a clause."""

    def __init__(self, reason: bytes) -> None:
        """reason: one line."""
        super().__init__(reason)
        self.reason = reason


def quoted(line: bytes, at: int) -> tuple[bytes, int]:
    """What stands in quotes, without its backslashes, and where it ends.  line[at] is the first quote."""
    end = line.find(b'"', at + 1)
    if end >= 0 and b"\\" not in line[at:end]:
        return line[at + 1 : end], end + 1
    found = bytearray()
    at += 1
    while at < len(line):
        byte = line[at]
        if byte == 0x22:
            return bytes(found), at + 1
        if byte == 0x5C and at + 1 < len(line):
            at += 1
            byte = line[at]
        found.append(byte)
        at += 1
    raise BadValueError(_NO_QUOTE)


def address(line: bytes, at: int) -> tuple[bytes, int]:
    """An address as headers have it, comments and a name before <...> left out; its quotes are undone."""
    end = at
    while end < len(line) and line[end] in _SIMPLE:
        end += 1
    if end == len(line) or line[end] in b",":  # nearly all: a word
        return _checked(line[at:end]), end
    return _Reader(line, at).read()


class _Reader:
    """An address with blanks, quotes, comments or brackets in it."""

    __slots__ = ("_at", "_gap", "_line", "_word")

    def __init__(self, line: bytes, at: int) -> None:
        """at: its first byte."""
        self._line, self._at = line, at
        self._word = bytearray()  # what was read of the address
        self._gap = False  # blanks were passed since

    def read(self) -> tuple[bytes, int]:
        """The address, and where it ends."""
        line = self._line
        phrase = False
        while self._at < len(line):
            byte = line[self._at]
            if byte == 0x2C or (byte == 0x23 and self._gap):
                break
            if byte in BLANKS:
                self._gap = True
                self._at += 1
            elif byte == 0x28:
                self._skip_comment()
            elif byte == 0x3C:
                return self._bracketed()
            elif byte in b":;>)":
                raise BadValueError(b"%c does not belong here" % byte)
            else:
                phrase = phrase or self._is_apart(byte)
                self._take(byte)
        if phrase:
            raise BadValueError(b"a blank in an address: is a comma missing?")
        return _checked(bytes(self._word)), self._at

    def _is_apart(self, byte: int) -> bool:
        """Whether a blank separates this from a word before it; around @ and dots it does not."""
        return self._gap and bool(self._word) and byte not in b"@." and self._word[-1] not in b"@."

    def _take(self, byte: int) -> None:
        self._gap = False
        if byte == 0x22:
            content, self._at = quoted(self._line, self._at)
            self._word += content
            return
        if byte == 0x5C:
            self._at += 1
            if self._at == len(self._line):
                raise BadValueError(b"nothing follows the backslash")
        self._word.append(self._line[self._at])
        self._at += 1

    def _skip_comment(self) -> None:
        depth = 0
        self._gap = True
        while self._at < len(self._line):
            byte = self._line[self._at]
            self._at += 2 if byte == 0x5C else 1
            depth += (byte == 0x28) - (byte == 0x29)
            if depth == 0:
                return
        raise BadValueError(b"a parenthesis is not closed on its line")

    def _bracketed(self) -> tuple[bytes, int]:
        self._word.clear()
        self._at += 1
        while self._at < len(self._line):
            byte = self._line[self._at]
            if byte == 0x3E:
                return _checked(bytes(self._word)), self._behind_bracket()
            if byte in BLANKS:
                self._at += 1
            else:
                self._take(byte)
        raise BadValueError(b"an angle bracket is not closed on its line")

    def _behind_bracket(self) -> int:
        self._at += 1
        while self._at < len(self._line):
            byte = self._line[self._at]
            if byte == 0x28:
                self._skip_comment()
            elif byte in BLANKS:
                self._at += 1
            elif byte in b",#":
                break
            else:
                raise BadValueError(b"a comma is missing after an address")
        return self._at


def _checked(address: bytes) -> bytes:
    box, at, host = address.rpartition(b"@")
    if not (box if at else host) or (at and not host):
        raise BadValueError(b"an address is not whole")
    if address.translate(None, CONTROL) != address:
        raise BadValueError(b"a control byte stands in an address")
    if len(address) > LONGEST:
        raise BadValueError(b"an address is too long")
    return address
