"""Which domains are ours, as the control files say: for qmail-send, and for whatever explains or checks an address.

Source: spec/04-send.md 1, 3; spec/08-control.md 1.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import rewrite
from qmailpy.rules.rewrite import Domains
from qmailpy.verdict import TEMP, Die


class Decision:
    """Where a recipient goes.

    channel, address: as rewrite.route() says; completed: the address that was looked at; file, line: what decided,
    line 0 where it was no line; entry: that line, or an empty one.
    """

    __slots__ = ("address", "channel", "completed", "entry", "file", "line")

    def __init__(self, channel: int, address: bytes, completed: bytes) -> None:
        """Decided by nothing: remote because no file has it."""
        self.channel, self.address, self.completed = channel, address, completed
        self.file = self.entry = b""
        self.line = 0


def read(home: Home, me: bytes | None) -> Domains:
    """The control files as they are now.  me: of control/me.  Errors: Die TEMP."""
    nowhere = control.line(home, "envnoathost")
    return Domains(
        (b"envnoathost" if me is None else me) if nowhere is None else nowhere,
        local_names(home, me),
        control.listing(home, "percenthack") or [],
        control.colon_map(home, "virtualdomains") or {},
    )


def local_names(home: Home, me: bytes | None) -> list[bytes]:
    """control/locals, else this host's name.  Errors: Die TEMP where there is neither."""
    names = control.listing(home, "locals")
    if names is None and me is not None:
        names = [me]
    if names is None:
        raise Die(TEMP, b"neither control/locals nor control/me is there")
    return names


def decide(recipient: bytes, domains: Domains, home: Home) -> Decision:
    """What qmail-send does with a recipient, and which line of which file makes it so.

    domains: of read().  Errors: Die TEMP for a file that cannot be read.
    """
    channel, address = rewrite.route(recipient, domains)
    decision = Decision(channel, address, rewrite.completed(recipient, domains))
    domain = decision.completed.rpartition(b"@")[2].lower()
    if domain in domains.locals:
        _cite(decision, home, "locals", domain)
        if not decision.line:
            _cite(decision, home, "me", domain)
    elif (key := rewrite.virtual_key(decision.completed, domains.virtual)) is not None:
        _cite(decision, home, "virtualdomains", key)
    return decision


def _cite(decision: Decision, home: Home, name: str, wanted: bytes) -> None:
    """Find the line: in a map the last with this key, as it is the one that counts; in a list the first."""
    is_map = name == "virtualdomains"
    text = control.read(home.control(name.encode())) or b""
    for number, raw in enumerate(text.split(b"\n"), 1):
        entry = raw.rstrip(b" \t")
        key, colon, _ = entry.partition(b":") if is_map else (entry, b"", b"")
        if entry and not entry.startswith(b"#") and bool(colon) == is_map and key.lower() == wanted:
            decision.file, decision.line, decision.entry = b"control/" + name.encode(), number, entry
            if not is_map:
                return
