"""A job: a message on one channel, from the opening of its file to the last report (spec/04 2)."""

from qmailpy.disk.queue.recipients import Recipients

FAILED_RETRY = 123  # seconds after which what the disk or a neighbour refused is tried again


class Job:
    """One message on one channel.

    birth, retry: seconds since the epoch; whole: every record has been read; undone: records read and not done;
    running: deliveries under way.
    """

    __slots__ = ("again", "birth", "dying", "number", "reader", "retry", "running", "sender", "undone", "whole")

    def __init__(self, number: int, sender: bytes, birth: int, retry: int, *, dying: bool, again: bool) -> None:
        """dying: too old for another attempt after this one; again: this is not its first."""
        self.number, self.sender, self.birth, self.retry = number, sender, birth, retry
        self.dying, self.again = dying, again
        self.reader: Recipients | None = None
        self.whole = False
        self.undone = self.running = 0

    @classmethod
    def of_one(cls, number: int, sender: bytes, birth: int, retry: int, *, dying: bool) -> "Job":
        """The job of a message with one recipient, at offset 0, whose first delivery is under way."""
        job = cls(number, sender, birth, retry, dying=dying, again=False)
        job.whole = True
        job.undone = job.running = 1
        return job
