"""Envelope parameters: what a sender wishes beside the addresses, as ESMTP says it (RFC 3461, 6152, 6531).

Of a message: RET=FULL or HDRS, ENVID=xtext, BODY=7BIT or 8BITMIME, SMTPUTF8. Of each recipient: NOTIFY=NEVER, or some
of SUCCESS,FAILURE,DELAY; ORCPT=type;xtext. Their text is "KEYWORD=VALUE KEYWORD=VALUE" in SMTP and in the queue alike;
what encode() gives has no control byte, and is the same for all spellings of the same wish: nothing that a stranger
says here can become a record or a line of its own. They are wishes: who does not know them delivers as always.

Used by whoever submits with wishes, the door, qmail-send. Loaded only where there are some: it would cost every start.
"""

from qmailpy.wire import xtext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FULL, HDRS = b"FULL", b"HDRS"
NEVER, SUCCESS, FAILURE, DELAY = b"NEVER", b"SUCCESS", b"FAILURE", b"DELAY"
LONGEST_ENVID = 100  # characters, decoded
LONGEST_ORCPT = 500  # characters, encoded
_EVENTS = (SUCCESS, FAILURE, DELAY)  # in this order they are written
_BODIES = (b"7BIT", b"8BITMIME")
_PRINTABLE = bytes(range(32, 127))
_ATOM = bytes(byte for byte in range(33, 127) if byte not in b'()<>@,;:\\"/[]?=.+')  # of which a type is made
_BEYOND_ASCII = bytes(range(128, 256))
_UTF8 = b"utf-8"  # the type of an address that may have bytes beyond ASCII (RFC 6533)
_USUAL = (b"", b"FAILURE", b"FAILURE,DELAY")  # what happens anyhow


class ParameterError(Exception):
    """A parameter that cannot be.  text: a sentence in ASCII, with nothing of what was said in it."""

    def __init__(self, text: bytes) -> None:
        """text: without LF."""
        super().__init__(text)
        self.text = text


class MessageParameters:
    """What goes for the whole message.

    ret: FULL, HDRS; body: 7BIT, 8BITMIME; envid: decoded, printable ASCII; each empty where it was not said.
    """

    __slots__ = ("body", "envid", "ret", "smtputf8")

    def __init__(self) -> None:
        """No wish yet: take() adds them."""
        self.ret = self.envid = self.body = b""
        self.smtputf8 = False

    @classmethod
    def parse(cls, text: bytes) -> "MessageParameters":
        """KEYWORD=VALUE, one space, KEYWORD=VALUE; empty: none.  Errors: ParameterError, also for other keywords."""
        parameters = cls()
        _take_all(text, parameters.take, b"message")
        return parameters

    def take(self, keyword: bytes, value: bytes | None) -> bool:
        """One word of MAIL; value: None where there is no "=".  False: it is none of these.  Errors: ParameterError."""
        keyword = keyword.upper()
        if keyword == b"SMTPUTF8":
            if value is not None:
                raise ParameterError(b"SMTPUTF8 has no value")
            _refuse_twice(keyword, said=self.smtputf8)
            self.smtputf8 = True
        elif keyword == b"RET":
            _refuse_twice(keyword, said=self.ret)
            self.ret = _one_of(keyword, value, (FULL, HDRS))
        elif keyword == b"BODY":
            _refuse_twice(keyword, said=self.body)
            self.body = _one_of(keyword, value, _BODIES)
        elif keyword == b"ENVID":
            _refuse_twice(keyword, said=self.envid)
            self.envid = _envid(value)
        else:
            return False
        return True

    def encode(self) -> bytes:
        """The text; empty where there is no wish."""
        words = []
        if self.ret:
            words.append(b"RET=" + self.ret)
        if self.envid:
            words.append(b"ENVID=" + xtext.encode(self.envid))
        if self.body:
            words.append(b"BODY=" + self.body)
        if self.smtputf8:
            words.append(b"SMTPUTF8")
        return b" ".join(words)

    @property
    def is_usual(self) -> bool:
        """Whether a sender notices nothing where these are dropped."""
        return self.ret in (b"", FULL) and not self.envid


class RecipientParameters:
    """What goes for one recipient.

    notify: NEVER, or some of SUCCESS,FAILURE,DELAY in this order; orcpt: type;address, decoded: the address that the
    sender named first, printable (of the type utf-8: also UTF-8); each empty where it was not said.
    """

    __slots__ = ("notify", "orcpt")

    def __init__(self) -> None:
        """No wish yet: take() adds them."""
        self.notify = self.orcpt = b""

    @classmethod
    def parse(cls, text: bytes) -> "RecipientParameters":
        """As MessageParameters.parse()."""
        parameters = cls()
        _take_all(text, parameters.take, b"recipient")
        return parameters

    def take(self, keyword: bytes, value: bytes | None) -> bool:
        """One word of RCPT; value: None where there is no "=".  False: it is none of these.  Errors: ParameterError."""
        keyword = keyword.upper()
        if keyword == b"NOTIFY":
            _refuse_twice(keyword, said=self.notify)
            self.notify = _notify(value)
        elif keyword == b"ORCPT":
            _refuse_twice(keyword, said=self.orcpt)
            self.orcpt = _orcpt(value)
        else:
            return False
        return True

    def encode(self) -> bytes:
        """The text; empty where there is no wish."""
        words = []
        if self.notify:
            words.append(b"NOTIFY=" + self.notify)
        if self.orcpt:
            kind, _, address = self.orcpt.partition(b";")
            words.append(b"ORCPT=%s;%s" % (kind, xtext.encode(address, _beyond(kind))))
        return b" ".join(words)

    @property
    def wants_no_failure(self) -> bool:
        """Whether the sender said what he wants to hear of, and a failure is not among it."""
        return self.notify != b"" and FAILURE not in self.notify.split(b",")

    @property
    def is_usual(self) -> bool:
        """Whether a sender notices nothing where these are dropped."""
        return self.notify in _USUAL


class Parameters:
    """Those of a whole envelope, or of one delivery: then there is one recipient.

    message: never None, but it may be empty; recipients: in the order of the envelope's; any, or those at the end, may
    be missing.
    """

    __slots__ = ("message", "recipients")

    def __init__(
        self, message: MessageParameters | None = None, recipients: "Sequence[RecipientParameters | None]" = ()
    ) -> None:
        """message: None where nothing is wished for it."""
        self.message = message or MessageParameters()
        self.recipients = recipients

    @property
    def is_usual(self) -> bool:
        """Whether a sender notices nothing where these are dropped."""
        return self.message.is_usual and all(each is None or each.is_usual for each in self.recipients)

    def envelope(self, sender: bytes, recipients: "Sequence[bytes]") -> bytes:
        """The envelope with these in it, for the door and our own qmail-queue, and for nobody else.

        F sender NUL [p text NUL] then T recipient NUL [p text NUL] for each, and a NUL.
        Errors: ValueError for a NUL in an address.
        """
        if b"\0" in sender or any(b"\0" in each for each in recipients):
            raise ValueError("NUL in an address")
        pieces = [b"F%s\0" % sender, _record(self.message.encode())]
        last: RecipientParameters | None = None
        record = b""
        for at, recipient in enumerate(recipients):
            wished = self.recipients[at] if at < len(self.recipients) else None
            if wished is not last:  # most often all have the same
                last, record = wished, b"" if wished is None else _record(wished.encode())
            pieces += (b"T%s\0" % recipient, record)
        pieces.append(b"\0")
        return b"".join(pieces)


class Written:
    """Parameters as the queue has them: text that nobody has taken apart yet.

    message: empty where there are none; recipients: index of the recipient -> text, of those that have some.
    """

    __slots__ = ("message", "recipients")

    def __init__(self, message: bytes, recipients: dict[int, bytes]) -> None:
        """As above."""
        self.message, self.recipients = message, recipients


def canonical(text: bytes, *, of_message: bool) -> bytes:
    """The one spelling of this text, which is not empty.  of_message: or of a recipient.  Errors: ParameterError."""
    parsed = MessageParameters.parse(text) if of_message else RecipientParameters.parse(text)
    encoded = parsed.encode()
    if not encoded:
        raise ParameterError(b"an empty parameter")
    return encoded


def of_message(text: bytes) -> MessageParameters | None:
    """What a queue file says; None where it says nothing, or something that we do not understand."""
    try:
        return MessageParameters.parse(text) if text else None
    except ParameterError:
        return None


def of_recipient(text: bytes) -> RecipientParameters | None:
    """What a queue file says; None where it says nothing, or something that we do not understand."""
    try:
        return RecipientParameters.parse(text) if text else None
    except ParameterError:
        return None


def of_delivery(message: MessageParameters | None, recipient: RecipientParameters | None) -> Parameters | None:
    """Those of one delivery; None where there are none."""
    return None if message is None and recipient is None else Parameters(message, [recipient])


def _take_all(text: bytes, take: "Callable[[bytes, bytes | None], bool]", whose: bytes) -> None:
    for word in text.split(b" ") if text else ():
        keyword, equals, value = word.partition(b"=")
        if not take(keyword, value if equals else None):
            raise ParameterError(b"unknown parameter of a " + whose)


def _record(text: bytes) -> bytes:
    return b"p%s\0" % text if text else b""


def _refuse_twice(keyword: bytes, *, said: bytes | bool) -> None:
    if said:
        raise ParameterError(keyword + b" is said twice")


def _one_of(keyword: bytes, value: bytes | None, allowed: tuple[bytes, ...]) -> bytes:
    chosen = (value or b"").upper()
    if chosen not in allowed:
        raise ParameterError(keyword + b" must be " + b" or ".join(allowed))
    return chosen


def _notify(value: bytes | None) -> bytes:
    words = (value or b"").upper().split(b",")
    if words == [NEVER]:
        return NEVER
    if len(words) > len(_EVENTS) or any(word not in _EVENTS for word in words):
        raise ParameterError(b"NOTIFY must be NEVER, or some of SUCCESS,FAILURE,DELAY with commas between them")
    return b",".join(event for event in _EVENTS if event in words)


def _envid(value: bytes | None) -> bytes:
    envid = xtext.decode(value or b"")
    if not envid or len(envid) > LONGEST_ENVID or envid.translate(None, _PRINTABLE):
        raise ParameterError(b"ENVID must be 1 to %d printable characters of ASCII, in xtext" % LONGEST_ENVID)
    return envid


def _orcpt(value: bytes | None) -> bytes:
    kind, _, text = (value or b"").partition(b";")
    beyond = _beyond(kind)
    address = xtext.decode(text, beyond)
    if not kind or kind.translate(None, _ATOM) or not address:
        raise ParameterError(b"ORCPT must be a type, a semicolon, and an address in xtext")
    if address.translate(None, _PRINTABLE + beyond) or not _is_unicode(address):
        raise ParameterError(b"ORCPT must be printable")
    if len(kind) + 1 + len(xtext.encode(address, beyond)) > LONGEST_ORCPT:
        raise ParameterError(b"ORCPT is longer than %d characters" % LONGEST_ORCPT)
    return kind + b";" + address


def _beyond(kind: bytes) -> bytes:
    """The bytes beyond ASCII that an address of this type may have."""
    return _BEYOND_ASCII if kind.lower() == _UTF8 else b""


def _is_unicode(address: bytes) -> bool:
    """Whether it is ASCII, or well-formed UTF-8 without further control characters."""
    try:
        return address.isascii() or not any(0x80 <= ord(character) < 0xA0 for character in address.decode())
    except UnicodeDecodeError:
        return False
