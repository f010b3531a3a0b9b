"""What in a control file is not read as its writer meant it: by its grammar, and by what its own reader takes.

For qmail-showctl and check. qmail-send keeps its old control files where one of its own is in doubt (send/controls).
"""

from qmailpy.disk import control, control_kinds
from qmailpy.rules import dnsbl, existing
from qmailpy.rules.shares import Shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WORDS = {b"bounceformat": (b"qsbmf", b"dsn"), b"bouncecontent": (b"full", b"headers")}  # as send/controls takes them
_FAMILIES = (0, 4, 6)


def doubts(name: bytes, text: bytes) -> "Iterator[bytes]":
    """Sentences without a full stop; none for a file that says what it seems to say.  name: of control_kinds.KINDS."""
    yield from control_kinds.doubts(control_kinds.KINDS[name], text)
    words = _WORDS.get(name)
    if words is not None and control.first_line(text).lower() not in words:
        yield b"line 1 is neither " + b" nor ".join(words)
    elif name == b"outgoingfamily" and (control.number(text) or 0) not in _FAMILIES:
        yield b"line 1 is none of 0, 4 and 6, and counts as 0"
    elif name == b"concurrencydomain":
        yield from _shares(name, Shares(control.entries(text)))
    elif name == b"holddomains":
        yield from _shares(name, Shares((), control.entries(text)))
    elif name == b"dnsbl":
        yield from _entries(text, dnsbl.Zone)
    elif name == b"recipients":
        yield from _entries(text, existing.record)


def _shares(name: bytes, shares: Shares) -> "Iterator[bytes]":
    for doubt in shares.doubts:
        yield doubt.removeprefix(b"control/%s " % name)


def _entries(text: bytes, read: "Callable[[bytes], object]") -> "Iterator[bytes]":
    """Lines that their reader leaves out."""
    for number, line in enumerate(text.split(b"\n"), 1):
        for entry in control.entries(line):
            try:
                read(entry)
            except (dnsbl.BadZone, existing.BadEntry) as error:
                yield b"line %d is left out: %s" % (number, error.reason)
