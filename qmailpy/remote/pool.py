"""Warm connections: one that has taken a message may take the next, without a connect, TLS and a login.

Only where the very same would be made anew: address, port, what its route asks for, our name. At most MOST of them
wait, each AWHILE after its message; none takes more than MESSAGES or lives longer than LIFETIME: servers count both.
A server that has hung up, or said anything, while we were silent is not used again; one that hangs up when the next
message begins costs a new connection, and no message (wire/smtp.Client.is_stale). One pool a worker; its deliveries
share it.
"""

import asyncio

from qmailpy.rules.routes import Route
from qmailpy.system import clock
from qmailpy.wire import smtp
from qmailpy.wire.smtp_offers import Standing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.system.net import Stream
    from qmailpy.system.tls import TlsStream

    Face = Stream | TlsStream
    Key = tuple[object, ...]

MOST = 100
MESSAGES = 100
LIFETIME = 300.0  # seconds
AWHILE = 1.0  # seconds; the next message for a host that has more of them comes within milliseconds
CROWDED = 0.05  # seconds, while others of ours speak there: a server may let them in one after the other


def key_of(ip: bytes, name: bytes, route: Route, source: bytes, helo: bytes) -> "Key":
    """Connections of equal key are interchangeable.  source: our address, or empty; helo: our name."""
    return (ip, name, source, helo, route.port, route.tls, route.named, route.fingerprint, route.login, route.anyhow)


class Line:
    """A connection, new or warm.  standing: of its last dialogue, None before the first."""

    __slots__ = ("born", "closing", "face", "key", "messages", "standing")

    def __init__(self, key: "Key", face: "Face") -> None:
        """face: connected."""
        self.key, self.face = key, face
        self.standing: Standing | None = None
        self.born, self.messages = clock.monotonic(), 0
        self.closing: asyncio.TimerHandle | None = None


class Pool:
    """The lines that wait for a message."""

    def __init__(self) -> None:
        """None yet."""
        self._waiting: dict[Key, list[Line]] = {}
        self._count = 0
        self._busy: dict[Key, int] = {}

    def begins(self, line: Line) -> None:
        """A dialogue on this line; ends() is to follow."""
        self._busy[line.key] = self._busy.get(line.key, 0) + 1

    def ends(self, line: Line) -> None:
        """It is over."""
        self._busy[line.key] -= 1
        if not self._busy[line.key]:
            del self._busy[line.key]

    def take(self, key: "Key") -> Line | None:
        """One that is still good, the youngest first; it is the caller's from now on."""
        while (waiting := self._waiting.get(key)) is not None:
            line = waiting[-1]
            self._remove(line)
            if line.face.is_quiet():
                return line
            line.face.close()
        return None

    def keep(self, line: Line) -> None:
        """It has taken a message, and its standing is set: perhaps it takes another one."""
        line.messages += 1
        age = clock.monotonic() - line.born
        if self._count >= MOST or line.messages >= MESSAGES or age >= LIFETIME or not line.face.is_quiet():
            line.face.close(smtp.QUIT)
            return
        self._waiting.setdefault(line.key, []).append(line)
        self._count += 1
        awhile = CROWDED if line.key in self._busy else AWHILE
        line.closing = asyncio.get_running_loop().call_later(awhile, self._close, line)

    def close(self) -> None:
        """All of them: nobody will need them."""
        for line in [line for waiting in self._waiting.values() for line in waiting]:
            self._close(line)

    def _close(self, line: Line) -> None:
        self._remove(line)
        line.face.close(smtp.QUIT)

    def _remove(self, line: Line) -> None:
        waiting = self._waiting[line.key]
        waiting.remove(line)
        self._count -= 1
        if not waiting:
            del self._waiting[line.key]
        if line.closing is not None:
            line.closing.cancel()
            line.closing = None
