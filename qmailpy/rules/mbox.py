"""A message as an mbox keeps it: lines that look like the beginning of the next message get a '>'.

Pure, and for messages of any size: what is kept between two pieces has at most four bytes, however long a line is.
A line of any number of '>' and then "From " gets one '>' more; nobody can see where in the row the new one was put.
Source: spec/00-common.md 6, spec/05-local.md 5.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FROM = b"From "


class Quoter:
    """Takes a message in pieces of any size."""

    __slots__ = ("_in_front", "_kept", "_last")

    def __init__(self) -> None:
        """At the beginning of a line."""
        self._in_front = True  # whether this line has nothing but '>' so far, or nothing
        self._kept = b""  # after that, what may be the beginning of "From "
        self._last = b"\n"

    def feed(self, piece: bytes) -> bytes:
        """What to write now.  piece: not empty."""
        text = self._kept + piece
        self._last = text[-1:]
        start = text.rfind(b"\n") + 1
        in_front, self._kept = self._in_front, b""
        if start or in_front:  # the last line's front is in this text, all of it or the rest of it
            word = text[start:].lstrip(b">")
            self._in_front = len(word) < len(_FROM) and _FROM.startswith(word)
            if self._in_front and word:
                self._kept = word
                text = text[: -len(word)]
        return _insert(text, in_front=in_front)

    def end(self) -> bytes:
        """The rest, and the LF of a last line that has none."""
        return self._kept if self._last == b"\n" else self._kept + b"\n"


def _insert(text: bytes, *, in_front: bool) -> bytes:
    """in_front: whether text begins in the front of a line.  Looks at each line once."""
    done = []
    at = taken = 0
    while (found := text.find(_FROM, at)) >= 0:
        start = text.rfind(b"\n", at, found) + 1 or at
        if (start > at or at > 0 or in_front) and not text[start:found].strip(b">"):
            done.append(text[taken:found])
            taken = found
        at = text.find(b"\n", found) + 1
        if at == 0:
            break
    return b">".join((*done, text[taken:])) if done else text


def message(envelope_line: bytes, head: bytes, pieces: "Iterable[bytes]") -> "Iterator[bytes]":
    """All bytes of the new message in the mbox, its empty line at the end included.

    envelope_line: the From_ line; head: lines before the message; pieces: of the message as it came, none empty.
    """
    begun = envelope_line + head
    quoter = Quoter()
    for piece in pieces:
        yield begun + quoter.feed(piece)
        begun = b""
    yield begun + quoter.end() + b"\n"
