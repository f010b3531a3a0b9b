"""Where an address goes, and why: every decision of qmail-send, qmail-lspawn and qmail-local, with nothing done.

The decisions are made by the functions that deliver, so that what is said here is what happens. root looks nothing up
in a user's home: a child that has become the user does, for good, as for a delivery; and who is whose is found by one
that is qmailp. Everybody else sees what he may read, and is told what he may not.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.skeletons import address, domains
from qmailpy.skeletons.explained_home import (
    BOUNCE,
    DEFER,
    DELIVER,
    FOLLOW,
    NEW_SENDER,
    NOTE,
    NOTHING,
    RUN,
    SENDER,
    UNKNOWN,
    USUAL,
    Visit,
)
from qmailpy.system import descriptors, identity, process
from qmailpy.verdict import Die
from qmailpy.wire import getpw
from qmailpy.wire.delivery import REMOTE as REMOTE_CHANNEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qmailpy.rules.rewrite import Domains
    from qmailpy.wire.getpw import User

    Leaving = Callable[[bytes, bytes], list["Step"]]

DOMAIN, USER, LOOP, REMOTE = b"domain", b"user", b"loop", b"remote"
ROUTE = b"route"
ENDS = (DELIVER, RUN, NOTHING, BOUNCE, DEFER, UNKNOWN, USUAL, REMOTE)
DEEPEST = 50  # forwards from one to the next
MOST = 10_000  # addresses that are followed
MOST_STEPS = 100_000  # lines of an explanation: who looks is often root, and what is looked at anybody's
LIMIT = 64 << 20  # bytes that a child may say
_FIELDS = 5
_NOT_FOUND_OUT = b"this could not be found out"
_ENOUGH = b"there is more than can be shown"


class Step:
    """One line of an explanation.

    depth: from 0; kind: a word; text: bytes as they are in files and addresses; line: of the .qmail file, or 0; facts:
    what the text says, for a program.
    """

    __slots__ = ("depth", "facts", "kind", "line", "text")

    def __init__(
        self, depth: int, kind: bytes, text: bytes, line: int = 0, facts: "dict[bytes, bytes] | None" = None
    ) -> None:
        """As above."""
        self.depth, self.kind, self.text, self.line = depth, kind, text, line
        self.facts = facts or {}


class _Enough(Exception):
    """More steps than anybody reads."""


class Explanation:
    """Explains addresses, each once.  Errors: Die TEMP where the control files cannot be read."""

    def __init__(self, home: Home, default: bytes | None, sender: bytes, *, leaving: "Leaving | None" = None) -> None:
        """default: the default delivery, None where it is not known; sender: of the message that is imagined.

        leaving(domain, sender): how mail for another host leaves, if that is to be said.
        """
        self._leaving = leaving
        self._home, self._default, self._sender = home, default, sender
        self._domains: Domains = domains.read(home, control.line(home, "me"))
        self._seen: set[bytes] = set()
        self._left: set[tuple[bytes, bytes]] = set()  # domain, sender
        self._steps: list[Step] = []

    def of(self, recipient: bytes, written: bytes = b"") -> list[Step]:
        """All steps for a recipient, as it would stand in an envelope.  written: the same as somebody wrote it."""
        self._steps = []
        self._seen.clear()
        self._left.clear()
        if written not in (b"", recipient):
            self._say(0, DOMAIN, written + b" is completed to " + recipient)
        try:
            self._address(recipient.partition(b"\0")[0], 0, (), self._sender)
        except _Enough:
            self._steps.append(Step(0, UNKNOWN, _ENOUGH))
        return self._steps

    def _say(self, depth: int, kind: bytes, text: bytes) -> None:
        self._add(Step(depth, kind, text))

    def _add(self, step: Step, depth: int = 0) -> None:
        if len(self._steps) == MOST_STEPS:
            raise _Enough
        step.depth += depth
        self._steps.append(step)

    def _address(self, recipient: bytes, depth: int, path: tuple[bytes, ...], sender: bytes) -> None:
        decision = domains.decide(recipient, self._domains, self._home)
        key = decision.address
        if decision.completed != recipient:
            self._say(depth, DOMAIN, recipient + b" is completed to " + decision.completed)
        if decision.file:
            self._say(depth, DOMAIN, b"%s line %d: %s" % (decision.file, decision.line, decision.entry))
        if decision.channel == REMOTE_CHANNEL:
            self._leave(key.rpartition(b"@")[2], depth, sender)
            return
        if key != decision.completed:
            self._say(depth, DOMAIN, b"it becomes " + key)
        if key in path:
            self._say(depth, LOOP, b"it has been to " + key)
            self._say(depth, BOUNCE, b"This message is looping: it already has my Delivered-To line. (#5.4.6)")
        elif key in self._seen:
            self._say(depth, NOTE, b"as above")
        elif len(path) == DEEPEST or len(self._seen) == MOST:
            self._say(depth, UNKNOWN, b"too far to follow")
        else:
            self._seen.add(key)
            self._local(key, depth, (*path, key), sender)

    def _leave(self, domain: bytes, depth: int, sender: bytes) -> None:
        """How mail for another host leaves; root becomes who delivers it, for what strangers' servers say."""
        self._say(depth, REMOTE, domain)
        if self._leaving is None:
            return
        if (domain.lower(), sender) in self._left:
            self._say(depth + 1, NOTE, b"as above")
            return
        self._left.add((domain.lower(), sender))
        leaving, steps = self._leaving, list[Step]()

        def look() -> None:
            steps.extend(leaving(domain, sender))

        try:
            if identity.is_root():
                who = self._home.roles.account("qmailr")
                steps = _as_somebody(who.uid, who.gid, look, steps)
            else:
                look()
        except Die as death:  # there are no accounts
            self._say(depth + 1, UNKNOWN, death.text)
        for step in steps:
            self._add(step, depth + 1)

    def _local(self, key: bytes, depth: int, path: tuple[bytes, ...], sender: bytes) -> None:
        local, _, domain = key.rpartition(b"@")
        if not local:
            self._say(depth, NOTHING, b"an address without a name is thrown away")
            return
        user = self._find_user(local, depth)
        if user is None:
            return
        if user.uid == 0:
            self._say(depth, DEFER, b"Not allowed to perform deliveries as root.")
            return
        steps: list[Step] = []

        def note(more: int, kind: bytes, text: bytes) -> None:
            if len(steps) == MOST_STEPS:
                raise _Enough
            steps.append(Step(more, kind, text, 0 if more else visit.line))

        def look() -> None:
            try:
                visit.explain(self._default)
            except _Enough:
                steps.append(Step(0, UNKNOWN, _ENOUGH))

        visit = Visit(user, local, domain, sender, self._home, note)
        if identity.is_root():
            steps = _as_somebody(user.uid, user.gid, look, steps)
        else:
            look()
        sender = _new_sender(steps, domain) or sender
        for step in steps:
            self._add(step, depth + 1)
            if step.kind == FOLLOW:
                self._address(step.text, step.depth + 1, path, sender)

    def _find_user(self, local: bytes, depth: int) -> "User | None":
        """Whose it is; None where that was said not to be known.  Errors: Die TEMP, no account to ask as."""
        heard: list[Step] = []
        found: list[User] = []

        def look() -> None:
            try:
                user = address.find_user(self._home, local, lambda text: heard.append(Step(0, USER, text)))
            except Die as death:
                heard.append(Step(0, DEFER, death.text))
                return
            heard.append(Step(0, b"", getpw.encode(user).hex().encode()))  # his extension may hold any byte

        if identity.is_root():
            asker = self._home.roles.account("qmailp")
            heard = _as_somebody(asker.uid, asker.gid, look, heard)
        else:
            look()
        for step in heard:
            if step.kind:
                self._say(depth, step.kind, step.text)
            elif (user := _user(step.text)) is not None:
                found.append(user)
        if not found:
            if not any(step.kind in ENDS for step in heard):
                self._say(depth, UNKNOWN, _NOT_FOUND_OUT)
            return None
        user = found[0]
        said = b"%s (uid %d, home %s)" % (user.name, user.uid, user.home)
        if user.dash or user.ext:
            said += b', dash "%s", extension "%s"' % (user.dash, user.ext)
        self._say(depth, USER, said)
        return user


def _new_sender(steps: list[Step], domain: bytes) -> bytes:
    """Of what a delivery forwards, all of it, wherever it is said; empty where it stays."""
    for step in steps:
        if step.kind == SENDER:
            sender = step.text.removesuffix(NEW_SENDER)
            return sender if b"@" in sender else sender + b"@" + domain
    return b""


def _user(text: bytes) -> "User | None":
    """The other direction of what look() says; None for what is none."""
    try:
        return getpw.decode(bytes.fromhex(text.decode("ascii")))
    except ValueError:
        return None


def _as_somebody(uid: int, gid: int, look: "Callable[[], None]", steps: list[Step]) -> list[Step]:
    """What look() notes in steps, when a child that has become uid:gid does it.  Errors: Die TEMP, OSError."""
    read_end, write_end = posix.pipe2(posix.O_CLOEXEC)

    def child() -> int:
        posix.close(read_end)
        identity.become(uid, gid)
        try:
            look()
        except Die as death:
            steps.append(Step(0, DEFER, death.text))
        descriptors.write_all(write_end, _encode(steps))
        return 0

    pid = process.fork(child)
    posix.close(write_end)
    content = descriptors.read_all(read_end, LIMIT)
    posix.close(read_end)
    ending = process.wait(pid)
    heard = _decode(content)
    if ending.signal or ending.code:
        heard.append(Step(0, UNKNOWN, _NOT_FOUND_OUT))
    return heard


def _encode(steps: "Iterable[Step]") -> bytes:
    return b"".join(
        [
            b"%d\0%s\0%s\0%d\0%s\0"
            % (step.depth, step.kind, step.text.replace(b"\0", b""), step.line, _encode_facts(step.facts))
            for step in steps
        ]
    )


def _encode_facts(facts: "dict[bytes, bytes]") -> bytes:
    return b"\n".join(key + b"=" + one.replace(b"\0", b"").replace(b"\n", b"") for key, one in facts.items())


def _decode(content: bytes) -> list[Step]:
    """What a child said; it ran as somebody else, so its bytes are looked at."""
    fields = content.split(b"\0")[:-1]
    steps = []
    for at in range(0, len(fields) - _FIELDS + 1, _FIELDS):
        depth, kind, text, line, facts = fields[at : at + _FIELDS]
        if depth.isdigit() and len(depth) < 5 and line.isdigit() and len(line) < 10:
            pairs = (fact.partition(b"=") for fact in facts.split(b"\n") if b"=" in fact)
            steps.append(Step(int(depth), kind, text, int(line), {key: value for key, _, value in pairs}))
    return steps
