"""sendmail's command line: the union of what dma, Postfix, Exim, msmtp, nullmailer, OpenSMTPD and qmail accept.

Each option acts or is accepted in silence; what asks for another mode than handing over a message says which.
Used by the programs sendmail (and its other names), mailq, newaliases, rmail. Source: spec/07-inject.md 8,
spec/10-neighbours.md c2.
"""

from qmailpy.inject import WISHES
from qmailpy.rules.options import UsageError, parse

DELIVER, LIST, ALIASES, SMTP, FLUSH, EXPLAIN, DAEMON, HOSTS, PURGE, CONFIGURATION, HELP, ABSENT = range(12)

COUNT = b"-bpc"  # a list of which only the length is wanted
NEEDS_RECIPIENT = b"e"  # a letter of $QMAILINJECT, which another qmail-inject than ours ignores
_LETTERS = (
    b"t"  # recipients: the header's too
    b"f:r:F:"  # sender, sender, full name
    b"b:q;IM;"  # modes
    b"N:R:V:"  # wishes about notifications
    b"GUimnvx"  # relayed, submitted, a dot is no end, me too, no aliases, verbose, AIX: as it is, or of no use here
    b"A:B:C:L:O:X:a:e:h:o:p:"  # ignored with their arguments
    b"D;E;J;S;d;-;"  # ignored with what is attached; long options
)
_MODES = {
    b"m": DELIVER,
    b"q": DELIVER,  # dma's "queue only": so we always do
    b"nq": DELIVER,  # Exim's "no qualification" of what comes by SMTP
    b"i": ALIASES,
    **dict.fromkeys((b"s", b"S", b"w"), SMTP),  # S: nobody reads the answers, but they do no harm
    **dict.fromkeys((b"p", b"pa", b"pc", b"pi", b"pr", b"pra", b"pri", b"pru", b"pu"), LIST),
    **dict.fromkeys((b"d", b"df", b"l"), DAEMON),
    **dict.fromkeys((b"t", b"v", b"vs"), EXPLAIN),
    b"h": HOSTS,
    b"H": PURGE,
    b"P": CONFIGURATION,
    b"V": HELP,
    **dict.fromkeys((b"e", b"F", b"f", b"rw", b"rt", b"malware"), ABSENT),  # tests of Exim's own
}
_WITH_NEXT_WORD = frozenset(
    b"-%c" % letter for letter in b"frFbABCLNORVXaehop"
)  # it is no option, whatever it looks like
_TRUSTED = (b"Ma", b"Maa", b"Mai", b"Mas", b"Mi", b"Mm", b"Mr", b"Ms", b"Mt")  # Exim's -oM, where a word follows
_WISHES = {b"dsn-notify": b"N", b"dsn-return": b"R"}  # msmtp's names
_WHO = (
    *(b"QMAILUSER", b"QMAILHOST", b"QMAILSUSER", b"QMAILSHOST", b"MAILUSER", b"MAILHOST"),
    *(b"NULLMAILER_USER", b"NULLMAILER_HOST", b"NULLMAILER_SUSER", b"NULLMAILER_SHOST"),
)
_LONGEST = 1000  # bytes of $EMAIL; an address may have two more
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

    __slots__ = ("mode", "name", "recipients", "sender", "uses_header", "what", "wishes")

    def __init__(self, words: list[bytes], mode: int = DELIVER) -> None:
        """words: without the program's name; mode: of a program that has one of its own.  Errors: UsageError."""
        options, self.recipients = parse(_without_trusted(_with_arguments(words)), _LETTERS)
        self.mode, self.what = mode, b""  # what: the option that asks for the mode
        self.sender: bytes | None = None
        self.name: bytes | None = None
        self.uses_header = False
        self.wishes: dict[bytes, bytes] = {}  # about notifications: a word for -N, -R, -V each
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
            if not (self.mode == DAEMON and value[:1].isdigit()):  # how often the daemon that was asked for shall look
                self._ask(FLUSH, b"-q" + value)
        elif letter == b"I":
            self._ask(ALIASES, b"-I")
        elif letter == b"M":
            self._ask(ABSENT if value else FLUSH, b"-M" + value)
        elif letter in b"NRV":
            self._wish(letter, value)
        elif letter == b"-":
            self._obey_long(*value.partition(b"=")[::2])

    def _wish(self, letter: bytes, value: bytes) -> None:
        from qmailpy.inject import wishes  # few have any: it would cost each message

        self.wishes[letter] = wishes.word(letter, value)

    def _ask(self, mode: int, what: bytes) -> None:
        self.mode, self.what = mode, what

    def _obey_long(self, name: bytes, value: bytes) -> None:
        if name == b"from":
            self.sender = _without_brackets(value)
        elif name == b"read-recipients":
            self.uses_header = True
        elif name in _WISHES:
            self._wish(_WISHES[name], value)
        elif name in (b"help", b"version"):
            self._ask(HELP, b"--" + name)

    def environment(self, environment: dict[bytes, bytes]) -> dict[bytes, bytes | None]:
        """The variables that say to qmail-inject who it is, that somebody must receive it, and wishes; None unsets one.

        environment: ours.
        -f also is the From of a message that has none; an empty sender is no person, and changes nothing. Without -f
        $EMAIL is the same, as in dma, unless a variable says more clearly who we are.
        """
        variables: dict[bytes, bytes | None] = {}
        email = environment.get(b"EMAIL", b"")
        if self.sender is None and _is_address(email) and not any(name in environment for name in _WHO):
            box, _, host = email.rpartition(b"@")
            variables |= {b"QMAILUSER": box, b"QMAILHOST": host}
        if self.sender:
            variables = dict.fromkeys((b"QMAILNAME", b"MAILNAME", b"NAME", b"QMAILHOST", b"MAILHOST"))
            box, at, host = self.sender.rpartition(b"@")
            variables[b"QMAILUSER"] = box if at else host
            if at:
                variables[b"QMAILHOST"] = host
        if self.name is not None:
            variables[b"MAILNAME"] = self.name
        if self.uses_header:
            letters = environment.get(b"QMAILINJECT", environment.get(b"NULLMAILER_FLAGS", b""))
            variables[b"QMAILINJECT"] = letters + NEEDS_RECIPIENT
        if self.wishes:
            variables[WISHES] = b" ".join(filter(None, self.wishes.values()))
        return variables

    def injection(self) -> list[bytes]:
        """The words for qmail-inject, without its name."""
        sender = [] if self.sender is None else [b"-f", self.sender]
        return [b"-H" if self.uses_header else b"-a", *sender, b"--", *self.recipients]


def _is_address(text: bytes) -> bool:
    """Whether it is box@host and nothing else: a name with it is for programs that write headers."""
    box, _, host = text.rpartition(b"@")
    return (
        bool(box and host)
        and len(text) <= _LONGEST
        and not any(byte < 33 or byte in b'<>"(),;:@\\\x7f' for byte in box + host)
    )


def _without_brackets(address: bytes) -> bytes:
    return address[1:-1] if address.startswith(b"<") and address.endswith(b">") else address


def _without_trusted(words: list[bytes]) -> list[bytes]:
    """Without Exim's options that begin with -o and have the next word as their argument: where -oi ends, theirs go on.

    Others write that argument into the same word, or mean something else without one: then the next word stays.
    """
    kept: list[bytes] = []
    left = words[::-1]
    while left:
        word = left.pop()
        if word == b"--" or not word.startswith(b"-"):
            return [*kept, word, *left[::-1]]
        kept.append(word)
        if left and word.startswith(b"-o") and _takes_next(word[2:], left[-1]):
            left.pop()
        elif left and word in _WITH_NEXT_WORD:
            kept.append(left.pop())
    return kept


def _takes_next(option: bytes, word: bytes) -> bool:
    if option in _TRUSTED:
        return True
    if option == b"P":  # a pid file
        return word.startswith(b"/")
    return option in (b"B", b"X", b"r", b"s") and word[:1].isdigit() and b"@" not in word


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
