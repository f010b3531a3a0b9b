"""What a delivery tells of itself while it goes on: the part of `trace:` lines that only it knows (rules/trace).

It goes to qmail-rspawn beside the answer (remote/worker), from there to qmail-send in the report's own notation
(wire/delivery.TRACE), and qmail-send writes the line, with the message, by=qmail-remote and the delivery. So no program
that speaks with the world holds the log, and what it says is about its own delivery whatever it says. Where qmail-send
or qmail-rspawn is somebody else's, or qmail-remote is executed, nobody hears it: reaches is False. What cannot be
taken at once is lost: no delivery waits for its story.
"""

from qmailpy.rules import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Story:
    """Of one delivery.

    is_on: whether it is to be told (control/trace); reaches: whether anybody can hear it, if it is said all the same.
    """

    __slots__ = ("_hear", "is_on", "reaches")

    def __init__(self, hear: "Callable[[bytes], None] | None" = None, *, is_on: bool = False) -> None:
        """hear(text): told each event, in the notation of rules/trace; None: nobody is there."""
        self._hear = hear
        self.reaches = hear is not None
        self.is_on = is_on and self.reaches

    def tell(self, event: str, **fields: bytes | int) -> None:
        """One event.  Ask is_on first: telling costs something.  fields: in their order; nothing secret."""
        if self._hear is not None:
            self._hear(trace.encode({"by": b"qmail-remote", "event": event.encode("ascii"), **fields}))


UNTOLD = Story()  # of a delivery that nobody follows
