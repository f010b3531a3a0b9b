"""users/assign: from its lines to the records of users/cdb (spec/08-control.md 2, 3).

Pure; qmail-newu reads the lines and writes the records. A record is what every qmail's qmail-newu makes of the line,
byte for byte, for every qmail's qmail-lspawn (rules/users says which keys are looked up).
"""

from qmailpy.rules.users import WILDCARDS_KEY, entry_fields
from qmailpy.wire import getpw

TYPE_CHECKING = False
if TYPE_CHECKING:
    Record = tuple[bytes, bytes]

LINE_LIMIT = 65536  # bytes of a line; the longest address has 1 kB, the longest path 4 kB
END = b"."  # what the last line begins with
_WILDCARD, _SIMPLE = b"+", b"="
_FIELDS = 6  # user, uid, gid, home, dash, ext: each ended by a colon


class BadLineError(Exception):
    """A line that is none.  reason: in words."""

    def __init__(self, reason: bytes) -> None:
        """reason: without LF."""
        super().__init__(reason)
        self.reason = reason


class Assignments:
    """The lines of one users/assign, taken in turn."""

    __slots__ = ("_wildcards",)

    def __init__(self) -> None:
        """Nothing has been read yet."""
        self._wildcards = bytearray()

    def record(self, line: bytes) -> "Record":
        """Key and value of one line.  line: without its LF, not the last one.  Errors: BadLineError."""
        if len(line) > LINE_LIMIT:
            raise BadLineError(b"longer than %d bytes" % LINE_LIMIT)
        if b"\0" in line:
            raise BadLineError(b"has a NUL")
        head, colon, rest = line.partition(b":")
        if not colon:
            raise BadLineError(b"has no colon" if line else b"is empty")
        if not head:
            raise BadLineError(b"begins with a colon")
        fields = rest.split(b":", _FIELDS)
        if len(fields) <= _FIELDS:
            raise BadLineError(b"has %d colons where there must be %d" % (len(fields), _FIELDS + 1))
        folded = head[1:].lower()
        value = b"\0".join(fields[:_FIELDS])
        if head[:1] != _WILDCARD:
            return b"!" + folded + b"\0", value
        if folded and folded[-1] not in self._wildcards:
            self._wildcards.append(folded[-1])
        return b"!" + folded, value

    def last_record(self) -> "Record":
        """Under the empty key, the bytes that the wildcards of all lines so far end with."""
        return WILDCARDS_KEY, bytes(self._wildcards)


def doubt(line: bytes, value: bytes) -> bytes:
    """Why a line that has its form will hardly do what its author means; empty where it will.

    value: of its record.
    """
    if line[:1] not in (_WILDCARD, _SIMPLE):
        return b"begins with neither = nor +, and counts as ="
    user = getpw.decode(entry_fields(value, b""))
    if user is None:
        return b"its uid or gid is no number, or its home no absolute path: mail will wait"
    if user.uid == 0:
        return b"its uid is 0: mail will wait, nothing is delivered as root"
    return b""
