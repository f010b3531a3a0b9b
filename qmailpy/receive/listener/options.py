"""qmail-listen's command line: tcpserver's, with -4, -6 and -I of its descendants (spec/10 c9).  Pure but for $UID."""

from qmailpy.rules.options import UsageError, parse

NAME = b"qmail-listen"
USAGE = (
    b"usage: qmail-listen [ -1UXpPhHrRoOdDqQv46 ] [ -c limit ] [ -x rules.cdb ] [ -B banner ] [ -g gid ] [ -u uid ]"
    b" [ -b backlog ] [ -l localname ] [ -t timeout ] [ -I interface ] host port program"
)
_LETTERS = b"dDvqQhHrR1UXx:t:u:g:l:b:B:c:pPoO46I:"
_LONGEST = 9  # digits of a number
QUIET, ERRORS, EVERYTHING = range(3)
ANY, IPV4, IPV6 = range(3)


class Options:
    """What was asked for.  uid, gid: None where nobody said; backlog: limit; all else has tcpserver's defaults."""

    __slots__ = (
        "allows_without_rules",
        "asks_name",
        "asks_owner",
        "backlog",
        "banner",
        "delays",
        "family",
        "gid",
        "host",
        "interface",
        "keeps_ip_options",
        "limit",
        "local_name",
        "paranoid",
        "patience",
        "port",
        "prints_port",
        "program",
        "rules",
        "uid",
        "verbosity",
    )

    def __init__(self) -> None:
        """Nothing was said."""
        self.host = self.port = b""
        self.program: list[bytes] = []
        self.verbosity, self.family = ERRORS, ANY
        self.limit, self.backlog, self.patience = 40, 20, 26  # connections; connections; seconds
        self.banner = self.interface = b""
        self.rules: bytes | None = None
        self.local_name: bytes | None = None
        self.uid: int | None = None
        self.gid: int | None = None
        self.asks_name = self.asks_owner = self.delays = True
        self.paranoid = self.allows_without_rules = self.keeps_ip_options = self.prints_port = False

    @property
    def is_verbose(self) -> bool:
        """Whether every connection is told about."""
        return self.verbosity == EVERYTHING


# letter -> attribute and value
_SWITCHES: tuple[tuple[bytes, str, int], ...] = (
    (b"q", "verbosity", QUIET),
    (b"Q", "verbosity", ERRORS),
    (b"v", "verbosity", EVERYTHING),
    (b"h", "asks_name", True),
    (b"H", "asks_name", False),
    (b"p", "paranoid", True),
    (b"P", "paranoid", False),
    (b"r", "asks_owner", True),
    (b"R", "asks_owner", False),
    (b"o", "keeps_ip_options", True),
    (b"O", "keeps_ip_options", False),
    (b"d", "delays", True),
    (b"D", "delays", False),
    (b"X", "allows_without_rules", True),
    (b"1", "prints_port", True),
    (b"4", "family", IPV4),
    (b"6", "family", IPV6),
)
_WORDS = ((b"x", "rules"), (b"l", "local_name"), (b"B", "banner"), (b"I", "interface"))
_NUMBERS = ((b"c", "limit"), (b"b", "backlog"), (b"t", "patience"), (b"u", "uid"), (b"g", "gid"))


def read(words: list[bytes], environment: dict[bytes, bytes]) -> Options:
    """words: after the program's name; environment: for -U.  Errors: UsageError."""
    options = Options()
    switches = {letter: (name, value) for letter, name, value in _SWITCHES}
    texts, numbers = dict(_WORDS), dict(_NUMBERS)
    letters, rest = parse(words, _LETTERS)
    for letter, value in letters:
        if letter in switches:
            setattr(options, *switches[letter])
        elif letter in texts:
            setattr(options, texts[letter], value)
        elif letter in numbers:
            setattr(options, numbers[letter], _number(letter, value))
        else:  # -U
            options.uid = _number(letter, environment.get(b"UID", b"0"))
            options.gid = _number(letter, environment.get(b"GID", b"0"))
    if len(rest) < 3:
        raise UsageError(USAGE)
    options.host, options.port, *options.program = rest
    options.limit = max(options.limit, 1)
    if not any(letter == b"b" for letter, _ in letters):  # or the kernel keeps a crowd waiting for seconds
        options.backlog = max(options.backlog, options.limit)
    options.uid, options.gid = options.uid or None, options.gid or None  # 0 is nobody to become, as in tcpserver
    return options


def _number(letter: bytes, value: bytes) -> int:
    if not value.isdigit() or len(value) > _LONGEST:
        raise UsageError(b"-" + letter + b" is followed by something that is no number")
    return int(value)
