"""Loop detection: has this message been delivered to this address before?  (spec/05-local.md 3)

Pure, and bounded: a header line of any length costs no more memory than the line that is looked for.
"""


class HeaderSearch:
    """Looks for one line in a header that comes in pieces.  found: it is there; done: no more is needed."""

    __slots__ = ("_carry", "_line", "done", "found")

    def __init__(self, line: bytes) -> None:
        """line: with its LF, without another one."""
        self._line = line
        self._carry = b""  # the last line while it is not complete, as much of it as can still be equal
        self.done = self.found = False

    def feed(self, piece: bytes) -> None:
        """More of the message, from its first byte on."""
        if self.done:
            return
        if b"\n" not in piece:  # gigabytes of one line go by at the speed of memory
            self._carry = (self._carry + piece[: len(self._line) + 1])[: len(self._line) + 1]
            return
        text = b"\n" + self._carry + piece
        end = text.find(b"\n\n")
        self.done = end >= 0
        complete = text[: end + 1] if self.done else text[: text.rfind(b"\n") + 1]
        if b"\n" + self._line in complete:
            self.found = self.done = True
        self._carry = text[len(complete) : len(complete) + len(self._line) + 1]
