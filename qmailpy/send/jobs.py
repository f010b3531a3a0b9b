"""A job: a message on one channel, from the opening of its file to the last report (spec/04 2).

And what those who have jobs need of others, who stand above them.
"""

from qmailpy.disk.queue.recipients import Recipients
from qmailpy.disk.queue.wishes import Asked
from qmailpy.rules.delivery_status import Outcome
from qmailpy.wire.parameters import MessageParameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Orders(Protocol):
        """What an administrator has ordered (send/ordering)."""

        def __contains__(self, number: int) -> bool:
            """Whether nothing of this message may be begun."""

        def catch(self, number: int, channel: int) -> bool:
            """Whether this message, which would wait on this channel now, is kept there."""

        def forget(self, number: int) -> None:
            """It has come to its end."""

    class Unprepared(Protocol):
        """A message that is to be tried straight from todo/ (send/straight)."""

        number: int
        recipient: bytes

    class Straights(Protocol):
        """All of these."""

        def start(self, waiting: Unprepared, now: int) -> None:
            """There is a slot for it."""

        def keep(self, number: int) -> None:
            """Let it be one like every other."""


FAILED_RETRY = 123  # seconds after which what the disk or a neighbour refused is tried again


class Job:
    """One message on one channel.

    birth, retry: seconds since the epoch; whole: every record has been read; undone: records read and not done;
    running: deliveries under way; parameters: of the message, None where it has none; wishes: of its recipients, while
    they are read; only: the domain that this pass is for, empty for all; passed: of undone, recipients that were not
    tried; blocked: domains of such that had no room (send/lanes); succeeded, late: what the sender is to be told of;
    is_told: he was told that it is late; pending: a record that was read and waits for room; tried: offsets of the
    recipients that were, None where that is not known; is_reread: all was read before, and counted.
    """

    __slots__ = (
        "again",
        "birth",
        "blocked",
        "dying",
        "is_reread",
        "is_told",
        "late",
        "number",
        "only",
        "parameters",
        "passed",
        "pending",
        "reader",
        "retry",
        "running",
        "sender",
        "succeeded",
        "tried",
        "undone",
        "whole",
        "wishes",
    )

    def __init__(self, number: int, sender: bytes, birth: int, retry: int, *, dying: bool, again: bool) -> None:
        """dying: too old for another attempt after this one; again: this is not its first."""
        self.number, self.sender, self.birth, self.retry = number, sender, birth, retry
        self.dying, self.again = dying, again
        self.parameters: MessageParameters | None = None
        self.reader: Recipients | None = None
        self.wishes: Asked | None = None
        self.whole = self.is_told = self.is_reread = False
        self.tried: set[int] | None = None
        self.undone = self.running = self.passed = 0
        self.only = b""
        self.pending: tuple[bool, int, bytes] | None = None
        self.blocked: set[bytes] = set()
        self.succeeded: list[Outcome] = []
        self.late: list[Outcome] = []

    @classmethod
    def of_one(cls, number: int, sender: bytes, birth: int, retry: int, *, dying: bool) -> "Job":
        """The job of a message with one recipient, at offset 0, whose first delivery is under way."""
        job = cls(number, sender, birth, retry, dying=dying, again=False)
        job.whole = True
        job.undone = job.running = 1
        return job

    def skip(self, offset: int) -> None:
        """The recipient at this offset is done; wishes are read in step with recipients.  Errors: Trouble."""
        if self.wishes is not None:
            self.wishes.of(offset)

    def pass_over(self, offset: int, domain: bytes = b"") -> None:
        """The recipient at this offset is not tried now.  domain: which has no room; empty for not this pass's.

        Errors: Trouble.
        """
        self.skip(offset)
        if not self.is_reread:
            self.undone += 1
            self.passed += 1
        if domain:
            self.blocked.add(domain)

    def begin(self, offset: int) -> None:
        """The recipient at this offset is tried."""
        if self.is_reread:
            self.passed -= 1
        else:
            self.undone += 1
        self.running += 1
        if self.tried is not None:
            self.tried.add(offset)

    def is_for_others(self, offset: int, domain: bytes) -> bool:
        """Whether this pass is not for this recipient, of this domain: or it has been tried just before."""
        return self.only != b"" and (domain != self.only or (self.tried is not None and offset in self.tried))

    def close(self) -> None:
        """No further recipient will be read."""
        if self.reader is not None:
            self.reader.close()
        self.reader = self.wishes = None
