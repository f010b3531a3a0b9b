"""The control files of qmail-remote, read anew when they have changed: the worker lives for long, a stat is cheap."""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import literal
from qmailpy.system import clock

NAMES = (
    "me",
    "helohost",
    "smtproutes",
    "senderroutes",
    "timeoutconnect",
    "timeoutremote",
    "outgoingip",
    "classicgreeting",
)
CONNECT, REMOTE = 60, 1200  # seconds; defaults
_TICK = 100_000_000  # nanoseconds; 10 ms is the longest that is in use
_LONGEST = 1 << 24  # seconds, half a year: a time-out beyond this is none


class Settings:
    """What the files say.  timeouts: seconds >= 1; routes, by_sender: see rules/routes.

    sources: see remote/connecting; tries_others: who turns us away before MAIL is not the last one that is asked.
    """

    __slots__ = ("by_sender", "helohost", "routes", "sources", "timeoutconnect", "timeoutremote", "tries_others")

    def __init__(
        self,
        helohost: bytes,
        routes: dict[bytes, bytes],
        by_sender: dict[bytes, bytes],
        timeoutconnect: int,
        timeoutremote: int,
        sources: list[bytes],
        *,
        tries_others: bool,
    ) -> None:
        """helohost, sources: may be anything that an administrator can write."""
        self.helohost, self.routes, self.by_sender = helohost, routes, by_sender
        self.timeoutconnect, self.timeoutremote = timeoutconnect, timeoutremote
        self.tries_others = tries_others
        self.sources = [literal.ipv4(word) or literal.ipv6(word) or word for word in sources]


class Controls:
    """Remembers the settings and the files they came from."""

    def __init__(self, home: Home) -> None:
        """Nothing is read yet."""
        self._home = home
        self._signature: list[tuple[int, ...]] = []
        self._settings: Settings | None = None

    def settings(self) -> Settings | None:
        """The settings as of now; None without helohost and me.  Errors: Die TEMP for a file that cannot be read."""
        signature = [_signature(self._home.control(name.encode())) for name in NAMES]
        if signature != self._signature:
            self._signature = []
            self._settings = _read(self._home)
            if _is_settled(signature):
                self._signature = signature
        return self._settings


def _is_settled(signature: list[tuple[int, ...]]) -> bool:
    """Whether the files are older than the kernel's clock tick: a change within one would look the same."""
    newest = max((one[-1] for one in signature if one), default=0)
    return newest + _TICK < clock.now_ns()


def _signature(path: bytes) -> tuple[int, ...]:
    try:
        status = posix.stat(path)
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)  # ctime last


def _read(home: Home) -> Settings | None:
    helohost = control.line_or_me(home, "helohost")
    if helohost is None:
        return None
    return Settings(
        helohost,
        control.colon_map(home, "smtproutes") or {},
        control.colon_map(home, "senderroutes") or {},
        _seconds(home, "timeoutconnect", CONNECT),
        _seconds(home, "timeoutremote", REMOTE),
        control.listing(home, "outgoingip") or [],
        tries_others=not control.integer(home, "classicgreeting", 0),
    )


def _seconds(home: Home, name: str, default: int) -> int:
    return min(max(control.integer(home, name, default), 1), _LONGEST)
