"""Delivery instructions: the lines of a .qmail file, or of the default delivery, as the steps they mean.

Pure; local/ carries them out. A step that must be refused is one of the steps: what stands before it has been done by
then. Source: spec/05-local.md 5.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# the words of qmail-local -n, too
MAILDIR, MBOX, PROGRAM, FORWARD, REFUSE = b"maildir", b"mbox", b"program", b"forward", b"refuse"

BLANK = b"Uh-oh: first line of .qmail file is blank. (#4.2.1)"
CR = b"Uh-oh: .qmail has a line that ends with CR. (#4.2.1)"
FILE_WITH_X = b"Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)"
PROGRAM_WITH_X = b"Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)"


class Instruction:
    """One step.  kind: one of the five words; argument: path, command, address, or the sentence of a refusal.

    line: where it stands, from 1 on.
    """

    __slots__ = ("argument", "kind", "line")

    def __init__(self, kind: bytes, argument: bytes, line: int) -> None:
        """Bytes without NUL."""
        self.kind, self.argument, self.line = kind, argument, line


def parse(text: bytes, *, forward_only: bool) -> "Iterator[Instruction]":
    """The steps in their order.  forward_only: the file's x bit is set, or its +list line has been read."""
    lines = text.split(b"\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    for at, raw in enumerate(lines, 1):
        line = raw.rstrip(b" \t").partition(b"\0")[0]  # a NUL ends what the system sees of a line
        first = line[:1]
        if not first:
            if at == 1:
                yield Instruction(REFUSE, BLANK, at)
        elif first == b"#":
            continue
        elif line.endswith(b"\r"):  # a file from another system: a box of that name is one that nobody reads
            yield Instruction(REFUSE, CR, at)
        elif first == b"+":
            forward_only = forward_only or line == b"+list"
        elif first in (b".", b"/"):
            yield _file(line, at) if not forward_only else Instruction(REFUSE, FILE_WITH_X, at)
        elif first == b"|":
            yield Instruction(REFUSE, PROGRAM_WITH_X, at) if forward_only else Instruction(PROGRAM, line[1:], at)
        else:
            yield Instruction(FORWARD, line[1:] if first == b"&" else line, at)


def _file(path: bytes, at: int) -> Instruction:
    return Instruction(MAILDIR if path.endswith(b"/") else MBOX, path, at)
