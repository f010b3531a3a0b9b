"""Bounces: the record of one failure in bounce/N, and the message that carries them home (spec/04 6).

The layout is QSBMF: the first paragraph begins "Hi. This is the", each recipient's with "<", the last with "-".
rules/notice says the same, and more, in the layout that mail programs know.
"""

from qmailpy.rules import date, quote, rewrite, verp

SINGLE, DOUBLE = 1, 2
_NO_LINE_END = bytes(ord("_") if byte in b"\r\n" else byte for byte in range(256))
DOUBLE_SENDER = b"#@[]"  # the envelope sender of a double bounce; if that bounces it is dropped

_OPENING = {
    SINGLE: (
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        b"This is a permanent error; I've given up. Sorry it didn't work out.\n"
    ),
    DOUBLE: b"I tried to deliver a bounce message to this address, but the bounce bounced!\n",
}
_BREAK = {
    SINGLE: b"--- Below this line is a copy of the message.\n",
    DOUBLE: b"--- Below this line is the original bounce.\n",
}
_COLLECTED = (
    b"I'm afraid I wasn't able to deliver %d more of your messages to the following addresses.\n"
    b"You have had many notices like this within the hour; these failures come in one.\n"
    b"They are permanent errors; I've given up. Sorry it didn't work out.\n"
)
_COLLECTED_BREAK = b"--- Below this line is the header of one of the messages.\n"


def record(recipient: bytes, report: bytes, virtual: dict[bytes, bytes]) -> bytes:
    """What is appended to bounce/N for one recipient.

    recipient: as stored, with its virtualdomains prefix; report: the delivery's text, any bytes; virtual: the map of
    control/virtualdomains.  The result has no empty line but its last, unless the report ends in two LFs.
    """
    if report and not report.endswith(b"\n"):
        report += b"\n"
    text = b"<%s>:\n%s" % (without_prefix(recipient, virtual).replace(b"\n", b"_"), report)
    if b"\n\n" in text[:-1]:
        text = _without_empty_lines(text)
    return text + b"\n"


def _without_empty_lines(text: bytes) -> bytes:
    """Every LF after an LF becomes a slash; the very last byte stays."""
    kept = bytearray(text)
    for at in range(len(text) - 2, 0, -1):
        if text[at] == text[at - 1] == 10:
            kept[at] = ord("/")
    return bytes(kept)


def without_prefix(recipient: bytes, virtual: dict[bytes, bytes]) -> bytes:
    """The address as the sender knows it: list-v2-x@virt.com was x@virt.com.

    The first key of virtualdomains that fits the domain decides, as when the prefix was added.
    """
    _, at, domain = recipient.rpartition(b"@")
    if not at or not virtual:
        return recipient
    value = rewrite.domain_value(domain.lower(), virtual)
    return recipient.removeprefix(value + b"-") if value else recipient


class Sender:
    """Who bounce messages come from, where double bounces go, how they look: seven control files."""

    __slots__ = ("double_to", "headers_only", "host", "is_mime", "user", "uses_local_time")

    def __init__(
        self,
        user: bytes,
        host: bytes,
        double_to: bytes,
        *,
        uses_local_time: bool = False,
        is_mime: bool = False,
        headers_only: bool = False,
    ) -> None:
        """user: bouncefrom; host: bouncehost; double_to: doublebounceto@doublebouncehost.

        is_mime: in the layout of rules/notice; headers_only: never with the body of the message.
        """
        self.user, self.host, self.double_to, self.uses_local_time = user, host, double_to, uses_local_time
        self.is_mime, self.headers_only = is_mime, headers_only

    def header(self, recipient: bytes, subject: bytes, when: int, east: int) -> bytes:
        """The fields that every message of ours begins with.  Parameters: as of Bounce."""
        return b"Date: %sFrom: %s@%s\nTo: %s\nSubject: %s\n" % (
            date.date822_east(when, east) if self.uses_local_time else date.date822(when),
            quote.quote(self.user),
            self.host,
            quote.quote2(recipient).translate(_NO_LINE_END),  # quoted or not, no second header line
            subject,
        )

    @property
    def greeting(self) -> bytes:
        """The first line of the text."""
        return b"Hi. This is the qmail-send program at %s.\n" % self.host


class Bounce:
    """A bounce message: its envelope, and the text around the records and around the original."""

    __slots__ = ("before", "between", "envelope_sender", "header", "opening", "recipient")

    def __init__(self, sender: bytes, us: Sender, when: int, east: int = 0, also: int = 0) -> None:
        """sender: of the message that failed, not DOUBLE_SENDER; when: seconds since the epoch.

        east: seconds that local time is ahead of UTC, where it is used; also: how many messages this is about that the
        sender could not be told of one by one; 0 for the bounce of one message.
        """
        sender = verp.base(sender)
        kind = SINGLE if sender else DOUBLE
        self.envelope_sender = b"" if sender else DOUBLE_SENDER
        self.recipient = sender or us.double_to
        self.header = us.header(self.recipient, b"failure notice", when, east)
        self.opening = us.greeting + (_COLLECTED % also if also else _OPENING[kind])
        self.before = b"%s\n%s\n" % (self.header, self.opening)
        line = _COLLECTED_BREAK if also else _BREAK[kind]
        self.between = line + b"\n" + return_path(sender)


def return_path(sender: bytes) -> bytes:
    """The line that the copy of a message begins with."""
    return b"Return-Path: <%s>\n" % quote.quote2(sender).translate(_NO_LINE_END)


def is_triple(sender: bytes) -> bool:
    """Whether a failure of a message from this sender is only logged."""
    return sender == DOUBLE_SENDER
