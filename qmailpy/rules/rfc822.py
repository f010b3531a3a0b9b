"""Address lists of a header: taken apart into tokens, parsed from right to left, written again.

A token is bytes: its kind in the first byte, its text in the rest; a special character is a token by itself. One
field costs time and memory proportional to its length, however hostile: no recursion, no second look at a byte.
Used by inject/ (and by whoever must read a list of addresses); the completion of an address is rules/complete.py.
Source: spec/07-inject.md 5 and 6.
"""

from qmailpy.rules.quote import flat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Complete = Callable[[list[bytes]], list[bytes]]

ATOM, QUOTED, LITERAL, COMMENT = b"a", b"q", b"l", b"c"  # kinds: the first byte of a token that has a text
SPECIALS = b".,@<>:;"
LINE = 78  # bytes of a line without its LF; a list is folded before it gets longer

_COMMENT, _FIRST_KIND = COMMENT[0], ATOM[0]  # every special is less than the first kind
_WORDS = ATOM + QUOTED + LITERAL
_PHRASE = ATOM + QUOTED + COMMENT + b"@."
_BLANKS = b" \t\r\n"
_ENDS_ATOM = _BLANKS + b'(["' + SPECIALS + b"\\"  # a backslash does not end it but must be looked at
_UNLIKE_ATOM = bytes(range(32)) + b")]\x7f"  # an atom with one of these is written as a quoted string
_BREAKS = bytes(0x20 if byte in _ENDS_ATOM else 0x61 for byte in range(256))
_PARENTHESES = bytes(0x20 if byte in b"()\\" else 0x61 for byte in range(256))
_ESCAPED = b'\\"[]()'  # the backslash first, or it would double the others'
_HARMFUL = _ESCAPED + b"\r\n"
_AROUND = {QUOTED[0]: (b'"', b'"'), LITERAL[0]: (b"[", b"]"), COMMENT[0]: (b"(", b")")}


class ParseError(Exception):
    """The bytes are not an address list."""


def weight(text: bytes) -> int:
    """How much work a text is: tokens are at most twice as many, an address with a name has about ten."""
    return text.translate(_BREAKS).count(b" ")


def lex(text: bytes) -> list[bytes]:
    """The tokens of a field's value, or of one address.

    Bytes of 128 and more are letters (RFC 6532). Errors: ParseError for a construct without its end, a closing
    bracket where a token should begin, and a NUL, which no envelope can carry.
    """
    if b"\0" in text:
        raise ParseError
    tokens: list[bytes] = []
    breaks = text.translate(_BREAKS)
    at, size = 0, len(text)
    while at < size:
        byte = text[at]
        if byte in _BLANKS:
            at += 1
        elif byte in SPECIALS:
            tokens.append(text[at : at + 1])
            at += 1
        elif byte == 0x22:
            at = _enclosed(text, at + 1, b'"', QUOTED, tokens)
        elif byte == 0x5B:
            at = _enclosed(text, at + 1, b"]", LITERAL, tokens)
        elif byte == 0x28:
            at = _comment(text, at, tokens)
        elif byte in b")]":
            raise ParseError
        else:
            at = _atom(text, breaks, at, tokens)
    return tokens


def _atom(text: bytes, breaks: bytes, at: int, tokens: list[bytes]) -> int:
    pieces: list[bytes] = []
    while True:
        end = breaks.find(b" ", at)
        if end < 0:
            end = len(text)
        pieces.append(text[at:end])
        if text[end : end + 1] != b"\\":
            break
        if end + 1 == len(text):
            raise ParseError
        pieces.append(text[end + 1 : end + 2])
        at = end + 2
    atom = b"".join(pieces)
    # what was escaped would mean something else without its backslash
    plain = len(pieces) == 1 and len(atom.translate(None, _UNLIKE_ATOM)) == len(atom)
    tokens.append((ATOM if plain else QUOTED) + atom)
    return end


def _enclosed(text: bytes, at: int, closing: bytes, kind: bytes, tokens: list[bytes]) -> int:
    pieces = [kind]
    end = text.find(closing, at)
    while end >= 0:
        escape = text.find(b"\\", at, end)
        if escape < 0:
            pieces.append(text[at:end])
            tokens.append(b"".join(pieces))
            return end + 1
        pieces += text[at:escape], text[escape + 1 : escape + 2]
        at = escape + 2
        if at > end:  # what looked like the end was escaped
            end = text.find(closing, at)
    raise ParseError


def _comment(text: bytes, opening: int, tokens: list[bytes]) -> int:
    end = opening
    depth = 0
    # how far it goes is found first: a field of many comments must not be translated once for each of them
    while True:
        byte = text[end]
        if byte == 0x28:
            depth += 1
        elif byte == 0x29:
            depth -= 1
        elif byte == 0x5C:
            end += 1
        end += 1
        if depth == 0:
            break
        if end >= len(text):
            raise ParseError
    inner = text[opening:end]
    if b"\\" not in inner:
        tokens.append(COMMENT + inner.translate(None, b"()"))
        return end
    pieces = [COMMENT]
    marks = inner.translate(_PARENTHESES)
    at = 0
    while (mark := marks.find(b" ", at)) >= 0:
        pieces.append(inner[at:mark])
        at = mark + 1
        if inner[mark] == 0x5C:
            pieces.append(inner[at : at + 1])
            at += 1
    tokens.append(b"".join(pieces))
    return end


def text_of(address: list[bytes]) -> bytes:
    """An address as the envelope holds it: without quotes, backslashes and comments.  address: its tokens."""
    return b"".join(
        [
            token if token[0] < _FIRST_KIND else b"[" + token[1:] + b"]" if token[0] == LITERAL[0] else token[1:]
            for token in address
            if token[0] != _COMMENT
        ]
    )


def _escaped(text: bytes) -> bytes:
    text = flat(text)
    for byte in _ESCAPED:
        text = text.replace(b"%c" % byte, b"\\%c" % byte)
    return text


def _joined(tokens: list[bytes]) -> bytes:
    """Tokens in their order as text, with a space where one must be or where it reads better."""
    pieces: list[bytes] = []
    after_text = after_mark = False
    for token in tokens:
        kind = token[0]
        if kind < _FIRST_KIND:
            if after_mark or (kind == 0x3C and pieces):  # <
                pieces.append(b" ")
            pieces.append(token)
            after_text, after_mark = False, kind in b",:"
            continue
        if after_text or after_mark:
            pieces.append(b" ")
        text = token[1:]
        if len(text.translate(None, _HARMFUL)) != len(text):
            text = _escaped(text)
        if kind == ATOM[0]:
            pieces.append(text)
        else:
            before, after = _AROUND[kind]
            pieces += before, text, after
        after_text, after_mark = True, False
    return b"".join(pieces)


class AddressList:
    """A parsed list.

    addresses: as the envelope holds them, from right to left, an empty one (<>) included; pieces: the rewritten text
    from right to left, each piece but the first ending in a comma.
    """

    __slots__ = ("_address", "_complete", "_out", "addresses", "pieces")

    def __init__(self, tokens: list[bytes], complete: "Complete") -> None:
        """Parse, and complete every address.  tokens: of lex(), used up.  Errors: ParseError."""
        self.addresses: list[bytes] = []
        self.pieces: list[bytes] = []
        self._complete = complete
        self._address: list[bytes] = []  # of the address being collected, from right to left
        self._out: list[bytes] = []  # of the piece being written, from right to left
        self._parse(tokens)
        self._end_piece()

    def field(self, name: bytes) -> bytes:
        """The list as a header field with its LF, folded.  name: without the colon."""
        lines = []
        line = name + b":"
        first = len(self.pieces) - 1
        for at in range(first, -1, -1):
            piece = self.pieces[at]
            if at == first or len(line) + 1 + len(piece) <= LINE:
                line += b" " + piece
            else:
                lines.append(line)
                line = b"  " + piece
        lines.append(line + b"\n")
        return b"\n".join(lines)

    def _parse(self, tokens: list[bytes]) -> None:
        in_group, word_expected = False, True
        while tokens:
            token = tokens.pop()
            kind = token[0]
            if kind in _WORDS:
                if not word_expected:
                    self._end_address()
                    self._emit(b",")
                word_expected = False
                self._address.append(token)
            elif kind == _COMMENT:  # goes after the address it is in or before
                self._emit(token)
            elif token == b",":
                self._end_address()
                self._emit(token)
                word_expected = True
            elif token == b">":
                if not word_expected or self._address:
                    self._end_address()
                    self._emit(b",")
                self._angle(tokens)
                word_expected = False
            elif token == b";":
                self._end_address()
                if in_group:
                    raise ParseError
                self._emit(token)
                in_group = word_expected = True
            elif token == b":":
                self._end_address()
                if not in_group:
                    raise ParseError
                self._emit(token)
                self._group_name(tokens)
                in_group, word_expected = False, True
            else:  # an at sign, a dot, a stray <
                word_expected = True
                self._address.append(token)
        self._end_address()

    def _angle(self, tokens: list[bytes]) -> None:
        self._emit(b">")
        while tokens and tokens[-1] != b"<":
            self._address.append(tokens.pop())
        if not tokens:
            raise ParseError
        self._end_address(empty_too=True)
        self._emit(tokens.pop())
        while tokens and tokens[-1][0] in _PHRASE:
            self._emit(tokens.pop())

    def _group_name(self, tokens: list[bytes]) -> None:
        token = b""
        while tokens and token != b",":
            token = tokens.pop()
            self._emit(token)

    def _emit(self, token: bytes) -> None:
        if token == b",":
            self._end_piece()
        self._out.append(token)

    def _end_piece(self) -> None:
        if self._out:
            self._out.reverse()
            self.pieces.append(_joined(self._out))
            self._out = []

    def _end_address(self, *, empty_too: bool = False) -> None:
        if not self._address and not empty_too:
            return
        address = [token for token in reversed(self._address) if token[0] != _COMMENT]
        if len(address) != len(self._address):
            self._out += [token for token in self._address if token[0] == _COMMENT]
        self._address = []
        address = self._complete(address)
        self.addresses.append(text_of(address))
        self._out += reversed(address)
