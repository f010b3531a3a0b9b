"""A submitted message completed on its way: fields that are missing are put at the end of its header (RFC 6409 8).

Nothing is kept but the beginning of one line, however long the header is. Used by receive/smtp.
"""

from qmailpy.rules.header import name_of

_HELD = 998  # bytes of a line that may still come: a name is not longer (RFC 5322 2.1.1)


class Completer:
    """A message in pieces, its lines ending LF."""

    __slots__ = ("_done", "_fields", "_first", "_held", "_inside")

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        """fields: name in lower case -> the whole field with its LF, in the order in which they are to stand."""
        self._fields = dict(fields)  # those that have not been seen
        self._held = b""
        self._first = True  # no line has been seen
        self._inside = False  # the rest of a line whose beginning has gone out
        self._done = False  # the header has ended

    def feed(self, piece: bytes) -> bytes:
        """What goes on now."""
        if self._done:
            return piece
        text, self._held = self._held + piece, b""
        pieces: list[bytes] = []
        at = 0
        while at < len(text):
            end = text.find(b"\n", at) + 1
            line = text[at:end] if end else text[at:]
            if not end and not self._inside and len(line) < _HELD:
                self._held = line
                break
            if not self._inside and not self._is_of_header(line):
                self._done = True
                pieces += (self._missing(), b"" if line == b"\n" else b"\n", text[at:])
                break
            pieces.append(line)
            self._inside = not end
            at += len(line)
        return b"".join(pieces)

    def finish(self) -> bytes:
        """At the end of the message: what is still missing."""
        rest = self.feed(b"\n") if self._held or self._inside else b""
        if self._done:
            return rest
        self._done = True
        return rest + self._missing()

    def _is_of_header(self, line: bytes) -> bool:
        first, self._first = self._first, False
        if line.startswith((b" ", b"\t")) and not first:
            return True
        name = name_of(line)
        self._fields.pop(name, None)
        return name != b""

    def _missing(self) -> bytes:
        return b"".join(self._fields.values())
