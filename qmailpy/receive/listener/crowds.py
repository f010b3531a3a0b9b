"""How many connections one address, and one network, may have at once.  Bookkeeping only.

The limits are control files; rules may set $MAXCONNIP and $MAXCONNC for whom they fit, as patched tcpservers read them.
0 is no limit. What is counted here is one process; several workers add up by shared counters (counting).
The last quarter of all places is a reserve for those who have few: there a network that has more connections than a
quarter of what is left gets no further one. So a few networks that take all they can never take everything. A limit
that rules have set for a network, or none, is what the administrator wants: no reserve counts.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.receive.listener.connection import network_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Room = tuple[int, int]  # places that are taken, places in all

PER_ADDRESS, PER_NETWORK = 50, 200  # where no control file says otherwise: a big sender has 20 to 50 to one host
_LONGEST = 9  # digits
_PARTS = 4  # the last of so many is the reserve; and a network's share of what is left there
_WORTH = 20  # places, of which on a reserve is kept


class Crowds:
    """All connections, by address and by network."""

    def __init__(self, per_address: int, per_network: int) -> None:
        """The limits; 0 for none."""
        self._limits = per_address, per_network
        self._counts: dict[bytes, int] = {}

    def enter(self, ip: bytes) -> None:
        """One more, whether it may stay or not; it is counted until leave()."""
        for key in (ip, b"/" + network_of(ip)):
            self._counts[key] = self._counts.get(key, 0) + 1

    def leave(self, ip: bytes) -> None:
        """One fewer."""
        for key in (ip, b"/" + network_of(ip)):
            left = self._counts[key] - 1
            if left:
                self._counts[key] = left
            else:
                del self._counts[key]

    def refusal(self, ip: bytes, environment: "Mapping[bytes, bytes]", room: "Room") -> bytes | None:
        """Why the connection that has just entered must go, as a clause; None: it may stay."""
        counts = (lambda: self._counts.get(ip, 0), lambda: self._counts.get(b"/" + network_of(ip), 0))
        return refusal(self._limits, ip, environment, counts, room)


def limits(home: Home) -> tuple[int, int]:
    """What the control files say: for an address, for a network.  Errors: Die TEMP."""
    per_address = control.integer(home, "connectionsaddress", PER_ADDRESS)
    return per_address, control.integer(home, "connectionsnetwork", PER_NETWORK)


def refusal(
    most: tuple[int, int],
    ip: bytes,
    environment: "Mapping[bytes, bytes]",
    counts: "tuple[Callable[[], int], Callable[[], int]]",
    room: "Room",
) -> bytes | None:
    """Why this connection must go, as a clause; None: it may stay.

    most: of an address, of a network; counts: connections of its address, of its network, this one too.
    """
    per_address = _limit(environment.get(b"MAXCONNIP"), most[0])
    if per_address and counts[0]() > per_address:
        return ip + b" has %d connections already" % per_address
    per_network = _limit(environment.get(b"MAXCONNC"), most[1])
    if not per_network:
        return None
    of_network = counts[1]()
    if of_network > per_network:
        return b"the network of " + ip + b" has %d connections already" % per_network
    if b"MAXCONNC" not in environment and of_network > _share(room) + 1:
        return b"the network of " + ip + b" has %d connections, and few places are left" % (of_network - 1)
    return None


def _share(room: "Room") -> int:
    """How many connections a network may have and get another one: a part of what is left, in the reserve."""
    taken, places = room
    left = places - taken
    return places if places < _WORTH or left * _PARTS >= places else max(left, 0) // _PARTS


def _limit(variable: bytes | None, usual: int) -> int:
    if variable is None or not variable.isdigit() or len(variable) > _LONGEST:
        return usual
    return int(variable)
