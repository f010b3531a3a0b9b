"""qmail-queuectl's command line: what is to be done, and which messages are meant."""

from qmailpy.disk.queue.entries import Entry
from qmailpy.rules import options
from qmailpy.rules.patterns import Patterns
from qmailpy.verdict import PERM, Die
from qmailpy.wire import asking as question

USAGE = (
    b"usage: qmail-queuectl [ -ajnH ] [ -s sender ] [ -r recipient ] [ -o age ] [ -y age ] [ -t text ] [ -q queue ] "
    b"list|show|cat|hold|release|delete|bounce|retry|move [ number ... ]"
)
ORDERS = {
    b"hold": question.HOLD,
    b"release": question.RELEASE,
    b"delete": question.DELETE,
    b"bounce": question.FAIL,
    b"retry": question.NOW,
    b"move": question.MOVE,
}
SHOWING = (b"list", b"show", b"cat")
_LONG = {b"sender": b"s", b"recipient": b"r", b"older": b"o", b"younger": b"y", b"text": b"t", b"queue": b"q"}
_FLAGS = {b"held": b"H", b"all": b"a", b"dry-run": b"n", b"json": b"j", b"show": b"S"}
_REASON = b"The administrator of this mail system has taken the message out of its queue. (#5.7.0)"
_UNITS = {b"s": 1, b"m": 60, b"h": 3600, b"d": 86400, b"w": 604800}
_LONGEST = 12  # digits of an age
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def seconds(age: bytes) -> int | None:
    """90, 15m, 2h, 3d or 1w; None where it is none of these."""
    unit = _UNITS.get(age[-1:])
    digits = age if unit is None else age[:-1]
    if not digits or len(digits) > _LONGEST or digits.strip(b"0123456789"):
        return None
    return int(digits) * (unit or 1)


class Choice:
    """Which messages are meant.  Every kind of condition that is given must fit, one of its kind is enough."""

    def __init__(self) -> None:
        """All messages."""
        self.numbers: set[int] = set()
        self.senders: list[bytes] = []
        self.recipients: list[bytes] = []
        self.older: int | None = None  # seconds
        self.younger: int | None = None
        self.held = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        aged = self.older is not None or self.younger is not None
        return not (self.numbers or self.senders or self.recipients or aged or self.held)

    def fits(self, entry: Entry, now: int, *, held: bool) -> bool:
        """now: seconds since the epoch."""
        age = now - entry.birth
        return (
            (not self.numbers or entry.number in self.numbers)
            and (not self.held or held)
            and (self.older is None or age >= self.older)
            and (self.younger is None or age <= self.younger)
            and (not self.senders or _is_sender(self.senders, entry.sender))
            and (not self.recipients or self._has_recipient(entry))
        )

    def _has_recipient(self, entry: Entry) -> bool:
        patterns = Patterns(self.recipients)
        return any(patterns.has_address(address) for done, _, address in entry.recipients if not done)


def _is_sender(wanted: list[bytes], sender: bytes) -> bool:
    """The empty sender, of bounces, is <>."""
    return Patterns(wanted).has_address(sender or b"<>")


class Call:
    """A command line."""

    def __init__(self, argv: list[bytes]) -> None:
        """Errors: Die PERM."""
        found, others = _parse(argv[1:])
        self.choice, self.text, self.place, letters = Choice(), _REASON, b"", set()
        for given, value in found:
            letter, content = _spelled_out(value) if given == b"-" else (given, value)
            letters.add(letter)
            self._take(letter, content)
        self.json, self.dry, self.all = b"j" in letters, b"n" in letters, b"a" in letters
        self.choice.held = b"H" in letters
        others = [b"show", *others] if b"S" in letters else others
        self.command = others[0] if others else b"list"
        if self.command not in (*ORDERS, *SHOWING):
            raise Die(PERM, USAGE)
        self.choice.numbers = {_number(word) for word in others[1:]}
        if self.command in (b"show", b"cat") and not self.choice.numbers:
            raise Die(PERM, b"which message? " + self.command + b" needs its number\n" + USAGE)
        if self.command == b"move":
            self.text = self._checked_place()
        if self.command in ORDERS and self.choice.is_empty and not self.all:
            raise Die(PERM, b"which messages? Name numbers, or choose by -s, -r, -o, -y, -H; -a means all\n" + USAGE)

    def _checked_place(self) -> bytes:
        """Errors: Die PERM; whether there is anything is looked at by who runs it (skeletons/elsewhere)."""
        if not self.place or len(self.place) > question.REASON_LIMIT:
            raise Die(PERM, b"where to? -q names a queue program, or the home of another qmail\n" + USAGE)
        return self.place

    def _take(self, letter: bytes, content: bytes) -> None:
        choice = self.choice
        if letter == b"s":
            choice.senders.append(content)
        elif letter == b"r":
            choice.recipients.append(content)
        elif letter == b"o":
            choice.older = _age(content)
        elif letter == b"y":
            choice.younger = _age(content)
        elif letter == b"t":
            self.text = content[: question.REASON_LIMIT]  # as qmail-send takes it, and its orders/ keeps it whole
        elif letter == b"q":
            self.place = content


def _parse(words: list[bytes]) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """Options may stand behind the command, too."""
    found: list[tuple[bytes, bytes]] = []
    others: list[bytes] = []
    while words:
        try:
            more, rest = options.parse(words, b"ajnHs:r:o:y:t:q:-;")
        except options.UsageError as error:
            raise Die(PERM, error.text + b"\n" + USAGE) from None
        found += more
        others += rest[:1]
        words = rest[1:]
    return found, others


def _spelled_out(word: bytes) -> tuple[bytes, bytes]:
    name, equals, content = word.partition(b"=")
    letter = _LONG.get(name) if equals else _FLAGS.get(name)
    if letter is None:
        raise Die(PERM, b"unknown option --" + name.translate(_PRINTABLE) + b"\n" + USAGE)
    return letter, content


def _number(word: bytes) -> int:
    digits = word.removeprefix(b"#")
    if not digits or len(digits) > 20 or digits.strip(b"0123456789"):
        raise Die(PERM, word.translate(_PRINTABLE) + b" is no number of a message\n" + USAGE)
    return int(digits)


def _age(word: bytes) -> int:
    age = seconds(word)
    if age is None:
        raise Die(PERM, word.translate(_PRINTABLE) + b" is no age: 90, 15m, 2h, 3d, 1w\n" + USAGE)
    return age
