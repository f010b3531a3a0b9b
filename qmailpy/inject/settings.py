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
    from qmailpy.rules.masquerade import Masquerade

    Environment = dict[bytes, bytes]

# nullmailer's names come after ours, and before those that everybody has
NAMES = (b"QMAILNAME", b"NULLMAILER_NAME", b"MAILNAME", b"NAME")
HOSTS = (b"QMAILHOST", b"NULLMAILER_HOST", b"MAILHOST")
USERS = (b"QMAILUSER", b"NULLMAILER_USER", b"MAILUSER", b"USER", b"LOGNAME")
SENDER_USERS = (b"QMAILSUSER", b"NULLMAILER_SUSER")
SENDER_HOSTS = (b"QMAILSHOST", b"NULLMAILER_SHOST")
LETTERS = (b"QMAILINJECT", b"NULLMAILER_FLAGS")  # of nullmailer's, t says what is always done here


class Settings:
    """All that does not come from the message or the command line."""

    __slots__ = (
        "domains",
        "followup",
        "host",
        "id_host",
        "letters",
        "masquerade",
        "name",
        "sender_host",
        "sender_user",
        "user",
        "uses_local_time",
    )

    def __init__(self, environment: "Environment", home: Home) -> None:
        """Reads files: $QMAILMFTFILE is relative to the caller's directory.  Errors: Die TEMP."""
        user = _first(environment, USERS)
        self.user = b"anonymous" if user is None else user  # of From
        self.host = _first(environment, HOSTS) or b""  # of From; empty where defaulthost is meant
        self.name = _first(environment, NAMES)  # the personal name
        sender_user, sender_host = _first(environment, SENDER_USERS), _first(environment, SENDER_HOSTS)
        self.sender_user = self.user if sender_user is None else sender_user  # of the envelope
        self.sender_host = self.host if sender_host is None else sender_host
        self.letters = _first(environment, LETTERS) or b""
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
        self.masquerade = _masquerade(home, self.domains)  # None where there is none
        self.uses_local_time = control.integer(home, "localtime", 0) > 0


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
            value = _name_in(control.line(self._home, name))
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


def _name_in(value: bytes | None) -> bytes | None:
    """The value, or the first line of the file that it names: of /etc/mailname, as dma's MAILNAME.

    Errors: Die TEMP where there is no such file, or no name in it.
    """
    if value is None or not value.startswith(b"/"):
        return value
    text = control.read(value)
    name = b"" if text is None else control.first_line(text)
    if not name:
        raise Die(TEMP, b"there is no name in " + value)
    return name


def _masquerade(home: Home, domains: Domains) -> "Masquerade | None":
    generic, forms = control.listing(home, "generic"), control.listing(home, "masquerade")
    if not generic and not forms:
        return None
    from qmailpy.rules.masquerade import Masquerade, MasqueradeError  # most hosts have none: it would cost each message

    try:
        return Masquerade(generic or [], forms or [], domains)
    except MasqueradeError as error:  # mail must not go out under another name than the administrator wrote
        raise Die(TEMP, b"control/generic or control/masquerade: " + error.text) from None


def _lists(path: bytes | None) -> frozenset[bytes] | None:
    if path is None:
        return None
    try:
        text = control.read(path)
    except Die:
        raise Die(TEMP, b"read error") from None
    return None if text is None else frozenset(entry.lower() for entry in control.entries(text))
