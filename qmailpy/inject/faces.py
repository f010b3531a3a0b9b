"""sendmail's command line: the union of what dma, Postfix, Exim, msmtp, nullmailer, OpenSMTPD and qmail accept.

Each option acts or is accepted in silence; what asks for another mode than handing over a message says which.
Used by the programs sendmail, mailq, newaliases. Source: spec/07-inject.md 8, spec/10-neighbours.md c2.
"""

from qmailpy.rules.options import UsageError, parse

DELIVER, LIST, ALIASES, SMTP, FLUSH, HELP, ABSENT = range(7)

_LETTERS = (
    b"t"  # recipients: the header's too
    b"f:r:F:"  # sender, sender, full name
    b"b:q;IM;"  # modes
    b"GUimnvx"  # relayed, submitted, a dot is no end, me too, no aliases, verbose, AIX: as it is, or of no use here
    b"A:B:C:L:N:O:R:V:X:a:e:h:o:p:"  # ignored with their arguments
    b"D;E;J;S;d;-;"  # ignored with what is attached; long options
)
_MODES = {
    b"m": DELIVER,
    b"q": DELIVER,  # dma's "queue only": so we always do
    b"i": ALIASES,
    b"s": SMTP,
    **dict.fromkeys((b"p", b"pa", b"pc", b"pi", b"pr", b"pra", b"pri", b"pru", b"pu"), LIST),
    **dict.fromkeys((b"S", b"d", b"df", b"l", b"t", b"v", b"vs", b"h", b"H"), ABSENT),
    **dict.fromkeys((b"V", b"P", b"e", b"F", b"f", b"rw", b"rt", b"nq", b"w", b"malware"), ABSENT),  # Exim's own
}
_LONG_WITH_ARGUMENT = frozenset(  # msmtp's, where the next word may be the argument
    b"--" + name
    for name in (
        b"account aliases configure domain dsn-notify dsn-return file from host logfile passwordeval port protocol"
        b" proxy-host proxy-port rmqs serverinfo socket source-ip timeout tls-cert-file tls-crl-file tls-fingerprint"
        b" tls-host-override tls-key-file tls-min-dh-prime-bits tls-priorities tls-trust-file user"
    ).split()
)


class Call:
    """What a command line asks for."""

    __slots__ = ("mode", "name", "recipients", "sender", "uses_header", "what")

    def __init__(self, words: list[bytes], mode: int = DELIVER) -> None:
        """words: without the program's name; mode: of a program that has one of its own.  Errors: UsageError."""
        options, self.recipients = parse(_with_arguments(words), _LETTERS)
        self.mode, self.what = mode, b""  # what: the option that asks for the mode
        self.sender: bytes | None = None
        self.name: bytes | None = None
        self.uses_header = False
        for letter, value in options:
            self._obey(letter, value)

    def _obey(self, letter: bytes, value: bytes) -> None:
        if letter == b"t":
            self.uses_header = True
        elif letter in b"fr":
            self.sender = _without_brackets(value)
        elif letter == b"F":
            self.name = value
        elif letter == b"b":
            if value not in _MODES:
                raise UsageError(b"illegal option -- b" + value)
            self._ask(_MODES[value], b"-b" + value)
        elif letter == b"q":
            self._ask(FLUSH, b"-q" + value)
        elif letter == b"I":
            self._ask(ALIASES, b"-I")
        elif letter == b"M":
            self._ask(ABSENT, b"-M" + value)
        elif letter == b"-":
            self._obey_long(*value.partition(b"=")[::2])

    def _ask(self, mode: int, what: bytes) -> None:
        self.mode, self.what = mode, what

    def _obey_long(self, name: bytes, value: bytes) -> None:
        if name == b"from":
            self.sender = _without_brackets(value)
        elif name == b"read-recipients":
            self.uses_header = True
        elif name in (b"help", b"version"):
            self._ask(HELP, b"--" + name)

    def environment(self) -> dict[bytes, bytes | None]:
        """The variables that say to qmail-inject who it is; None unsets one.

        -f also is the From of a message that has none; an empty sender is no person, and changes nothing.
        """
        variables: dict[bytes, bytes | None] = {}
        if self.sender:
            variables = dict.fromkeys((b"QMAILNAME", b"MAILNAME", b"NAME", b"QMAILHOST", b"MAILHOST"))
            box, at, host = self.sender.rpartition(b"@")
            variables[b"QMAILUSER"] = box if at else host
            if at:
                variables[b"QMAILHOST"] = host
        if self.name is not None:
            variables[b"MAILNAME"] = self.name
        return variables

    def injection(self) -> list[bytes]:
        """The words for qmail-inject, without its name."""
        sender = [] if self.sender is None else [b"-f", self.sender]
        return [b"-H" if self.uses_header else b"-a", *sender, b"--", *self.recipients]


def _without_brackets(address: bytes) -> bytes:
    return address[1:-1] if address.startswith(b"<") and address.endswith(b">") else address


def _with_arguments(words: list[bytes]) -> list[bytes]:
    """Long options with their arguments attached."""
    if not any(word.startswith(b"--") and word != b"--" for word in words):
        return words
    attached: list[bytes] = []
    for word in words:
        if attached and attached[-1] in _LONG_WITH_ARGUMENT and b"--" not in attached:
            attached[-1] += b"=" + word
        else:
            attached.append(word)
    return attached
