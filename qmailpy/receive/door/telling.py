"""Who asks for a list of his messages, or that they be tried now: done by a thread of the pool, one such job at a time.

Both look at every message of the queue, whosever it is. So that nobody can keep the door busy with it, the door then
rests from them for several times as long as the last one took; who asks meanwhile is told to ask again. And nobody's
messages are tried again within seconds: who wishes that is told yes, and nothing is done.
"""

from qmailpy.disk.home import Home
from qmailpy.skeletons import asking, mail_list
from qmailpy.system import clock
from qmailpy.wire import door as wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.pool import Done, Job

    Say = Callable[[wire.Answer | wire.List], None]

_UNREADABLE, _SILENT = 62, 81  # exit codes of qmail-queue: trouble in the queue; and with another program
_REST = 4.0  # times as long as the last job took
_AGAIN = 10.0  # seconds in which nobody's messages are tried a second time


class Telling:
    """Whether such a job is being done, and when the next one may be."""

    def __init__(self, home: Home) -> None:
        """home: whose queue."""
        self._home = home
        self._running = False
        self._rested = 0.0  # on the monotonic clock
        self._tried: dict[int, float] = {}  # uid -> when, likewise

    def job(self, speaker: bytes, uid: int, say: "Say") -> "tuple[Job, Done]":
        """What the pool does for this uid, and what is done then: say is called.  Errors: Refusal for now.

        speaker: LIST or FLUSH.
        """
        began = clock.monotonic()
        if self._running or began < self._rested:
            raise wire.Refusal(wire.BUSY, b"others are asking about their messages")
        self._running = True
        until = began + mail_list.PATIENCE
        lines: list[bytes] = []
        self._tried = {other: when for other, when in self._tried.items() if began < when + _AGAIN}
        may_try = uid not in self._tried

        def work() -> None:
            if speaker == wire.LIST:
                lines.extend(mail_list.owned(self._home, uid, until))
            elif may_try:
                mail_list.try_now(self._home, uid, until)

        def done(error: BaseException | None) -> None:
            self._running = False
            now = clock.monotonic()
            self._rested = now + _REST * (now - began)
            if error is not None:
                say(_failed(error))
            elif speaker == wire.LIST:
                say(wire.List(b"".join(lines)))
            else:
                self._tried.setdefault(uid, began)
                say(wire.Answer(0))

        return work, done


def _failed(error: BaseException) -> wire.Answer:
    if isinstance(error, asking.Silent):
        return wire.Answer(_SILENT, 0, error.reason)
    return wire.Answer(_UNREADABLE, 0, b"unable to read the queue")
