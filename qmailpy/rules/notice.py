"""Reports to a sender as mail programs know them: multipart/report (RFC 6522, 3464), for bounces and what he asked for.

Three parts: the text for people, the same for programs (rules/delivery_status), the message or its header. They come
in pieces, since a message may be large, and both are read before the first one is written. Pure; used by send/reports.
"""

from binascii import b2a_qp

from qmailpy.rules import bounce, date, delivery_status
from qmailpy.rules.bounce import Bounce, Sender
from qmailpy.rules.delivery_status import DELAYED, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from qmailpy.wire.parameters import MessageParameters

_LONGEST_LINE = 990  # bytes that may be sent as they are; RFC 5322 has 998
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n") + b"\x7f"
_ARRIVED = (
    b"Your message has got through to the following addresses, as you asked to be told.\n"
    b"Where another mail system took it over, that one may not tell you what became of it.\n"
)
_LATE = (
    b"Your message has not got through to the following addresses yet.\n"
    b"There is nothing that you must do: I keep trying until %sand tell you if I have to give up.\n"
)


class Survey:
    """A boundary that is in neither the text nor the message: feed() all of both, before either is written."""

    __slots__ = ("_boundary", "_serial", "_stamp", "_tail")

    def __init__(self, stamp: bytes) -> None:
        """stamp: letters and digits of which no two reports have the same; bounds the parts."""
        self._stamp, self._serial = stamp, 0
        self._tail = b""
        self._boundary = self._next()

    def _next(self) -> bytes:
        self._serial += 1
        return b"=_%s.%d" % (self._stamp, self._serial)

    @property
    def boundary(self) -> bytes:
        """A line of it is in nothing that was fed so far."""
        return self._boundary

    def feed(self, piece: bytes) -> bool:
        """More of it.  False: the boundary was in it; there is another now, and all must be fed again."""
        text = self._tail + piece
        self._tail = text[-80:]
        if self._boundary not in text:
            return True
        self._boundary = self._next()
        self._tail = b""
        return False


class Text:
    """The first part's charset and encoding, from what will be in it."""

    __slots__ = ("_encoded", "_utf8", "is_ascii")

    def __init__(self) -> None:
        """Nothing was fed yet."""
        self._encoded, self._utf8, self.is_ascii = False, True, True

    def feed(self, piece: bytes) -> None:
        """piece: whole lines."""
        if not piece.isascii():
            self.is_ascii = False
            try:
                piece.decode()
            except UnicodeDecodeError:
                self._utf8 = False
        if not self._encoded:
            wide = max(map(len, piece.split(b"\n"))) > _LONGEST_LINE
            self._encoded = wide or not self.is_ascii or bool(len(piece.translate(None, _CONTROLS)) < len(piece))

    def header(self) -> bytes:
        """The fields of the part, and the empty line."""
        charset = b"us-ascii" if self.is_ascii else b"utf-8" if self._utf8 else b"iso-8859-1"
        encoding = b"Content-Transfer-Encoding: quoted-printable\n" if self._encoded else b""
        return b"Content-Type: text/plain; charset=%s\n%s\n" % (charset, encoding)

    def encode(self, piece: bytes) -> bytes:
        """piece: whole lines, as they were fed."""
        if not self._encoded:
            return piece
        return b"=\n=0D=\n".join(b2a_qp(part, istext=True) for part in piece.split(b"\r"))


class Notice:
    """One report.  envelope_sender, recipient: of its own envelope."""

    __slots__ = ("_header", "_host", "_opening", "_until", "envelope_sender", "recipient")

    def __init__(self, header: bytes, opening: bytes, us: Sender, envelope: tuple[bytes, bytes]) -> None:
        """Use the functions below.  header, opening: as of Bounce; envelope: sender and recipient."""
        self._header, self._opening, self._host = header, opening, us.host
        self.envelope_sender, self.recipient = envelope
        self._until: int | None = None

    @classmethod
    def of_bounce(cls, failure: Bounce, us: Sender) -> "Notice":
        """The same bounce in this layout."""
        return cls(failure.header, failure.opening, us, (failure.envelope_sender, failure.recipient))

    @classmethod
    def of_success(cls, sender: bytes, us: Sender, when: int, east: int) -> "Notice":
        """Parameters: as of Bounce; sender: not empty, without its VERP mark."""
        return cls(us.header(sender, b"delivery notice", when, east), us.greeting + _ARRIVED, us, (b"", sender))

    @classmethod
    def of_delay(cls, sender: bytes, us: Sender, when: int, east: int, until: int) -> "Notice":
        """until: when we will give up, seconds since the epoch; the others: as above."""
        limit = date.date822_east(until, east) if us.uses_local_time else date.date822(until)  # ends its line
        opening = us.greeting + _LATE % limit
        notice = cls(us.header(sender, b"delay notice", when, east), opening, us, (b"", sender))
        notice._until = until
        return notice

    def pieces(
        self,
        stamp: bytes,
        outcomes: "Callable[[], Iterable[Outcome]]",
        original: "Callable[[], Iterable[bytes]]",
        message: "MessageParameters | None",
        *,
        arrived: int | None,
        whole: bool,
    ) -> "Iterator[bytes]":
        """The report.  outcomes(), original(): from the beginning at each call; original: with its Return-Path.

        stamp: of Survey; message: what is wished for it; arrived: as of delivery_status; whole: or its header only.
        """
        boundary, text = self._surveyed(stamp, outcomes, original)
        yield self._header
        yield b"Message-ID: <%s@%s>\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n" % (stamp, self._host)
        yield b'Content-Type: multipart/report; report-type=delivery-status;\n\tboundary="%s"\n' % boundary
        eight = b"" if all(piece.isascii() for piece in original()) else b"Content-Transfer-Encoding: 8bit\n"
        yield b"%s\n--%s\n%s" % (eight, boundary, text.header())
        yield text.encode(self._opening + b"\n")
        for outcome in outcomes():
            yield text.encode(_paragraph(outcome))
        yield b"\n--%s\nContent-Type: message/delivery-status\n\n" % boundary
        envid = b"" if message is None else message.envid
        yield delivery_status.of_message(self._host, arrived, envid)
        for outcome in outcomes():
            yield delivery_status.of_recipient(outcome, self._until if outcome.action == DELAYED else None)
        wide = message is not None and message.smtputf8
        if whole:
            kind = b"message/global" if wide else b"message/rfc822"
        else:
            kind = b"message/global-headers" if wide else b"text/rfc822-headers"
        yield b"--%s\nContent-Type: %s\n%s\n" % (boundary, kind, eight)
        yield from original()
        yield b"\n--%s--\n" % boundary

    def _surveyed(
        self, stamp: bytes, outcomes: "Callable[[], Iterable[Outcome]]", original: "Callable[[], Iterable[bytes]]"
    ) -> tuple[bytes, Text]:
        survey, text = Survey(stamp), Text()
        text.feed(self._opening)
        for outcome in outcomes():
            text.feed(_paragraph(outcome))
        while not (
            all(survey.feed(piece) for piece in original())
            and all(survey.feed(_paragraph(outcome)) for outcome in outcomes())
        ):
            pass
        return survey.boundary, text


def _paragraph(outcome: Outcome) -> bytes:
    """As rules/bounce writes it."""
    return bounce.record(outcome.address, outcome.text, {})
