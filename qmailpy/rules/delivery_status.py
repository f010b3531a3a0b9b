"""What a report says for programs to read: message/delivery-status (RFC 3464), from the words that people read.

Pure; used by rules/notice.  Everything is ASCII, one line a field: what a host or a sender said can become no field of
its own.
"""

from qmailpy.rules import date
from qmailpy.wire import xtext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FAILED, DELAYED, DELIVERED, RELAYED = b"failed", b"delayed", b"delivered", b"relayed"
_NO_STATUS = {FAILED: b"5.0.0", DELAYED: b"4.0.0", DELIVERED: b"2.0.0", RELAYED: b"2.0.0"}
_CLASSES = {FAILED: b"45", DELAYED: b"4", DELIVERED: b"2", RELAYED: b"2"}  # 4 may fail: it was in the queue too long
_SAID = b"Remote host said: "
_NOT_SAID = (
    *(b"\nGiving up on ", b"\nI'm not going to try again", b"\nMail waits for the relay ", b"\nSent by "),
    b"\nIt was asked to notify ",
)
_WHO = (b" does not like recipient.", b" but ", b" failed on ", b" failed after ", b" accepted message.")
_CONNECTED = b"Connected to "
_LONGEST = 900  # bytes of a value: a line must have less than 998
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else 0x20 if byte in b"\t\r\n" else 0x3F for byte in range(256))


class Outcome:
    """What became of one recipient.

    address: as the sender knows it; action: one of the four above; text: the delivery's report; original: ORCPT,
    decoded, empty where there was none.
    """

    __slots__ = ("action", "address", "original", "text")

    def __init__(self, address: bytes, action: bytes, text: bytes, original: bytes = b"") -> None:
        """As above."""
        self.address, self.action, self.text, self.original = address, action, text, original


def records(pieces: "Iterable[bytes]") -> "Iterator[tuple[bytes, bytes]]":
    """(address, report) of each record in bounce/N, read in pieces; other paragraphs belong to the one before."""
    rest = b""
    address: bytes | None = None
    text = b""
    for piece in (*pieces, b"\n\n"):
        *paragraphs, rest = (rest + piece).split(b"\n\n")
        for paragraph in paragraphs:
            head, _, report = paragraph.strip(b"\n").partition(b"\n")
            if head.startswith(b"<") and head.endswith(b">:"):
                if address is not None:
                    yield address, text
                address, text = head[1:-2], report
            elif address is not None and paragraph:
                text += b"\n" + paragraph
    if address is not None:
        yield address, text


def of_message(host: bytes, arrived: int | None, envid: bytes) -> bytes:
    """The fields about all of it, and the empty line behind them.

    host: who reports; arrived: seconds since the epoch, None where there is more than one message; envid: decoded.
    """
    fields = [_field(b"Original-Envelope-Id", envid)] if envid else []
    fields.append(_field(b"Reporting-MTA", b"dns; " + host))
    if arrived is not None:
        fields.append(b"Arrival-Date: " + date.date822(arrived))
    return b"".join(fields) + b"\n"


def of_recipient(outcome: Outcome, until: int | None = None) -> bytes:
    """The fields about one recipient, and the empty line.  until: when we will give up; seconds since the epoch."""
    said = _said(outcome.text)
    mta = _remote_mta(outcome.text)
    fields = []
    if outcome.original:
        kind, _, address = outcome.original.partition(b";")
        fields.append(_field(b"Original-Recipient", _typed(kind, address)))
    fields.append(_field(b"Final-Recipient", _typed(b"rfc822", outcome.address)))
    fields.append(_field(b"Action", outcome.action))
    fields.append(_field(b"Status", status(outcome.text, outcome.action)))
    if mta:
        fields.append(_field(b"Remote-MTA", b"dns; " + mta))
    if said:
        fields.append(_field(b"Diagnostic-Code", b"smtp; " + said))
    if until is not None:
        fields.append(b"Will-Retry-Until: " + date.date822(until))
    return b"".join(fields) + b"\n"


def status(text: bytes, action: bytes = FAILED) -> bytes:
    """x.y.z: ours, as (#x.y.z); else the remote host's behind its code; else the one that says no more than action."""
    ours, _, _ = text.partition(_SAID)
    for words in (ours, text):
        for part in words.split(b"(#")[1:]:
            found = _enhanced(part.partition(b")")[0], action)
            if found:
                return found
    said = _said(text)
    return _enhanced(said[4:].partition(b" ")[0], action) or _NO_STATUS[action]


def _enhanced(word: bytes, action: bytes) -> bytes:
    parts = word.split(b".")
    fits = len(parts) == 3 and len(parts[0]) == 1 and parts[0] in _CLASSES[action]
    return word if fits and all(1 <= len(part) <= 3 and part.isdigit() for part in parts) else b""


def _said(text: bytes) -> bytes:
    """What the remote host said, from its code on, on one line; empty where it said nothing of that form."""
    said = text.partition(_SAID)[2]
    for end in _NOT_SAID:
        said = said.partition(end)[0]
    return b" ".join(said.split()) if len(said) >= 3 and said[:3].isdigit() and said[3:4] in b" -\n" else b""


def _remote_mta(text: bytes) -> bytes:
    """The address of the host that spoke, as a domain literal."""
    line = text.partition(b"\n")[0].removeprefix(_CONNECTED)
    for end in _WHO:
        address, found, _ = line.partition(end)
        if found and address and not address.strip(b"0123456789abcdefABCDEF:.") and len(address) <= 45:
            return b"[IPv6:%s]" % address if b":" in address else b"[%s]" % address
    return b""


def _typed(kind: bytes, address: bytes) -> bytes:
    """An address with its type; one beyond ASCII in the spelling that is ASCII all the same (RFC 6533 3)."""
    spelled = None if address.isascii() else xtext.embedded(address)
    return kind + b"; " + address if spelled is None else b"utf-8; " + spelled


def _field(name: bytes, value: bytes) -> bytes:
    return b"%s: %s\n" % (name, value.translate(_PRINTABLE)[:_LONGEST])
