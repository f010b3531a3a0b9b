"""Carrying out delivery instructions, in their order (spec/05-local.md 5, 7).

Files and programs at once, forwards collected and sent in one transaction at the end, so that a failing line sends
nothing: a delivery that is tried again must not have forwarded already. Then one line that counts what was done.
"""

from qmailpy.disk.home import Home
from qmailpy.local import command, mailboxes
from qmailpy.local.forwarding import forward
from qmailpy.local.message import Message
from qmailpy.rules.instructions import FORWARD, MAILDIR, MBOX, PROGRAM, REFUSE, Instruction
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, TEMP, Die, of_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_TOLD = 20  # instructions of one delivery that are told of
_LONGEST_TOLD = 500  # bytes of each: all of them must fit a resident's answer


class Counts:
    """What was done so far; recipients: of the forwards."""

    __slots__ = ("files", "programs", "recipients")

    def __init__(self) -> None:
        """Nothing yet."""
        self.files = self.programs = 0
        self.recipients: list[bytes] = []

    def add(self, instruction: Instruction) -> None:
        """One line that is carried out now, or collected."""
        if instruction.kind == FORWARD:
            self.recipients.append(instruction.argument)
        elif instruction.kind == PROGRAM:
            self.programs += 1
        else:
            self.files += 1

    @property
    def line(self) -> bytes:
        """The summary: files, forwards, programs."""
        return b"did %d+%d+%d\n" % (self.files, len(self.recipients), self.programs)


def show(instructions: "Iterable[Instruction]") -> int:
    """What would be done, a line each (qmail-local -n).  Result: exit code.  Errors: Die for a line to be refused."""
    counts = Counts()
    for instruction in instructions:
        if instruction.kind == REFUSE:
            raise Die(TEMP, instruction.argument)
        counts.add(instruction)
        descriptors.write_all(1, instruction.kind + b" " + instruction.argument + b"\n")
    descriptors.write_all(1, counts.line)
    return EXIT[OK]


def carry_out(
    instructions: "Iterable[Instruction]",
    message: Message,
    variables: "Mapping[bytes, bytes]",
    home: Home,
    *,
    resident: bool = False,
    told: "list[bytes] | None" = None,
) -> int:
    """Deliver.  variables: of spec/05 2, also in our environment by now; resident: see forward().

    told: gets each instruction that is begun; of a program not what it is called with, which may be a secret.

    Result: exit code.  Errors: Die; the lines before the one that failed have been done, nothing was forwarded.
    """
    counts = Counts()
    for instruction in instructions:
        if instruction.kind == REFUSE:
            raise Die(TEMP, instruction.argument)
        counts.add(instruction)
        if told is not None and len(told) < _TOLD:
            shown = b"" if instruction.kind == PROGRAM else b" " + instruction.argument[:_LONGEST_TOLD]
            told.append(instruction.kind + shown)
        if instruction.kind == MAILDIR:
            mailboxes.into_maildir(instruction.argument, message, variables, counts.files - 1)
        elif instruction.kind == MBOX:
            mailboxes.into_mbox(instruction.argument, message, variables)
        elif instruction.kind == PROGRAM:
            code = command.run(instruction.argument, message, home)
            if code == command.STOP:
                break
            if code:
                return EXIT[of_exit(code)]
    summary = counts.line
    if counts.recipients:
        summary += b"qp %d\n" % forward(counts.recipients, message, variables, home, resident=resident)
    _report(summary)
    return EXIT[OK]


def _report(summary: bytes) -> None:
    """All is delivered: that nobody reads our report must not make it happen again."""
    try:
        descriptors.write_all(1, summary)
    except OSError:
        return
