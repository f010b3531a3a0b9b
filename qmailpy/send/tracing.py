"""The `trace:` lines of qmail-send's log: its own, and what the other daemons tell of a message (PIC/decisions/trace).

Every organ that has the log has this too, and asks `on` first: an event costs nothing while control/trace is off. What
others tell came through their own pipes and is said by us: read, put in order, and written anew; who they are, which
message and which delivery it is about are our words, so that nobody can speak for another.
"""

import posix

from qmailpy.rules import rewrite, trace
from qmailpy.system import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from qmailpy.disk.queue.claiming import Claim
    from qmailpy.rules.rewrite import Domains
    from qmailpy.system.loop import Loop
    from qmailpy.wire.delivery import Report

MINE = b"qmail-send"
TELLERS = (b"qmail-lspawn", b"qmail-rspawn")  # indexed by channel
DOOR = b"qmail-queued"
DIALOGUE = b"dialogue"  # one line of what qmail-remote and a peer say
_BY = (b"qmail-local", b"qmail-remote")  # for whom their spawners may speak
_ROUTES = 1000  # recipients of one message whose ways are told: a list has a hundred thousand
_OURS = ("msg", "by", "event", "delivery")


class Tracing:
    """on: whether any of it is wanted; written(number): when mess/N was written, in nanoseconds, 0 where it is gone.

    tellers: of local, remote and door, who can tell of a message.
    """

    __slots__ = ("_say", "on", "tellers", "written")

    def __init__(self, say: "Callable[[bytes], None]") -> None:
        """say(line): the log's.  Off until somebody says otherwise."""
        self._say = say
        self.on = False
        self.tellers: frozenset[bytes] = frozenset()
        self.written: Callable[[int], int] = _unknown

    def meet(self, tellers: "Collection[bytes]", loop: "Loop", door: int) -> None:
        """Who can tell, before there are deliveries.  door: the descriptor where the door's words come, if it can."""
        self.tellers = frozenset(tellers)
        if b"door" in self.tellers:
            _Door(loop, door, self)

    def tell(self, number: int, event: bytes, **fields: bytes | int) -> None:
        """An event of our own.  number: the message's."""
        self._line(trace.key(number, self.written(number)), MINE, event, fields)

    def new(self, number: int, claim: "Claim", domains: "Domains") -> None:
        """A message was taken from todo/, and where each of its recipients goes."""
        self.tell(
            number,
            b"new",
            qp=claim.qp,
            uid=claim.uid,
            bytes=claim.size,
            sender=claim.sender,
            recipients=len(claim.recipients),
        )
        for recipient in claim.recipients[:_ROUTES]:
            channel, address = rewrite.route(recipient, domains)
            rule = rewrite.rule(recipient, domains)
            name = b"remote" if channel else b"local"
            self.tell(number, b"route", recipient=recipient, channel=name, address=address, rule=rule)

    def hear(self, number: int, delivery: int, channel: int, report: "Report") -> None:
        """A spawner tells of a delivery of this message; a dialogue has a switch of its own (control/transcript)."""
        fields = trace.decode(report.text) or {"event": b"unreadable"}
        if not self.on and fields.get("event") != DIALOGUE:
            return
        by = fields.get("by", b"")
        self._line(
            trace.key(number, self.written(number)),
            by if by == _BY[channel] else TELLERS[channel],
            fields.get("event", b"unreadable"),
            {"delivery": delivery, **_theirs(fields)},
        )

    def hear_door(self, text: bytes) -> None:
        """The door tells of a message that it has taken, or refused: that one has no number."""
        fields = trace.decode(text)
        if fields is None:
            return
        key = fields.get("msg", b"")
        self._line(key if trace.split_key(key) else b"-", DOOR, fields.get("event", b"unreadable"), _theirs(fields))

    def _line(self, key: bytes, by: bytes, event: bytes, fields: "dict[str, bytes | int]") -> None:
        self._say(trace.line({"msg": key, "by": by, "event": event, **fields}))


class _Door:
    """The pipe on which the door tells; it may end at any time, and nothing else does."""

    _LONGEST = 65536  # bytes of a line: far more than there are

    def __init__(self, loop: "Loop", descriptor: int, tracing: Tracing) -> None:
        """descriptor: the read end, ours alone."""
        self._loop, self._descriptor, self._tracing = loop, descriptor, tracing
        self._rest = b""
        posix.set_blocking(descriptor, False)
        loop.on_read(descriptor, self._hear)

    def _hear(self) -> None:
        try:
            piece = posix.read(self._descriptor, descriptors.READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._loop.forget(self._descriptor)
            return
        *texts, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[: self._LONGEST]
        if self._tracing.on:
            for text in texts:
                self._tracing.hear_door(text)


def _theirs(fields: dict[str, bytes]) -> "dict[str, bytes | int]":
    return {name: value for name, value in fields.items() if name not in _OURS}


def _unknown(_number: int) -> int:
    return 0
