"""What a session asks qmail-authd: whether a client has proven who it is.  Private, versioned; both ends are here.

Client: MAGIC and a netstring that holds a list: method, login, secret, challenge (wire/sasl_server.Verify), the
client's address, our port. Server: a netstring that holds a list: verdict, seconds that a refusal should be held back,
what the program that checks passwords said; then it hangs up. Used by receive/authd and skeletons/authenticating.
"""

from qmailpy.wire import netstring

MAGIC = b"qmailpy-auth-1\n"
YES, NO, LATER = b"Y", b"N", b"L"
LIMIT = 16384  # bytes of a question, and of an answer
LONGEST_HOLD = 60  # seconds
SAID_LIMIT = 2048  # bytes that a program may say
_FIELDS = 6
_METHODS = (b"password", b"cram-md5", b"apop", b"scram-first", b"scram-final")
_LIMITS = (16, 255, 1020, 8192, 45, 5)  # bytes of the fields
_ADDRESS, _DIGITS = b"0123456789abcdefABCDEF:.", b"0123456789"


class AuthdError(Exception):
    """The peer does not speak this protocol."""


class Question:
    """Method, login, secret, challenge; remote: the client's IP address; port: ours; these two may be empty."""

    __slots__ = ("challenge", "login", "method", "port", "remote", "secret")

    def __init__(
        self, method: bytes, login: bytes, secret: bytes, challenge: bytes, remote: bytes = b"", port: bytes = b""
    ) -> None:
        """Errors: AuthdError for fields that cannot be asked about."""
        fields = (method, login, secret, challenge, remote, port)
        if method not in _METHODS or not login or any(b"\0" in field for field in fields[:4]):
            raise AuthdError("malformed question")
        if any(len(field) > most for field, most in zip(fields, _LIMITS, strict=True)):
            raise AuthdError("too long")
        if remote.strip(_ADDRESS) or port.strip(_DIGITS):
            raise AuthdError("malformed question")
        self.method, self.login, self.secret, self.challenge = method, login, secret, challenge
        self.remote, self.port = remote, port

    def encode(self) -> bytes:
        """The client's bytes."""
        fields = (self.method, self.login, self.secret, self.challenge, self.remote, self.port)
        return MAGIC + netstring.encode(netstring.pack(fields))

    @property
    def for_program(self) -> bytes:
        """As a program with checkpassword's interface reads it on descriptor 3."""
        return b"%s\0%s\0%s\0" % (self.login, self.secret, self.challenge)


def decode_question(received: bytes) -> Question | None:
    """The question; None while it is not complete.  Errors: AuthdError."""
    if not received.startswith(MAGIC):
        if len(received) < len(MAGIC) and MAGIC.startswith(received):
            return None
        raise AuthdError("not a client of this version")
    fields = _decode(received[len(MAGIC) :])
    if fields is None:
        return None
    if len(fields) != _FIELDS:
        raise AuthdError("malformed question")
    return Question(*fields)


class Answer:
    """verdict: YES, NO, LATER; hold: seconds; said: by the program, or why it is LATER."""

    __slots__ = ("hold", "said", "verdict")

    def __init__(self, verdict: bytes, hold: int = 0, said: bytes = b"") -> None:
        """said: at most SAID_LIMIT bytes."""
        self.verdict, self.hold, self.said = verdict, hold, said

    def encode(self) -> bytes:
        """The server's bytes."""
        return netstring.encode(netstring.pack((self.verdict, b"%d" % self.hold, self.said[:SAID_LIMIT])))


def decode_answer(received: bytes) -> Answer | None:
    """The answer; None while it is not complete.  Errors: AuthdError."""
    fields = _decode(received)
    if fields is None:
        return None
    if len(fields) != 3 or fields[0] not in (YES, NO, LATER):
        raise AuthdError("malformed answer")
    verdict, hold, said = fields
    if not hold or hold.strip(_DIGITS) or len(hold) > 3:
        raise AuthdError("malformed answer")
    return Answer(verdict, min(int(hold), LONGEST_HOLD), said)


def _decode(received: bytes) -> list[bytes] | None:
    """The list in the one netstring that this is, or becomes."""
    decoder = netstring.Decoder(LIMIT)
    try:
        found = decoder.feed(received)
        if len(found) > 1 or (found and not decoder.idle):
            raise AuthdError("too much")
        return netstring.unpack(found[0], LIMIT) if found else None
    except netstring.NetstringError:
        raise AuthdError("malformed") from None


def said(login: bytes, data: bytes) -> bytes:
    """What our own qmail-checkpassword says when the answer is yes: the login as it is written, and what was wanted."""
    return netstring.pack((login, data))


def heard(words: bytes) -> tuple[bytes, bytes]:
    """Login and what was wanted; both empty where another program has said something else, or nothing."""
    try:
        login, data = netstring.unpack(words, SAID_LIMIT)
    except (netstring.NetstringError, ValueError):
        return b"", b""
    return login, data
