"""Who gets a message that leaves without a queue: aliases and forwards are followed here, or nobody gets it.

The files are those that deliveries read: /etc/aliases (first, as in other mail systems), users/, .qmail, ~/.forward.
Each recipient must come to an address of another host; who has a mailbox here, a program or a list with an owner of
its own makes the whole message fail. No line of the header is added for what was followed.
Source: spec/10-neighbours.md c3.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.skeletons import aliases, domains, explained_home
from qmailpy.skeletons.aliases import Aliases
from qmailpy.skeletons.explanation import REMOTE, Explanation
from qmailpy.verdict import PERM, Die
from qmailpy.wire.delivery import REMOTE as REMOTE_CHANNEL
from qmailpy.wire.envelope import MOST_RECIPIENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.rules.aliases import Entry

# what qmail-start would be given where ~/.forward counts; the mailbox is where no message may come to
_DEFAULT = b"|qmail-dotforward .forward\n./Mailbox"
_FAILURES = {
    explained_home.DELIVER: b"it has a mailbox on this machine",
    explained_home.RUN: b"a program on this machine gets its mail",
}


class Addressees:
    """The envelope as it goes out.  recipients: each once, all of other hosts."""

    __slots__ = ("recipients", "sender")

    def __init__(self, sender: bytes, recipients: list[bytes]) -> None:
        """As above."""
        self.sender, self.recipients = sender, recipients


class Search:
    """Follows the recipients of one message.  Errors of every method: Die, its text a sentence."""

    def __init__(self, home: Home, sender: bytes) -> None:
        """Reads nothing yet."""
        self._home, self._sender = home, sender
        self._found: dict[tuple[bytes, bytes], None] = {}  # (sender, address) in their order
        self._seen: set[bytes] = set()
        self._known: Aliases | None = None

    def of(self, recipients: list[bytes]) -> Addressees:
        """Who gets it.  recipients: as in an envelope."""
        if not recipients:
            raise Die(PERM, b"There is no recipient. (#5.1.0)")
        ours = domains.read(self._home, control.line(self._home, "me"))
        todo = [(self._sender, recipient) for recipient in reversed(recipients)]
        while todo:
            sender, recipient = todo.pop()
            decision = domains.decide(recipient, ours, self._home)
            if decision.channel == REMOTE_CHANNEL:
                self._add(sender, decision.address)
            elif decision.address.lower() not in self._seen:
                self._seen.add(decision.address.lower())
                box, _, domain = decision.address.rpartition(b"@")
                entry = self._alias(box, domain) if decision.address == decision.completed else None
                if entry is None:
                    self._follow(sender, recipient)
                else:
                    todo += reversed(self._ends(sender, recipient, entry, box, domain))
        senders = {sender for sender, _ in self._found}
        if len(senders) > 1:
            raise Die(PERM, b"Its recipients need different senders: send it to each by itself. (#5.1.0)")
        return Addressees(next(iter(senders), self._sender), [address for _, address in self._found])

    def _add(self, sender: bytes, address: bytes) -> None:
        self._found[sender, address] = None
        if len(self._found) > MOST_RECIPIENTS:
            raise Die(PERM, b"It would go to more than %d addresses. (#5.5.3)" % MOST_RECIPIENTS)

    def _alias(self, box: bytes, domain: bytes) -> "Entry | None":
        if self._known is None:
            self._known = Aliases(self._home)
        return self._known.lookup(box, domain)

    def _ends(
        self, sender: bytes, recipient: bytes, entry: "Entry", box: bytes, domain: bytes
    ) -> list[tuple[bytes, bytes]]:
        assert self._known is not None
        own = aliases.own_addresses(self._home, [box], domain)
        ends = aliases.ends_of(entry, self._known, self._home, domain, own, has_mailbox=True)
        if ends.is_here or ends.deliveries:
            raise _local(recipient, _FAILURES[explained_home.DELIVER if ends.is_here else explained_home.RUN])
        if ends.owner:
            sender = ends.owner if b"@" in ends.owner else ends.owner + b"@" + domain
        return [(sender, address) for address in ends.recipients]

    def _follow(self, sender: bytes, recipient: bytes) -> None:
        """By the files of whose address it is, as for a delivery."""
        address = recipient
        ours = domains.read(self._home, control.line(self._home, "me"))
        for step in Explanation(self._home, _DEFAULT, sender).of(recipient):
            if step.kind == explained_home.FOLLOW:
                address = step.text
            elif step.kind == explained_home.SENDER:
                sender = step.text.removesuffix(explained_home.NEW_SENDER)
            elif step.kind == REMOTE:
                self._add(sender, domains.decide(address, ours, self._home).address)
            elif step.kind in _FAILURES:
                raise _local(recipient, _FAILURES[step.kind])
            elif step.kind in (explained_home.BOUNCE, explained_home.DEFER, explained_home.UNKNOWN):
                raise _local(recipient, step.text)


def _local(recipient: bytes, reason: bytes) -> Die:
    return Die(PERM, b"%s is local, and nothing is delivered on this machine: %s (#5.1.1)" % (recipient, reason))
