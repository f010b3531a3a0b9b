"""Mail exchangers: in which order they are tried, and when trying them would be a loop (RFC 5321 5.1, RFC 7505).

What the DNS said comes in, a list of addresses goes out; looking things up is remote/lookup's.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Choose = Callable[[int], int]  # any of 0..n-1, each as likely
    IsOwn = Callable[[bytes], bool]

LIMIT = 50  # exchangers of one host that are looked up: a DNS answer has room for thousands (spec/11 1.8)
ADDRESSES = 50  # that are tried in one delivery: each may cost timeoutconnect, and there could be 50 times thousands
MOST_OF_ONE = 16  # addresses of one family that are tried of one exchanger
NULL = b"."  # as the only exchanger: no mail here


class Exchanger:
    """One MX record.  preference: lower is better; name: without its last dot, or NULL."""

    __slots__ = ("name", "preference")

    def __init__(self, preference: int, name: bytes) -> None:
        """preference: 0..65535."""
        self.preference, self.name = preference, name

    def __repr__(self) -> str:
        """For a test that fails."""
        return f"Exchanger({self.preference}, {self.name!r})"


class Address:
    """One address that may be tried.  preference: of its exchanger; ip: canonical text (rules/literal); name: whose."""

    __slots__ = ("ip", "name", "preference")

    def __init__(self, preference: int, ip: bytes, name: bytes = b"") -> None:
        """preference: 0..65535; name: of the exchanger or relay; its address where it has no name."""
        self.preference, self.ip, self.name = preference, ip, name or ip

    def __repr__(self) -> str:
        """For a test that fails."""
        return f"Address({self.preference}, {self.ip!r})"


def is_null(exchangers: list[Exchanger]) -> bool:
    """Whether the host says that it takes no mail: one MX, its name empty (RFC 7505 3)."""
    return len(exchangers) == 1 and exchangers[0].name == NULL


def in_order(exchangers: list[Exchanger], choose: "Choose") -> list[Exchanger]:
    """By preference, at random among equals; at most LIMIT, none of them NULL."""
    left = [exchanger for exchanger in exchangers if exchanger.name != NULL]
    for at in range(len(left) - 1, 0, -1):
        other = choose(at + 1)
        left[at], left[other] = left[other], left[at]
    left.sort(key=lambda exchanger: exchanger.preference)  # stable: equals stay as they were shuffled
    return left[:LIMIT]


def family_of(ip: bytes) -> int:
    """4 or 6."""
    return 6 if b":" in ip else 4


def nearest_own(addresses: list[Address], is_own: "IsOwn") -> int:
    """The best preference of an exchanger that is ourselves; worse than any where none is."""
    return min((address.preference for address in addresses if is_own(address.ip)), default=1 << 16)


def usable(addresses: list[Address], is_own: "IsOwn", family: int = 0) -> list[Address]:
    """Those that are better than the best one which is ourselves, without repetitions, and not more than is sensible.

    Mail goes only to hosts that are nearer to its destination than we are, or it would come back.  At most MOST_OF_ONE
    of each family of an exchanger, at most ADDRESSES: who lists thousands must not keep a delivery busy for a day.
    family: 4 or 6 for IPv4 or IPv6 alone; else both.
    """
    nearest = nearest_own(addresses, is_own)
    seen = set()
    found = []
    count: dict[tuple[int, bytes, int], int] = {}
    for address in addresses:
        if address.preference < nearest and address.ip not in seen and family in (0, family_of(address.ip)):
            seen.add(address.ip)
            kind = (address.preference, address.name, family_of(address.ip))
            count[kind] = count.get(kind, 0) + 1
            if count[kind] <= MOST_OF_ONE:
                found.append(address)
    return found[:ADDRESSES]


def together(addresses: list[Address]) -> list[list[Address]]:
    """The addresses of each exchanger, in the order in which they stand."""
    groups: list[list[Address]] = []
    for address in addresses:
        if groups and (groups[-1][0].preference, groups[-1][0].name) == (address.preference, address.name):
            groups[-1].append(address)
        else:
            groups.append([address])
    return groups
