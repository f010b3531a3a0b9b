"""A message leaves at once: one SMTP transaction for all its recipients, or a failure; nothing is kept.

The rules are those of Exim's mua_wrapper (spec/10-neighbours.md c3). All recipients must have one route. The first host
of it that a connection can be made to decides: its no to anybody, for good or for now, is a no for everybody. Nothing
is written: no queue, no table of hosts that timed out. The login of a route is the caller's own, or that of the host if
we may read it. Used by the programs qmail-direct, as the caller, and qmail-queued, as qmailr in his place.
"""

import asyncio
import posix

from qmailpy.disk import secret
from qmailpy.disk.home import Home
from qmailpy.remote.addressees import Addressees, Search
from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.rules import report, routes, smtpauth
from qmailpy.rules.smtp_address import smtp_address
from qmailpy.system import hosts, identity, process, syslog
from qmailpy.verdict import PERM, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.remote.controls import Settings
    from qmailpy.wire.envelope import Envelope
    from qmailpy.wire.sasl import Credentials

OWN_LOGINS = b".qmail-smtpauth"  # in $HOME
NAMED_LOGINS = b"QMAILSMTPAUTH"  # the variable that names another file
_LOGINS = b"control/smtpauth"  # as rules/report names the file of logins
_IN_QUEUES_WORDS = b"; mail waits until one of us mends it"


class _NoMemory(Equipment):
    """What a single transaction needs: no host is spared or remembered."""

    def is_dead(self, ip: bytes, longest: int = 0) -> bool:  # noqa: ARG002 - as the method that it replaces
        return False

    def remember_answer(self, ip: bytes) -> None:
        """Nobody will ask."""

    def remember_timeout(self, ip: bytes) -> None:
        """Nobody will ask."""


def one_route(settings: "Settings", sender: bytes, recipients: list[bytes]) -> bytes:
    """The host by which the route of all these recipients is found.  Errors: Die PERM where they have several.

    Without a route, by MX, all must be of one host.
    """
    first = recipients[0].rpartition(b"@")[2]
    seen = set()
    for recipient in recipients:
        host = recipient.rpartition(b"@")[2].lower()
        try:
            route = routes.find_route(host, settings.routes, sender, settings.by_sender)
        except routes.BadRoute as bad:
            raise Die(PERM, report.bad_route(host, bad.reason)[1:].rstrip(b"\n\0")) from None
        if route.kind == routes.ERROR:
            raise Die(PERM, recipient + b": " + report.refused_by_route(route.text)[1:].rstrip(b"\n\0"))
        by_name = host if route.kind == routes.BY_MX else b""
        seen.add((route.kind, route.host.lower(), route.port, tuple(route.options.items()), by_name))
    if len(seen) > 1:
        text = b"Its recipients go different ways, and a message can go one way only: see control/smtproutes. (#5.4.4)"
        raise Die(PERM, text)
    return first


def relay(home: Home, asked: "Envelope", message: int, uid: int) -> None:
    """Follow aliases, hand the message over, and say to syslog, if somebody listens, what came of it.

    message: a descriptor that can seek; uid: whose message it is.  Errors: Die, as hand_over().
    """
    try:
        found = Search(home, asked.sender).of(asked.recipients)
        said = hand_over(home, found, message) if found.recipients else b"thrown away, as an alias says"
    except Die as death:
        _log(b"failure", asked, uid, death.text)
        raise
    _log(b"success", asked, uid, said)


def _log(verdict: bytes, asked: "Envelope", uid: int, text: bytes) -> None:
    priority = syslog.INFO if verdict == b"success" else syslog.WARNING
    line = b"%s from <%s> to <%s> uid %d: %s" % (verdict, asked.sender, b", ".join(asked.recipients), uid, text)
    syslog.Syslog(b"qmail-direct").send(priority, line[:1000].replace(b"\n", b" ").replace(b"\0", b" "))


def hand_over(home: Home, addressees: Addressees, message: int) -> bytes:
    """One transaction.  message: a descriptor that can seek.  Result: what the peer said to the message.

    Errors: Die, its text all that is known: PERM for a no for good, TEMP for a no for now, or for nobody there.
    """
    equipment = _NoMemory(home)
    logins = _Logins(home, equipment.login)
    equipment.login = logins.find
    equipment.use_resolver(hosts.HostsResolver(process.environment()))
    settings = equipment.controls.settings()
    if settings is None:
        raise Die(PERM, b"Neither control/helohost nor control/me is there. (#5.3.5)")
    for address in (addressees.sender, *addressees.recipients):
        if smtp_address(address) is None:
            raise Die(PERM, address + b": this address cannot be said in SMTP. (#5.1.3)")
    host = one_route(settings, addressees.sender, addressees.recipients)
    output = asyncio.run(deliver(home, host, addressees.sender, addressees.recipients, message, equipment, whole=True))
    return outcome(output, addressees.recipients, logins.file)


def outcome(output: bytes, recipients: list[bytes], file: bytes = _LOGINS) -> bytes:
    """The text of a success, from what qmail-remote would have printed.  Errors: Die, as hand_over().

    file: of the login that was used, or could not be.
    """
    items = output.split(b"\0")[:-1]
    refused = [(address, item) for address, item in zip(recipients, items, strict=False) if item[:1] in (b"h", b"s")]
    last = items[-1] if items else b"Z"
    if last[:1] == b"K" and not refused:
        return _flat(last[1:])
    verdict = PERM if last[:1] == b"D" and all(item[:1] == b"h" for _, item in refused) else TEMP
    texts = [address + b": " + item[1:] for address, item in refused] or [last[1:]]
    text = b" ".join(texts).replace(_IN_QUEUES_WORDS, b"").replace(b" " + _LOGINS, b" " + file, 1)
    raise Die(verdict, _flat(text) or b"The delivery failed, and nobody said why. (#4.3.0)")


def _flat(text: bytes) -> bytes:
    """One line; a queue's words about a relay that will come back are no use here."""
    return b" ".join(text.partition(report.RELAY_AWAY)[0].split())


def own_logins() -> bytes:
    """The caller's own file of logins; nothing where he has none, nor names one."""
    variables = process.environment()
    named = variables.get(NAMED_LOGINS, b"")
    if named or not variables.get(b"HOME"):
        return named
    path = variables[b"HOME"] + b"/" + OWN_LOGINS
    try:
        posix.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError:  # whoever reads it says why it cannot be read
        return path
    return path


class _Logins:
    """The logins that routes name.  file: where the last one was looked for."""

    def __init__(self, home: Home, usual: "Callable[[bytes], Credentials]") -> None:
        """usual: the host's own."""
        self.file = home.control(b"smtpauth")
        self._usual = usual

    def find(self, name: bytes) -> "Credentials":
        """The caller's own of this name, or the host's where he has no file.  Errors: Die TEMP, with a clause."""
        own = own_logins()
        if not own:
            return self._usual(name)
        self.file = report.printable(own)
        text = secret.read(own, identity.my_uid())
        if text is None:
            raise Die(TEMP, b"there is no such file")
        try:
            return smtpauth.find(text, name)
        except smtpauth.BadLogin as bad:
            raise Die(TEMP, bad.reason) from None
