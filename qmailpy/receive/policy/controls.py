"""What the policy's control files say, read once: before a session, or for all sessions of a listener until HUP.

Never changed afterwards, but for the few recipients that were found to exist just now.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import plugins
from qmailpy.rules.patterns import Patterns

REFUSE, LATER = 550, 450  # what control/recipientcheck may say; 0, or anything else: do not ask
_FRESH = 10.0  # seconds that a recipient which was there counts as being there
_MOST = 1000  # recipients that are remembered
_EMPTY = Patterns(())


class Controls:
    """As above.

    rcpthosts: in lower case, None where there is no such file; more: there is a morercpthosts.cdb, and it counts;
    dnsbl: the lines; plugins: commands by moment; recipientcheck: REFUSE, LATER or 0.
    """

    __slots__ = (
        *("_known", "badhelo", "badmailfrom", "badrcptto", "dnsbl"),
        *("more", "plugins", "rcpthosts", "recipientcheck"),
    )

    def __init__(self) -> None:
        """Nothing is said: everything is taken, and nobody is asked."""
        self.rcpthosts: frozenset[bytes] | None = None
        self.more = False
        self.badmailfrom = self.badrcptto = self.badhelo = _EMPTY
        self.dnsbl: list[bytes] = []
        self.plugins: dict[bytes, tuple[bytes, ...]] = {}
        self.recipientcheck = 0
        self._known: dict[bytes, float] = {}

    def remember(self, recipient: bytes, now: float) -> None:
        """This one exists."""
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[recipient] = now + _FRESH

    def is_known(self, recipient: bytes, now: float) -> bool:
        """Whether this one was there a moment ago."""
        return self._known.get(recipient, 0.0) > now


def read(home: Home) -> Controls:
    """The control files as they are now.  Errors: Die TEMP for one that cannot be read."""
    controls = Controls()
    hosts = control.listing(home, "rcpthosts")
    if hosts is not None:
        controls.rcpthosts = frozenset(host.lower() for host in hosts)
        controls.more = _exists(home.control(b"morercpthosts.cdb"))
    controls.badmailfrom = Patterns(control.listing(home, "badmailfrom") or ())
    controls.badrcptto = Patterns(control.listing(home, "badrcptto") or ())
    controls.badhelo = Patterns(control.listing(home, "badhelo") or ())
    controls.dnsbl = control.listing(home, "dnsbl") or []
    controls.plugins = plugins.sections(control.listing(home, "smtpplugins") or [])
    wanted = control.integer(home, "recipientcheck", REFUSE)
    controls.recipientcheck = wanted if wanted in (REFUSE, LATER) else 0
    return controls


def _exists(path: bytes) -> bool:
    try:
        posix.stat(path)
    except FileNotFoundError:
        return False
    except OSError:  # whoever asks it will say so
        return True
    return True
