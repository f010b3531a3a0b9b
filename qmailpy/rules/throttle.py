"""How often a password may be tried: nobody guesses for long, and nobody is locked out because others guess.

Each failure fills a bucket of the client's network and one of the login; both leak. A full one of a network: nothing
is checked for it until it has leaked. A full one of a login (many machines guess one name): its passwords are checked
one at a time with a pause between, except from a network where this login was right before. Memory is bounded: who was
not heard of for longest is forgotten first. Pure bookkeeping; used by qmail-authd.
"""

NETWORK_MOST, NETWORK_LEAK = 20.0, 1 / 30  # failures; of them a second
BEGUN = 0.25  # of a failure: a login that takes two steps and was begun
LOGIN_MOST, LOGIN_LEAK = 50.0, 1 / 30
PAUSE = 3.0  # seconds between two checks of a login that many guess
LONGEST_HOLD = 10  # seconds for which a refusal is held back, one more with each failure
REMEMBERED = 10_000  # of each kind
KNOWN_FOR = 30 * 86400.0  # seconds for which a network is known to be a login's
_IPV6_NETWORK = 4  # groups of an IPv6 address that one customer has

NETWORK, LOGIN = b"network", b"login"  # why nothing is checked


def network(address: bytes) -> bytes:
    """What shares one bucket: an IPv4 address, or the first half of an IPv6 one."""
    if b":" not in address:
        return address
    if address.lower().startswith(b"::ffff:") and b"." in address:
        return address.rpartition(b":")[2]
    before, double, after = address.lower().partition(b"::")
    groups = [group for group in before.split(b":") if group]
    if double:
        tail = [group for group in after.split(b":") if group]
        groups += [b"0"] * max(0, 8 - len(groups) - len(tail)) + tail
    return b":".join(group.lstrip(b"0") or b"0" for group in groups[:_IPV6_NETWORK]) + b"::"


class _Memory:
    """Numbers by name; the name that was not set for longest goes when there are too many."""

    __slots__ = ("_most", "_values")

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[bytes, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: bytes) -> tuple[float, float] | None:
        return self._values.get(name)

    def set(self, name: bytes, value: tuple[float, float]) -> None:
        self._values.pop(name, None)
        self._values[name] = value
        if len(self._values) > self._most:
            del self._values[next(iter(self._values))]


class Throttle:
    """What is remembered of clients and logins."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        """Nobody has tried anything."""
        self._networks, self._logins = _Memory(remembered), _Memory(remembered)  # (failures, when that was counted)
        self._checked, self._known = _Memory(remembered), _Memory(remembered)  # (when, 0)

    @property
    def size(self) -> int:
        """Things that are remembered."""
        return sum(len(each) for each in (self._networks, self._logins, self._checked, self._known))

    def refuses(self, address: bytes, login: bytes, now: float) -> bytes | None:
        """Why this is not checked now, NETWORK or LOGIN; None: it may be, and counts as begun.

        now: seconds on a clock that nobody sets back.
        """
        where, login = network(address), login.lower()
        if _level(self._networks.get(where), now, NETWORK_LEAK) >= NETWORK_MOST:
            return NETWORK
        if _level(self._logins.get(login), now, LOGIN_LEAK) < LOGIN_MOST:
            return None
        known = self._known.get(_pair(where, login))
        if known is not None and now < known[0] + KNOWN_FOR:
            return None
        last = self._checked.get(login)
        if last is not None and now < last[0] + PAUSE:
            return LOGIN
        self._checked.set(login, (now, 0.0))
        return None

    def failed(self, address: bytes, login: bytes, now: float) -> int:
        """A password was wrong.  Result: seconds for which the refusal should be held back."""
        where, login = network(address), login.lower()
        failures = _level(self._networks.get(where), now, NETWORK_LEAK) + 1
        self._networks.set(where, (failures, now))
        self._logins.set(login, (_level(self._logins.get(login), now, LOGIN_LEAK) + 1, now))
        return min(-int(-failures // 1), LONGEST_HOLD)

    def begun(self, address: bytes, now: float) -> None:
        """The first of two steps was done: who never comes to the second makes work, too."""
        where = network(address)
        self._networks.set(where, (_level(self._networks.get(where), now, NETWORK_LEAK) + BEGUN, now))

    def finished(self, address: bytes, now: float) -> None:
        """And the second."""
        where = network(address)
        self._networks.set(where, (max(0.0, _level(self._networks.get(where), now, NETWORK_LEAK) - BEGUN), now))

    def succeeded(self, address: bytes, login: bytes, now: float) -> None:
        """A password was right."""
        self._known.set(_pair(network(address), login.lower()), (now, 0.0))


def _pair(where: bytes, login: bytes) -> bytes:
    return where + b" " + login


def _level(bucket: tuple[float, float] | None, now: float, leak: float) -> float:
    return 0.0 if bucket is None else max(0.0, bucket[0] - (now - bucket[1]) * leak)
