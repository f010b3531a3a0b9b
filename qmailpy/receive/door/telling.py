"""Who asks for a list of his messages: made by a thread of the pool, one list at a time, and never most of the time.

A list looks at every message of the queue, whosever it is. So that nobody can keep the door busy with it, the door
then rests from lists for several times as long as the last one took; who asks meanwhile is told to ask again.
"""

from qmailpy.disk.home import Home
from qmailpy.skeletons import mail_list
from qmailpy.system import clock
from qmailpy.wire import door as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.pool import Done, Job

_UNREADABLE = 62  # exit code of qmail-queue: trouble in the queue
_REST = 4.0  # times as long as the last list took


class Telling:
    """Whether a list is being made, and when the next one may be."""

    def __init__(self, home: Home) -> None:
        """home: whose queue."""
        self._home = home
        self._running = False
        self._rested = 0.0  # on the monotonic clock

    def job(self, uid: int, say: "Callable[[wire.Answer | wire.List], None]") -> "tuple[Job, Done]":
        """What the pool does for this uid, and what is done then: say is called.  Errors: Refusal for now."""
        began = clock.monotonic()
        if self._running or began < self._rested:
            raise wire.Refusal(wire.BUSY, b"other lists are being made")
        self._running = True
        lines: list[bytes] = []

        def work() -> None:
            lines.extend(mail_list.owned(self._home, uid, began + mail_list.PATIENCE))

        def done(error: BaseException | None) -> None:
            self._running = False
            now = clock.monotonic()
            self._rested = now + _REST * (now - began)
            say(
                wire.List(b"".join(lines))
                if error is None
                else wire.Answer(_UNREADABLE, 0, b"unable to read the queue")
            )

        return work, done
