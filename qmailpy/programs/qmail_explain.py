"""qmail-explain: says where an address goes, and why, without sending anything.

qmail-explain [-jn] [-d defaultdelivery] [-f sender] address...
-j, --json: a JSON object a line, one for each address. -n, --no-dns: the network is asked nothing. -d: what qmail-start
was given as default delivery; without it that of the qmail-lspawn that runs, if it shows it. -f, --from: the sender of
the message that is imagined.

Runs as: anybody, who is told what he may not read; root sees everything, in children that have become the user, or
qmailr for other hosts.
Descriptors: 1 the explanation.
Exit codes: 0 it would be delivered; 100 some of it would bounce, or fail where there is no queue (control/direct); 111
some would have to wait, or could not be read.
Control files: all that qmail-send and the programs for deliveries read.
Trusts: nobody. Bytes outside 32..126 are shown as '?'.
"""

from qmailpy.disk.home import Home
from qmailpy.inject.settings import Settings
from qmailpy.remote.explaining import Leaving
from qmailpy.rules import options
from qmailpy.rules.rfc822 import ParseError
from qmailpy.skeletons import default_delivery
from qmailpy.skeletons.explained_home import BOUNCE, DEFER, DELIVER, NOTE, RUN, UNKNOWN, USUAL
from qmailpy.skeletons.explanation import ENDS, REMOTE, Explanation, Step
from qmailpy.skeletons.ownership import become_owner
from qmailpy.system import descriptors, identity
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE = b"usage: qmail-explain [ -jn ] [ -d defaultdelivery ] [ -f sender ] address ..."
_LONG = {b"--json": b"-j", b"--no-dns": b"-n", b"--from": b"-f"}
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def _text(address: bytes, steps: list[Step]) -> bytes:
    lines = [address]
    lines += [b"  " * (step.depth + 1) + step.kind + _where(step) + b": " + step.text for step in steps]
    return b"".join(line.translate(_PRINTABLE) + b"\n" for line in lines)


def _where(step: Step) -> bytes:
    return b" (line %d)" % step.line if step.line else b""


def _json(address: bytes, steps: list[Step]) -> bytes:
    import json

    def words(text: bytes) -> str:
        return text.decode("utf-8", "surrogateescape")

    told = {
        "address": words(address),
        "steps": [
            {
                "depth": step.depth,
                "kind": words(step.kind),
                "text": words(step.text),
                **({"line": step.line} if step.line else {}),
                **({"facts": {words(key): words(one) for key, one in step.facts.items()}} if step.facts else {}),
            }
            for step in steps
        ],
        "ends": [{"kind": words(step.kind), "text": words(step.text)} for step in _ends(steps)],
    }
    return json.dumps(told).encode() + b"\n"


def _ends(steps: list[Step]) -> "Iterator[Step]":
    """Where it ends; a host to which nothing will leave is no end, but the reason for that."""
    for at, step in enumerate(steps):
        if step.kind in ENDS and not (step.kind == REMOTE and _is_stopped(steps, at)):
            yield step


def _is_stopped(steps: list[Step], at: int) -> bool:
    for step in steps[at + 1 :]:
        if step.depth <= steps[at].depth:
            break
        if step.kind in ENDS:
            return True
    return False


def _verdict(steps: list[Step]) -> int:
    kinds = {step.kind for step in steps}
    if kinds & {DEFER, UNKNOWN}:
        return TEMP
    return PERM if BOUNCE in kinds else OK


def _without_queue(steps: list[Step]) -> list[Step]:
    """The same where mail leaves at once, or fails: nobody has a mailbox there."""
    first = Step(0, NOTE, b"control/direct is there: mail leaves at once by qmail-direct, or fails; there is no queue")
    if not {DELIVER, RUN, USUAL} & {step.kind for step in steps}:
        return [first, *steps]
    return [first, *steps, Step(0, BOUNCE, b"nothing is delivered on this machine (control/direct)")]


def _be_the_owner(home: Home) -> None:
    """Root looks at an embedded home as its owner does.  Errors: Die TEMP for a stranger."""
    owner = become_owner(home)
    if owner is not None and identity.my_uid() != owner:
        raise Die(TEMP, b"all mail of this home is uid %d's: ask as him, or as root" % owner)


def _with_host(address: bytes, home: Home) -> bytes:
    """A name without a host gets the one that qmail-inject and sendmail give it.  Errors: Die TEMP."""
    if b"@" in address:
        return address
    try:
        return Settings({}, home).domains.envelope(address)
    except ParseError:
        return address


def _short(words: list[bytes]) -> list[bytes]:
    """Long options as letters, as far as options go."""
    end = words.index(b"--") if b"--" in words else len(words)
    return [_LONG.get(word, word) for word in words[:end]] + words[end:]


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        found, addresses = options.parse(_short(argv[1:]), b"jnd:f:")
    except options.UsageError as error:
        raise Die(PERM, error.text + b"\n" + USAGE) from None
    values = dict(found)
    if not addresses:
        raise Die(PERM, USAGE)
    _be_the_owner(home)
    default = values[b"d"] if b"d" in values else default_delivery.running(home)
    leaving = Leaving(home, asks_dns=b"n" not in values)
    explanation = Explanation(home, default, values.get(b"f", b"sender@example.org"), leaving=leaving)
    direct = home.direct
    show = _json if b"j" in values else _text
    verdicts = set()
    for address in addresses:
        steps = explanation.of(_with_host(address, home), address)
        if direct:
            steps = _without_queue(steps)
        descriptors.write_all(1, show(address, steps))
        verdicts.add(_verdict(steps))
    return EXIT[next(verdict for verdict in (TEMP, PERM, OK) if verdict in verdicts)]
