"""What the deliveries of one process share: settings, resolver, the way out, the table of time-outs.

One object per process and event loop, made by qmail-remote for its one delivery and by the worker for thousands.
Tests put other things in its places.
"""

import posix

from qmailpy.disk import tcpto as table
from qmailpy.disk.home import Home
from qmailpy.remote.controls import Controls
from qmailpy.rules import literal, tcpto
from qmailpy.system import clock, identity, net, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qmailpy.system.dns import Resolver

    Connect = Callable[[bytes, int, float], Awaitable[net.Stream]]


class Equipment:
    """controls, connect(address, port, patience), is_own_now() -> test, choose(n), resolver()."""

    def __init__(self, home: Home) -> None:
        """home: whose control files and lock/tcpto."""
        self.home = home
        self.controls = Controls(home)
        self.connect: Connect = net.connect
        self.own_test: Callable[[], Callable[[bytes], bool]] = net.own_test
        self.choose: Callable[[int], int] = choose
        self._resolver: Resolver | None = None

    def resolver(self) -> "Resolver":
        """The resolver; the first call loads dnspython, 45 ms that a delivery to digits does without."""
        if self._resolver is None:
            from qmailpy.system.dns import Resolver

            self._resolver = Resolver(process.environment())
        return self._resolver

    def use_resolver(self, resolver: "Resolver") -> None:
        """Take this one."""
        self._resolver = resolver

    # the table of time-outs knows IPv4 only

    def is_dead(self, ip: bytes) -> bool:
        """Whether this address timed out so often, so lately, that it is left alone."""
        if b":" in ip:
            return False
        return tcpto.is_dead(table.look(self.home), literal.pack(ip), clock.now(), identity.my_pid())

    def remember_answer(self, ip: bytes) -> None:
        """It answered, be it with a refusal."""
        packed = literal.pack(ip)
        if b":" not in ip and tcpto.knows(table.look(self.home), packed):
            table.amend(self.home, lambda content: tcpto.answered(content, packed))

    def remember_timeout(self, ip: bytes) -> None:
        """It did not answer."""
        if b":" not in ip:
            packed, now = literal.pack(ip), clock.now()
            table.amend(self.home, lambda content: tcpto.timed_out(content, packed, now))


def choose(count: int) -> int:
    """Any of 0..count-1, each as likely (but for one part in 2**64)."""
    source = posix.open(b"/dev/urandom", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return int.from_bytes(posix.read(source, 8), "big") % count
    finally:
        posix.close(source)
