"""JSON for programs that read what ours tell: one object a line, keys that stay; and the one option that asks for it.

A program that has its own options asks here only for the writing. json costs 10 ms to import: only where it is wanted.
"""

from qmailpy.system import descriptors
from qmailpy.verdict import PERM, Die

WORDS = (b"-j", b"--json")


def is_wanted(argv: list[bytes]) -> bool:
    """Whether --json or -j is among the words; others, which these programs always ignored, still are.

    Errors: Die PERM for another option with two dashes.
    """
    for word in argv[1:]:
        if word.startswith(b"--") and word not in WORDS:
            raise Die(PERM, b"the only option is --json")
    return any(word in WORDS for word in argv[1:])


def text(raw: bytes) -> str:
    """Bytes as JSON has them: what is no UTF-8 becomes lone surrogates, which are written as escapes."""
    return raw.decode("utf-8", "surrogateescape")


def write(told: dict[str, object]) -> None:
    """One line on descriptor 1.  Errors: OutputError."""
    import json

    descriptors.write_all(descriptors.OUTPUT, json.dumps(told).encode() + b"\n")
