"""An SMTP dialogue as it is shown to an administrator: every line said and heard, and nothing that is secret.

Overheard stands before a Client (wire/smtp) and passes everything on. Of a login only its mechanism is shown: neither
our words nor the server's questions, and no line of the server's that repeats a part of them. Of a message only how
many bytes of it went. Taken above TLS. At most LINES lines of LONGEST bytes each are told; what is in them is as it
came, and made safe by whoever writes them down (rules/trace).  Used by remote/overhearing.
"""

from qmailpy.wire import smtp
from qmailpy.wire.smtp_body import Body
from qmailpy.wire.smtp_offers import Standing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 200  # of one dialogue
LONGEST = 400  # bytes of a line
SAID, HEARD, NOTE = "said", "heard", "note"
HIDDEN = b"***"
_QUESTION = b"334"  # to AUTH: what stands behind it is half of a secret


class Overheard:
    """One dialogue, and who is told of it.  Its methods: as of smtp.Client."""

    __slots__ = ("_client", "_given", "_left", "_rest", "_tell")

    def __init__(self, client: smtp.Client, tell: "Callable[[str, bytes], None]") -> None:
        """tell(what, line): what is SAID, HEARD or NOTE."""
        self._client, self._tell = client, tell
        self._left = LINES
        self._rest = b""  # of a line that has begun
        self._given = 0  # bytes of the message that were not told of yet

    @property
    def step(self) -> str:
        """Where it stands."""
        return self._client.step

    @property
    def standing(self) -> Standing | None:
        """What the next dialogue begins with."""
        return self._client.standing

    @property
    def body(self) -> Body:
        """How the message goes."""
        return self._client.body

    def begin(self) -> bytes:
        """As of smtp.Client."""
        return self._say(self._client.begin())

    def hear(self, piece: bytes) -> bytes:
        """As of smtp.Client."""
        self._hear(piece)
        return self._say(self._client.hear(piece))

    def secured(self, security: bytes, *, proven: bool) -> bytes:
        """As of smtp.Client."""
        self._rest = b""
        self._line(NOTE, security)
        return self._say(self._client.secured(security, proven=proven))

    def give(self, piece: bytes, *, last: bool) -> bytes:
        """As of smtp.Client."""
        words = self._client.give(piece, last=last)
        if self.step == smtp.DONE:
            return self._say(words)
        for command in self.body.commands:
            self._line(SAID, command)
        self._given += len(piece)
        return words

    def hear_during_body(self, piece: bytes) -> None:
        """As of smtp.Client."""
        self._hear(piece)
        self._client.hear_during_body(piece)

    def cut_off(self) -> bool:
        """As of smtp.Client."""
        return self._client.cut_off()

    def _say(self, words: bytes) -> bytes:
        for line in words.split(b"\r\n")[:-1]:
            self._line(SAID, _without_secrets(line) if self.step == smtp.AUTH else line)
        return words

    def _hear(self, piece: bytes) -> None:
        if not (piece and self._left):
            return
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[: 2 * LONGEST]  # more than is told, so that a secret at its end is still one
        for line in lines[: self._left]:
            shown = line[: 2 * LONGEST].rstrip(b"\r")
            is_question = shown.startswith(_QUESTION) and len(shown) > len(_QUESTION) + 1
            self._line(HEARD, _QUESTION + b" " + HIDDEN if is_question else self._client.masked(shown).rstrip(b"\n"))

    def _line(self, what: str, line: bytes) -> None:
        if self._given:
            given, self._given = self._given, 0
            self._line(SAID, b"(%d bytes of message)" % given)
        if self._left > 0:
            self._left -= 1
            self._tell(what, line[:LONGEST])
            if not self._left:
                self._tell(NOTE, b"(the rest is not shown)")


def _without_secrets(line: bytes) -> bytes:
    """What we say in a login: the command and its mechanism."""
    verb, _, rest = line.partition(b" ")
    if verb != b"AUTH":
        return HIDDEN
    mechanism, _, secret = rest.partition(b" ")
    return b"AUTH " + mechanism + (b" " + HIDDEN if secret else b"")
