"""What the deliveries of one process share: settings, resolver, the way out, the table of time-outs.

One object per process and event loop, made by qmail-remote for its one delivery and by the worker for thousands.
Tests put other things in its places.
"""

import posix

from qmailpy.disk import secret
from qmailpy.disk import tcpto as table
from qmailpy.disk.home import Home
from qmailpy.remote.controls import Controls
from qmailpy.remote.tokens import Tokens
from qmailpy.rules import literal, smtpauth, tcpto
from qmailpy.system import clock, identity, net, process
from qmailpy.verdict import TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from qmailpy.remote.pool import Pool
    from qmailpy.system.dns import Resolver
    from qmailpy.system.tls import Tls
    from qmailpy.wire.sasl import Credentials

    Connect = Callable[[bytes, int, float, bytes], Awaitable[net.Stream]]


class Equipment:
    """controls, own_test() -> test, choose(n), login(name), resolver(), tls(), and two of system/net.

    tokens: of logins; connect(address, port, patience, source); source_for(address): ours that the kernel would use;
    pool: of warm connections, where there will be another delivery; else None.
    """

    def __init__(self, home: Home) -> None:
        """home: whose control files and lock/tcpto."""
        self.home = home
        self.controls = Controls(home)
        self.connect: Connect = net.connect
        self.source_for: Callable[[bytes], bytes | None] = net.source_for
        self.own_test: Callable[[], Callable[[bytes], bool]] = net.own_test
        self.choose: Callable[[int], int] = choose
        self.login: Callable[[bytes], Credentials] = self._login
        self.pool: Pool | None = None
        self.tokens = Tokens()
        self._resolver: Resolver | None = None
        self._tls: Tls | None = None

    def resolver(self) -> "Resolver":
        """The resolver; the first call loads dnspython, 45 ms that a delivery to digits does without."""
        if self._resolver is None:
            from qmailpy.system.dns import Resolver

            self._resolver = Resolver(process.environment())
        return self._resolver

    def use_resolver(self, resolver: "Resolver") -> None:
        """Take this one."""
        self._resolver = resolver

    def tls(self) -> "Tls":
        """What makes connections secret; the first call loads ssl, which mail in clear does without."""
        if self._tls is None:
            from qmailpy.system.tls import Tls

            self._tls = Tls()
        return self._tls

    def _login(self, name: bytes) -> "Credentials":
        """The login of this name in control/smtpauth, read anew each time.  Errors: Die TEMP, with a clause."""
        text = secret.read(self.home.control(b"smtpauth"), self.home.roles.uid["qmailr"])
        if text is None:
            raise Die(TEMP, b"there is no such file")
        try:
            return smtpauth.find(text, name)
        except smtpauth.BadLogin as bad:
            raise Die(TEMP, bad.reason) from None

    # the tables of time-outs

    def is_dead(self, ip: bytes, longest: int = 0) -> bool:
        """Whether this address timed out so often, so lately, that it is left alone.  longest: seconds, 0: an hour."""
        packed = literal.pack(ip)
        content = table.look(self.home, len(packed))
        return tcpto.is_dead(content, packed, clock.now(), identity.my_pid(), longest)

    def remember_answer(self, ip: bytes) -> None:
        """It answered, be it with a refusal."""
        packed = literal.pack(ip)
        if tcpto.knows(table.look(self.home, len(packed)), packed):
            table.amend(self.home, lambda content: tcpto.answered(content, packed), len(packed))

    def remember_timeout(self, ip: bytes) -> None:
        """It did not answer."""
        packed, now = literal.pack(ip), clock.now()
        table.amend(self.home, lambda content: tcpto.timed_out(content, packed, now), len(packed))


def choose(count: int) -> int:
    """Any of 0..count-1, each as likely (but for one part in 2**64)."""
    return int.from_bytes(_random(8), "big") % count


def nonce() -> bytes:
    """A printable word that was never used before."""
    return _random(18).hex().encode("ascii")


def _random(size: int) -> bytes:
    return posix.urandom(size)
