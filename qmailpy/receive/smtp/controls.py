"""What the control files say about SMTP sessions: read once, before a session or for all of them, never during one.

Each switch is a file of one line (man/qmail-control.5). A listener reads them anew on HUP.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.disk.queue.room import room_of
from qmailpy.receive import logins
from qmailpy.receive.policy import controls as policy
from qmailpy.wire.envelope import MOST_RECIPIENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 1200  # seconds
ERRORS = 100  # commands of one session that mean nothing here: a client that goes on is none, or is probing
MOST_HELD = 64 << 20  # bytes of the recipients of all sessions of a process, from where on each has only FEW_HELD
FEW_HELD = 64 << 10
RATE = 100  # bytes a second, at least, of a message: a modem of 1984 had more
_LONGEST = 1 << 24  # seconds, half a year: a time-out beyond this is none


class Controls:
    """What the files say, with qmail's defaults.

    greeting: None where neither smtpgreeting nor me is there; databytes, errors, rate: 0 for any; delay: seconds before
    the greeting; senders: login -> what it may use, None where there is no such file; proxies, relays: addresses and
    networks; traces: whether the log says more; policy: of receive/policy; logins: of receive/logins. held: not of a
    file: bytes of the recipients of all sessions that share this.
    """

    __slots__ = (
        "_own",
        "_room",
        "chunking",
        "databytes",
        "delay",
        "dsn",
        "errors",
        "greeting",
        "held",
        "home",
        "idhost",
        "localiphost",
        "logins",
        "policy",
        "proxies",
        "rate",
        "recipients",
        "relays",
        "senders",
        "status",
        "timeout",
        "traces",
        "utf8",
        "wishes",
    )

    def __init__(self, home: Home, command: "Sequence[bytes]" = ()) -> None:
        """command: that checks passwords, if one was named.  Errors: Die TEMP for a file that cannot be read."""
        self.home = home
        me = control.line(home, "me")
        self.greeting = _line(control.line(home, "smtpgreeting"), me)
        self.localiphost = _line(control.line(home, "localiphost"), me)
        self.idhost = _line(control.line(home, "idhost"), me) or b"idhost"
        self.timeout = min(max(control.integer(home, "timeoutsmtpd", TIMEOUT), 1), _LONGEST)
        self.databytes = control.integer(home, "databytes", 0)
        self.recipients = min(max(control.integer(home, "smtprecipients", MOST_RECIPIENTS), 1), MOST_RECIPIENTS)
        self.errors = control.integer(home, "smtperrors", ERRORS)
        self.rate = control.integer(home, "smtprate", RATE)
        self.delay = min(control.integer(home, "smtpdelay", 0), _LONGEST)
        self.chunking = control.integer(home, "smtpchunking", 1) > 0
        self.dsn = control.integer(home, "smtpdsn", 1) > 0
        self.utf8 = control.integer(home, "smtputf8", 1) > 0
        self.status = control.integer(home, "smtpstatus", 0) > 0
        self.traces = control.integer(home, "trace", 0) > 0
        self.wishes = (b"RET", b"ENVID") * self.dsn + (b"SMTPUTF8",) * self.utf8  # words of MAIL that are kept
        self.proxies = control.listing(home, "smtpproxies") or []
        self.relays = control.listing(home, "smtpxclients") or []
        self._room = room_of(home)
        self.senders = control.colon_map(home, "submissionsenders")
        self.policy = policy.read(home)
        self.logins = logins.read(home, command)
        self._own: frozenset[bytes] | None = None
        self.held = 0

    def is_own(self, address: bytes) -> bool:
        """Whether this IPv4 address (canonical) is one of this machine's; asked of the kernel when one first counts."""
        if self._own is None:
            from qmailpy.system import names

            self._own = frozenset((b"0.0.0.0", *(each.encode() for each in names.own_addresses())))
        return address in self._own

    def may_hold(self, own: int) -> bool:
        """Whether a session may have one more recipient.  own: bytes that it has of them."""
        return self.held < MOST_HELD or own < FEW_HELD

    def has_room(self, size: int) -> bool:
        """Whether the queue's disk can take so many bytes more; in doubt yes."""
        return self._room.has(size)


def _line(own: bytes | None, me: bytes | None) -> bytes | None:
    return me if own is None else own
