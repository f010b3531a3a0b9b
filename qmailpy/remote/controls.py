"""The control files of qmail-remote, read anew when they have changed: the worker lives for long.

What is known is looked at again after FRESH: with a thousand deliveries a second the stats would cost a tenth of all.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import literal, overheard
from qmailpy.rules.routes import NO_ROUTE, Route, deciding, parse
from qmailpy.system import clock

NAMES = (
    "me",
    "helohost",
    "smtproutes",
    "senderroutes",
    "timeoutconnect",
    "timeoutremote",
    "outgoingfamily",
    "outgoingip",
    "classicgreeting",
    "transcript",
)
CONNECT, REMOTE = 60, 1200  # seconds; defaults
FRESH = 0.01  # seconds: nobody who changes a file can tell whether the delivery of that moment came before it
_TICK = 100_000_000  # nanoseconds; 10 ms is the longest that is in use
_LONGEST = 1 << 24  # seconds, half a year: a time-out beyond this is none


class Settings:
    """What the files say.  timeouts: seconds >= 1; routes, by_sender: see rules/routes.

    sources: see remote/connecting; tries_others: who turns us away before MAIL is not the last one that is asked;
    family: 4 or 6, of addresses that may be called, or 0; transcript: whose dialogues are shown, see rules/overheard.
    """

    __slots__ = (
        *(
            "_parsed",
            "by_sender",
            "family",
            "helohost",
            "routes",
            "sources",
            "timeoutconnect",
            "timeoutremote",
            "transcript",
        ),
        "tries_others",
    )

    def __init__(
        self,
        helohost: bytes,
        routes: dict[bytes, bytes],
        by_sender: dict[bytes, bytes],
        timeoutconnect: int,
        timeoutremote: int,
        sources: list[bytes],
        *,
        family: int,
        tries_others: bool,
        transcript: list[bytes],
    ) -> None:
        """helohost, sources: may be anything that an administrator can write."""
        self.helohost, self.routes, self.by_sender = helohost, routes, by_sender
        self.timeoutconnect, self.timeoutremote = timeoutconnect, timeoutremote
        self.family = family
        self.tries_others, self.transcript = tries_others, overheard.wanted(transcript)
        self.sources = [literal.ipv4(word) or literal.ipv6(word) or word for word in sources]
        self._parsed: dict[bytes, Route] = {}

    def deciding(self, host: bytes, sender: bytes) -> tuple[bool, bytes] | None:
        """Which line of which file, as rules/routes has it; a name in another script also as the DNS has it."""
        return deciding(host, self.routes, sender, self.by_sender, spelled(host))

    def route(self, host: bytes, sender: bytes) -> Route:
        """As find_route() of rules/routes, for whom no line is parsed twice.  Errors: BadRoute."""
        found = self.deciding(host, sender)
        if found is None:
            return NO_ROUTE
        is_senders, key = found
        value = (self.by_sender if is_senders else self.routes)[key]
        if value not in self._parsed:
            self._parsed[value] = parse(value)
        return self._parsed[value]


class Controls:
    """Remembers the settings and the files they came from."""

    def __init__(self, home: Home) -> None:
        """Nothing is read yet."""
        self._home = home
        self._signature: list[tuple[int, ...]] = []
        self._settings: Settings | None = None
        self._look_again = 0.0  # on the monotonic clock

    def settings(self) -> Settings | None:
        """The settings as of now; None without helohost and me.  Errors: Die TEMP for a file that cannot be read."""
        if clock.monotonic() >= self._look_again:
            self._look()
            self._look_again = clock.monotonic() + FRESH
        return self._settings

    def _look(self) -> None:
        signature = [_signature(self._home.control(name.encode())) for name in NAMES]
        if signature != self._signature:
            self._signature = []
            self._settings = _read(self._home)
            if _is_settled(signature):
                self._signature = signature


def spelled(host: bytes) -> bytes:
    """How the DNS has a host's name, where that is not how it is written (IDNA); empty elsewhere, or if it is none."""
    if host.isascii():
        return b""
    from qmailpy.system import dns

    return dns.spelled(host)


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
        family=family if (family := control.integer(home, "outgoingfamily", 0)) in (4, 6) else 0,
        tries_others=not control.integer(home, "classicgreeting", 0),
        transcript=control.listing(home, "transcript") or [],
    )


def _seconds(home: Home, name: str, default: int) -> int:
    return min(max(control.integer(home, name, default), 1), _LONGEST)
