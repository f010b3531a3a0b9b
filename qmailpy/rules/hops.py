"""How often a message has been on its way already: fields in its header that every hop leaves (spec/06 5)."""

MOST = 100  # so many are a loop
_BEGINNINGS = (b"\nreceived", b"\ndelivered")  # in any case, and without a look at what follows
_LONGEST = 10  # bytes of a beginning


class HopCounter:
    """Counts in a message that comes in pieces, its lines ending LF; the body is not looked at."""

    __slots__ = ("_carry", "_done", "count")

    def __init__(self) -> None:
        """At the first byte of the message."""
        self.count = 0
        self._done = False  # the header has ended
        self._carry = b"\n"  # the beginning of a line that has not ended, and the LF before it

    def feed(self, piece: bytes) -> None:
        """More of it."""
        if self._done:
            return
        text = self._carry + piece
        end = text.find(b"\n\n")
        self._done = end >= 0
        cut = end if self._done else text.rfind(b"\n")
        complete = text[:cut].lower()
        self.count += sum(complete.count(beginning) for beginning in _BEGINNINGS)
        self._carry = text[cut : cut + _LONGEST]
