"""What the caller's environment and the control files say about a message to be injected.

Source: spec/07-inject.md 2. A variable that is set but empty counts as set.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules.complete import Domains
from qmailpy.rules.rfc822 import ParseError
from qmailpy.verdict import TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    Environment = dict[bytes, bytes]

NAMES = (b"QMAILNAME", b"MAILNAME", b"NAME")
HOSTS = (b"QMAILHOST", b"MAILHOST")
USERS = (b"QMAILUSER", b"MAILUSER", b"USER", b"LOGNAME")


class Settings:
    """All that does not come from the message or the command line."""

    __slots__ = ("domains", "followup", "host", "id_host", "letters", "name", "sender_host", "sender_user", "user")

    def __init__(self, environment: "Environment", home: Home) -> None:
        """Reads files: $QMAILMFTFILE is relative to the caller's directory.  Errors: Die TEMP."""
        user = _first(environment, USERS)
        self.user = b"anonymous" if user is None else user  # of From
        self.host = _first(environment, HOSTS) or b""  # of From; empty where defaulthost is meant
        self.name = _first(environment, NAMES)  # the personal name
        self.sender_user = environment.get(b"QMAILSUSER", self.user)  # of the envelope
        self.sender_host = environment.get(b"QMAILSHOST", self.host)
        self.letters = environment.get(b"QMAILINJECT", b"")
        self.followup = _lists(environment.get(b"QMAILMFTFILE"))  # what Mail-Followup-To is for, lower-cased
        controls = _Controls(environment, home)
        self.id_host = controls.value(b"QMAILIDHOST", "idhost")
        host = controls.value(b"QMAILDEFAULTHOST", "defaulthost")
        domain = controls.value(b"QMAILDEFAULTDOMAIN", "defaultdomain")
        plus = controls.value(b"QMAILPLUSDOMAIN", "plusdomain")
        try:
            self.domains = Domains(host, domain, plus)
        except ParseError:
            raise Die(TEMP, b"defaulthost, defaultdomain or plusdomain is not a domain name") from None


class _Controls:
    """Control files that a variable overrides; control/me is read once, and only where it is needed."""

    def __init__(self, environment: "Environment", home: Home) -> None:
        self._environment, self._home = environment, home
        self._me: bytes | None = None
        self._me_is_known = False

    def value(self, variable: bytes, name: str) -> bytes:
        """The variable, else control/NAME, else control/me, else NAME itself."""
        value = self._environment.get(variable)
        if value is None:
            value = control.line(self._home, name)
        if value is None:
            if not self._me_is_known:
                self._me, self._me_is_known = control.line(self._home, "me"), True
            value = self._me
        return name.encode() if value is None else value


def _first(environment: "Environment", names: tuple[bytes, ...]) -> bytes | None:
    for name in names:
        if name in environment:
            return environment[name]
    return None


def _lists(path: bytes | None) -> frozenset[bytes] | None:
    if path is None:
        return None
    try:
        text = control.read(path)
    except Die:
        raise Die(TEMP, b"read error") from None
    return None if text is None else frozenset(entry.lower() for entry in control.entries(text))
