"""Envelopes: F sender NUL, then T recipient NUL for each recipient, then a NUL.

Who uses it: every submitter writes one, qmail-queue and the door read one. Both ends are here.
Contents are not judged: an address is any bytes without NUL (spec/02-queue.md 3).

Behind the sender, and behind each recipient, there may be p parameters NUL (wire/parameters). Only the door and our own
qmail-queue are ever given that; anybody else calls it malformed.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.parameters import Written

    Bytes = bytes | bytearray

LONGEST = 1002  # bytes of an address; C's buffer is 1003 with the NUL
MOST_RECIPIENTS = 200_000  # of one message: qmail-send handles all of them in one turn, 0.2 s and 33 MB for so many
FORMAT_EXIT, TOO_LONG_EXIT, CUT_OFF_EXIT, REFUSED_EXIT = 91, 11, 54, 31  # qmail-queue's exit codes


_FAULTS = {
    FORMAT_EXIT: b"the envelope is not F sender NUL, T recipient NUL for each recipient, NUL",
    TOO_LONG_EXIT: b"an address in the envelope has more than 1002 bytes",
    CUT_OFF_EXIT: b"the envelope ended before its last NUL",
    REFUSED_EXIT: b"the envelope has more than %d recipients" % MOST_RECIPIENTS,
}


class EnvelopeError(Exception):
    """The bytes are not an envelope.  code: qmail-queue's exit code, 91, 11, 54 or 31; text: a sentence."""

    def __init__(self, code: int, text: bytes = b"") -> None:
        """code: 91 format, 11 an address is too long, 54 cut off, 31 too many; text: where more is known."""
        super().__init__(code)
        self.code, self.text = code, text or _FAULTS[code]


class Envelope:
    """Sender and recipients, in the order given, nothing removed."""

    __slots__ = ("recipients", "sender")

    def __init__(self, sender: bytes, recipients: list[bytes]) -> None:
        """Bytes without NUL."""
        self.sender, self.recipients = sender, recipients

    def __eq__(self, other: object) -> bool:
        """By content; for tests."""
        if not isinstance(other, Envelope):
            return NotImplemented
        return (self.sender, self.recipients) == (other.sender, other.recipients)

    __hash__ = None  # type: ignore[assignment]

    def encode(self) -> bytes:
        """The bytes for fd 1 of qmail-queue.  Errors: ValueError for a NUL in an address."""
        if b"\0" in self.sender or any(b"\0" in each for each in self.recipients):
            raise ValueError("NUL in an address")
        return b"F%s\0%s\0" % (self.sender, b"".join(b"T%s\0" % each for each in self.recipients))


class Reader:
    """Takes an envelope in pieces of any size.

    It keeps the bytes as they came, not an object for each address: a stranger's million addresses of three bytes
    must not become fifty times as much memory.
    """

    __slots__ = ("_after_address", "_count", "_kept", "_rest", "done")

    def __init__(self) -> None:
        """Nothing read yet."""
        self._rest = b""
        self._kept = bytearray()
        self._count = -1  # of recipients: the first item is the sender
        self._after_address = False  # only there parameters may stand
        self.done = False

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self._kept) + len(self._rest)

    def feed(self, piece: bytes) -> None:
        """More bytes; those after the last NUL of the envelope are ignored.

        Errors: EnvelopeError as soon as it is certain.
        """
        if self.done:
            return
        items = (self._rest + piece).split(b"\0")
        self._rest = items.pop()
        letter = b"T" if self._kept else b"F"
        for item in items:
            if not item and letter == b"T":
                self.done = True
                self._rest = b""
                return
            if self._after_address and item[:1] == b"p":
                self._take_parameters(item)
                continue
            _check(item, letter)
            self._kept += item
            self._kept += b"\0"
            letter = b"T"
            self._after_address = True
            self._count += 1
            if self._count > MOST_RECIPIENTS:
                raise EnvelopeError(REFUSED_EXIT)
        if self._after_address and self._rest[:1] == b"p":
            _check_parameters(self._rest)
        elif self._rest:
            _check(self._rest, letter)

    def _take_parameters(self, item: bytes) -> None:
        """Those of the message behind the sender, those of a recipient behind him."""
        from qmailpy.wire import parameters  # not for everybody's mail: it costs a start

        _check_parameters(item)
        try:
            self._kept += b"p%s\0" % parameters.canonical(item[1:], of_message=self._count == 0)
        except parameters.ParameterError as error:
            raise EnvelopeError(FORMAT_EXIT, b"in the envelope: " + error.text) from None
        self._after_address = False

    def records(self) -> bytes:
        """F sender NUL {T recipient NUL}* with the parameters, once done.  Errors: EnvelopeError(54) where cut off."""
        if not self.done:
            raise EnvelopeError(CUT_OFF_EXIT)
        return bytes(self._kept)

    def give(self) -> bytearray:
        """As records(), the very bytes: an envelope may be 64 MB, and is held once.  The reader has nothing then."""
        if not self.done:
            raise EnvelopeError(CUT_OFF_EXIT)
        kept, self._kept = self._kept, bytearray()
        return kept

    def result(self) -> Envelope:
        """The addresses, once done.  Errors: EnvelopeError(54) where it was cut off."""
        sender, *recipients = self.records()[:-1].split(b"\0")
        return Envelope(sender[1:], [each[1:] for each in recipients if each[:1] == b"T"])


def _check(item: bytes, letter: bytes) -> None:
    if item[:1] != letter:
        raise EnvelopeError(FORMAT_EXIT)
    if len(item) - 1 > LONGEST:
        raise EnvelopeError(TOO_LONG_EXIT)


def _check_parameters(item: bytes) -> None:
    if len(item) - 1 > LONGEST:
        raise EnvelopeError(FORMAT_EXIT, b"parameters in the envelope have more than %d bytes" % LONGEST)


# The records of intd/N and todo/N: u ruid NUL p pid NUL F sender NUL {T recipient NUL}*, and the parameters where C's
# qmail-send does not look: behind the number of p, and in a further p behind a T, where it only wants a number again.


class Todo:
    """What todo/N says: who brought the message, its envelope, its parameters if it has any."""

    __slots__ = ("parameters", "pid", "recipients", "sender", "uid")

    def __init__(
        self, uid: int, pid: int, sender: bytes, recipients: list[bytes], parameters: "Written | None" = None
    ) -> None:
        """uid, pid: of qmail-queue's caller and of qmail-queue."""
        self.uid, self.pid, self.sender, self.recipients = uid, pid, sender, recipients
        self.parameters = parameters


def encode_todo(uid: int, pid: int, records: "Bytes") -> bytes:
    """The content of intd/N (spec/02 4).  records: F sender NUL {T recipient NUL}*, as Reader gives them."""
    return b"".join(todo_pieces(uid, pid, records))


def todo_pieces(uid: int, pid: int, records: "Bytes") -> "tuple[Bytes | memoryview, ...]":
    """The same in pieces: an envelope may be 64 MB, and is held once."""
    end = records.find(0) + 1
    if records[end : end + 1] != b"p":
        return b"u%d\0p%d\0" % (uid, pid), records
    last = records.find(0, end)
    head = b"u%d\0p%d %s\0%s" % (uid, pid, records[end + 1 : last], records[:end])
    return head, memoryview(records)[last + 1 :]


def decode_todo(content: bytes) -> Todo | None:
    """todo/N; None if it has a record of an unknown kind, no sender, or is cut off."""
    if not content.endswith(b"\0"):
        return None
    uid = pid = 0
    sender: bytes | None = None
    recipients: list[bytes] = []
    of_message = b""
    of_recipients: dict[int, bytes] = {}
    for record in content[:-1].split(b"\0"):
        letter, rest = record[:1], record[1:]
        if letter == b"T" and sender is not None:
            recipients.append(rest)
        elif letter == b"p":
            if recipients:
                of_recipients[len(recipients) - 1] = rest
            elif sender is None:
                pid, of_message = _leading_number(rest), rest.partition(b" ")[2]
        elif letter == b"u":
            uid = _leading_number(rest)
        elif letter == b"F":
            sender = rest
        else:
            return None
    if sender is None:
        return None
    return Todo(uid, pid, sender, recipients, _written(of_message, of_recipients))


def _written(of_message: bytes, of_recipients: dict[int, bytes]) -> "Written | None":
    if not of_message and not of_recipients:
        return None
    from qmailpy.wire.parameters import Written  # as above

    return Written(of_message, of_recipients)


def _leading_number(text: bytes) -> int:
    digits = len(text) - len(text.lstrip(b"0123456789"))
    return int(text[: min(digits, 20)] or b"0")


# What a submitter makes of qmail-queue's exit code (spec/00 12): first byte D or Z, then the text.

_RESULTS = {
    11: b"Denvelope address too long for qq (#5.1.3)",
    115: b"Denvelope address too long for qq (#5.1.3)",
    31: b"Dmail server permanently rejected message (#5.3.0)",
    51: b"Zqq out of memory (#4.3.0)",
    52: b"Zqq timeout (#4.3.0)",
    53: b"Zqq write error or disk full (#4.3.0)",
    54: b"Zqq read error (#4.3.0)",
    55: b"Zqq unable to read configuration (#4.3.0)",
    56: b"Zqq trouble making network connection (#4.3.0)",
    61: b"Zqq trouble in home directory (#4.3.0)",
    62: b"Zqq trouble creating files in queue (#4.3.0)",
    63: b"Zqq trouble creating files in queue (#4.3.0)",
    64: b"Zqq trouble creating files in queue (#4.3.0)",
    65: b"Zqq trouble creating files in queue (#4.3.0)",
    66: b"Zqq trouble creating files in queue (#4.3.0)",
    71: b"Zmail server temporarily rejected message (#4.3.0)",
    72: b"Zconnection to mail server timed out (#4.4.1)",
    73: b"Zconnection to mail server rejected (#4.4.1)",
    74: b"Zcommunication with mail server failed (#4.4.2)",
    81: b"Zqq internal bug (#4.3.0)",
    91: b"Zqq internal bug (#4.3.0)",
    120: b"Zunable to exec qq (#4.3.0)",
}
CRASHED = b"Zqq crashed (#4.3.0)"
CUSTOM_TEXT_EXIT = 82  # the text on fd 6 is the result
CUSTOM_TEXT_LIMIT = 255  # bytes of it


def result_text(code: int, custom: bytes = b"") -> bytes:
    """The result of a submission: empty for success, else D or Z and a sentence.

    code: exit code of qmail-queue, 0..255; custom: what came on fd 6.
    """
    if code == 0:
        return b""
    if code == CUSTOM_TEXT_EXIT and len(custom) > 2 and custom[:1] in (b"D", b"Z"):
        return custom[:CUSTOM_TEXT_LIMIT]
    known = _RESULTS.get(code)
    if known is not None:
        return known
    if 11 <= code <= 40:
        return b"Dqq permanent problem (#5.3.0)"
    return b"Zqq temporary problem (#4.3.0)"
