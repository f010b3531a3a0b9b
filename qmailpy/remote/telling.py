"""The events of a delivery's story (remote/story): which route, which addresses, what became of each, what was said.

One function for each place that has something to tell; each place asks story.is_on first.
"""

from qmailpy.remote.controls import Settings
from qmailpy.remote.story import Story
from qmailpy.rules.exchangers import Address
from qmailpy.wire import smtp
from qmailpy.wire.smtp_login import Login

_MOST = 10  # addresses that are named in one line


def route(story: Story, host: bytes, sender: bytes, settings: Settings) -> None:
    """Which line decides where it goes, before it is known whether that line can be followed."""
    found = settings.deciding(host, sender)
    if found is None:
        story.tell("route", host=host, rule=b"none", line=b"MX")
        return
    is_senders, key = found
    rule = b"senderroutes:" if is_senders else b"smtproutes:"
    line = (settings.by_sender if is_senders else settings.routes)[key]
    story.tell("route", host=host, rule=rule + key, line=line or b"MX")


def addresses(story: Story, found: list[Address]) -> None:
    """Where it could go, in the order in which they are tried."""
    words = [b"%s(%s,%d)" % (address.ip, address.name, address.preference) for address in found[:_MOST]]
    story.tell("addresses", count=len(found), tried=b" ".join(words))


def skipped(story: Story, found: list[Address], alive: list[Address]) -> None:
    """Those that timed out too often lately (lock/tcpto)."""
    for address in found:
        if address not in alive:
            story.tell("skip", address=address.ip, host=address.name, reason=b"tcpto")


def failed(story: Story, address: Address, reason: bytes) -> None:
    """This one does not let us in."""
    story.tell("connect", address=address.ip, host=address.name, result=reason)


def connected(story: Story, address: Address, *, warm: bool) -> None:
    """This one does; or it did for a message before, and the connection is used once more."""
    story.tell("connect", address=address.ip, host=address.name, result=b"warm" if warm else b"new")


def spoken(story: Story, address: Address, client: smtp.Client, login: Login | None) -> None:
    """How a dialogue ended: the step, the server's words, what TLS was, as whom we logged in."""
    if client.security or client.step == smtp.TLS:
        story.tell("tls", address=address.ip, facts=client.security or b"TLS: no, the handshake failed")
    if login is not None:
        story.tell("login", address=address.ip, user=login.credentials.user)
    step = client.failed_at or client.step
    said = client.final.text if client.final is not None else client.trouble or b"nothing"
    story.tell("answer", address=address.ip, step=step.encode("ascii", "replace"), reply=said.rstrip(b"\n"))
