"""Delivery commands and reports: what qmail-send says to the spawners, and they to it.

Command: slot, message path, NUL, sender, NUL, recipient, NUL. Report: slot, letter, text, NUL.
First of all the spawner announces how many slots it has. Two notations of a slot (spec/03 2-3, DESIGN 2):
narrow, one byte each way, the classic wire; wide, 32 bits little-endian, the limit introduced by a NUL.
Between programs of ours that were told so (qmail-start's word `traces`) a t before the path asks for the story of this
delivery, and reports with the letter T before the last one tell it, in the notation of rules/trace.
On the wide wire a command for the slot NOBODY is none: its sender is what the sender of the next command's message
wishes (wire/wished), and who does not know that answers that there is no such slot, and delivers without.
Both ends of the protocol are here.
"""

REPORT_LIMIT = 10000  # bytes of a report's text that are kept (spec/03 3)
LETTERS = b"KZD"
TRACE = b"T"  # of a report that is not the last one: what happens to a delivery meanwhile
WISHED = b"QMAILWISHED"  # the variable that has a delivery's wishes for a qmail-remote that is executed
TRACED = b"t"  # before the path of a message: tell it
LOCAL, REMOTE = 0, 1  # the two channels: which spawner a recipient is for
CHANNELS = (b"local", b"remote")  # their names, in the log and in the queue; indexed by channel
_PATH_LIMIT = 100  # bytes of a message path


class Notation:
    """How a slot number is written.  width: bytes; limit: of slots."""

    __slots__ = ("limit", "width")

    def __init__(self, width: int, limit: int) -> None:
        """width: 1 or 4."""
        self.width, self.limit = width, limit

    def slot(self, number: int) -> bytes:
        """A slot number on the wire.  number: 0..limit-1."""
        return number.to_bytes(self.width, "little")

    def announce(self, slots: int) -> bytes:
        """The spawner's first words.  slots: how many deliveries it will run, >= 1."""
        if self.width == 1:
            return bytes((min(slots, self.limit),))
        return b"\0" + slots.to_bytes(4, "little")


NOBODY = 0xFFFFFFFF  # a slot that nobody has
NARROW = Notation(1, 255)
WIDE = Notation(4, 65536)
SPAWN = 120  # slots a spawner announces on the narrow wire (conf-spawn)


class Command:
    """One delivery to make."""

    __slots__ = ("message", "recipient", "sender", "slot", "traced", "wished")

    def __init__(
        self,
        slot: int,
        message: bytes,
        sender: bytes,
        recipient: bytes,
        *,
        traced: bool = False,
        wished: bytes = b"",
    ) -> None:
        """message: path below queue/mess, as 9/2254860; addresses without NUL; traced: its story is wanted.

        wished: parameters, as wire/wished writes them; empty where there are none.
        """
        self.slot, self.message, self.sender, self.recipient = slot, message, sender, recipient
        self.traced, self.wished = traced, wished

    def encode(self, notation: Notation) -> bytes:
        """The bytes for the spawner's fd 0.  On the narrow wire nothing is wished."""
        before = b""
        if self.wished and notation is WIDE:
            before = notation.slot(NOBODY) + b"0\0%s\0@\0" % self.wished
        return (
            before
            + notation.slot(self.slot)
            + b"%s\0%s\0%s\0"
            % (
                TRACED + self.message if self.traced else self.message,
                self.sender,
                self.recipient,
            )
        )


class CommandReader:
    """The spawner's ear: takes bytes, gives commands."""

    __slots__ = ("_notation", "_rest", "_traces", "_wished")

    def __init__(self, notation: Notation, *, traces: bool = False) -> None:
        """notation: NARROW or WIDE; traces: stories may be asked for."""
        self._notation, self._traces = notation, traces
        self._rest = self._wished = b""

    @property
    def partial(self) -> bool:
        """Whether a command has begun that is not complete."""
        return bool(self._rest or self._wished)

    def feed(self, piece: bytes) -> list[Command]:
        """The commands that are complete now."""
        self._rest += piece
        found = []
        at = 0
        width = self._notation.width
        while True:
            ends = []
            end = at + width - 1
            for _ in range(3):
                end = self._rest.find(b"\0", end + 1)
                if end < 0:
                    break
                ends.append(end)
            if len(ends) < 3:
                break
            slot = int.from_bytes(self._rest[at : at + width], "little")
            path = self._rest[at + width : ends[0]]
            sender = self._rest[ends[0] + 1 : ends[1]]
            recipient = self._rest[ends[1] + 1 : ends[2]]
            at = ends[2] + 1
            if slot == NOBODY:  # on the narrow wire there is no such number
                self._wished = sender
                continue
            traced = self._traces and path.startswith(TRACED)
            path = path[1:] if traced else path
            found.append(Command(slot, path, sender, recipient, traced=traced, wished=self._wished))
            self._wished = b""
        self._rest = self._rest[at:]
        return found


def path_fault(message: bytes) -> bytes:
    """What is wrong with a message path, as the start of the reply; empty if it is fine (spec/03 4)."""
    if not message:
        return b"DInternal error: messid too short. (#5.3.5)\n"
    if message.strip(b"0123456789/") or message.startswith(b"/"):
        return b"DInternal error: messid has nonnumerics. (#5.3.5)\n"
    if len(message) > _PATH_LIMIT:
        return b"DInternal error: messid too long. (#5.3.5)\n"
    return b""


class Report:
    """How a delivery ended.  letter: K, Z, D, or something mangled."""

    __slots__ = ("letter", "slot", "text")

    def __init__(self, slot: int, letter: bytes, text: bytes) -> None:
        """text: without NUL."""
        self.slot, self.letter, self.text = slot, letter, text

    def encode(self, notation: Notation) -> bytes:
        """The bytes for qmail-send; a NUL in the text ends it."""
        return notation.slot(self.slot) + self.letter + self.text.partition(b"\0")[0] + b"\0"


class ReportReader:
    """qmail-send's ear: the announcement first, then reports."""

    __slots__ = ("_rest", "_wide", "announced", "notation")

    def __init__(self, wide: bool) -> None:
        """wide: whether the spawner was asked for the wide notation (a C one answers narrow)."""
        self.notation = NARROW
        self.announced: int | None = None
        self._wide = wide
        self._rest = b""

    def note(self) -> bytes:
        """What was announced, in a word that resume() understands."""
        return (b"w" if self.notation is WIDE else b"n") + b"%d" % (self.announced or 0)

    def resume(self, note: bytes) -> None:
        """Go on where another reader stopped, between two reports.  note: what its note() said."""
        self.notation = WIDE if note.startswith(b"w") else NARROW
        self.announced = int(note[1:])

    def feed(self, piece: bytes) -> list[Report]:
        """The reports that are complete now; self.announced is set by the first bytes."""
        self._rest += piece
        if self.announced is None and not self._hear_announcement():
            return []
        found = []
        at = 0
        width = self.notation.width
        while (end := self._rest.find(b"\0", at + width)) >= 0:
            body = self._rest[at + width : end]
            slot = int.from_bytes(self._rest[at : at + width], "little")
            found.append(Report(slot, body[:1], body[1 : REPORT_LIMIT + 1]))
            at = end + 1
        self._rest = self._rest[at:]
        if len(self._rest) > 4 * REPORT_LIMIT:  # a report without end: keep what will be used
            self._rest = self._rest[: 2 * REPORT_LIMIT]
        return found

    def _hear_announcement(self) -> bool:
        if not self._rest:
            return False
        if self._wide and self._rest[0] == 0:
            if len(self._rest) < 5:
                return False
            self.notation = WIDE
            self.announced = min(int.from_bytes(self._rest[1:5], "little"), WIDE.limit)
            self._rest = self._rest[5:]
        else:
            self.announced = self._rest[0]
            self._rest = self._rest[1:]
        return True
