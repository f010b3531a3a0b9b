"""A message leaves at once: one SMTP transaction for all its recipients, or a failure; nothing is kept.

The rules are those of Exim's mua_wrapper (spec/10-neighbours.md c3). All recipients must have one route. The first host
of it that a connection can be made to decides: its no to anybody, for good or for now, is a no for everybody. Nothing
is written: no queue, no table of hosts that timed out. The login of a route is the caller's own.
"""

import asyncio

from qmailpy.disk import secret
from qmailpy.disk.home import Home
from qmailpy.remote.addressees import Addressees
from qmailpy.remote.delivery import deliver
from qmailpy.remote.equipment import Equipment
from qmailpy.rules import report, routes, smtpauth
from qmailpy.rules.smtp_address import smtp_address
from qmailpy.system import hosts, identity, process
from qmailpy.verdict import PERM, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.remote.controls import Settings
    from qmailpy.wire.sasl import Credentials

OWN_LOGINS = b".qmail-smtpauth"  # in $HOME
NAMED_LOGINS = b"QMAILSMTPAUTH"  # the variable that names another file


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


def hand_over(home: Home, addressees: Addressees, message: int) -> bytes:
    """One transaction.  message: a descriptor that can seek.  Result: what the peer said to the message.

    Errors: Die, its text all that is known: PERM for a no for good, TEMP for a no for now, or for nobody there.
    """
    equipment = _NoMemory(home)
    usual = equipment.login
    equipment.login = lambda name: _login(name) or usual(name)
    equipment.use_resolver(hosts.HostsResolver(process.environment()))
    settings = equipment.controls.settings()
    if settings is None:
        raise Die(PERM, b"Neither control/helohost nor control/me is there. (#5.3.5)")
    for address in (addressees.sender, *addressees.recipients):
        if smtp_address(address) is None:
            raise Die(PERM, address + b": this address cannot be said in SMTP. (#5.1.3)")
    host = one_route(settings, addressees.sender, addressees.recipients)
    output = asyncio.run(deliver(home, host, addressees.sender, addressees.recipients, message, equipment, whole=True))
    return outcome(output, addressees.recipients)


def outcome(output: bytes, recipients: list[bytes]) -> bytes:
    """The text of a success, from what qmail-remote would have printed.  Errors: Die, as hand_over()."""
    items = output.split(b"\0")[:-1]
    refused = [(address, item) for address, item in zip(recipients, items, strict=False) if item[:1] in (b"h", b"s")]
    last = items[-1] if items else b"Z"
    if last[:1] == b"K" and not refused:
        return _flat(last[1:])
    verdict = PERM if last[:1] == b"D" and all(item[:1] == b"h" for _, item in refused) else TEMP
    texts = [address + b": " + item[1:] for address, item in refused] or [last[1:]]
    raise Die(verdict, _flat(b" ".join(texts)) or b"The delivery failed, and nobody said why. (#4.3.0)")


def _flat(text: bytes) -> bytes:
    """One line; a queue's words about a relay that will come back are no use here."""
    return b" ".join(text.partition(report.RELAY_AWAY)[0].split())


def _login(name: bytes) -> "Credentials | None":
    """The caller's own login of this name; None where he has no such file.  Errors: Die TEMP, with a clause."""
    variables = process.environment()
    named = variables.get(NAMED_LOGINS)
    path = named or variables.get(b"HOME", b"") + b"/" + OWN_LOGINS
    try:
        text = secret.read(path, identity.my_uid())
        if text is None and not named:
            return None
        return smtpauth.find(text or b"", name)
    except Die as death:
        raise Die(TEMP, path + b": " + death.text) from None
    except smtpauth.BadLogin as bad:
        raise Die(TEMP, path + b": " + bad.reason) from None
