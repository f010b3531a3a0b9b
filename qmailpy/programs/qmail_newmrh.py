"""qmail-newmrh: makes control/morercpthosts.cdb from control/morercpthosts.

qmail-newmrh [ --json ]
--json, -j: when it is made, one JSON object: file, entries.

Runs as: root, or the owner of an embedded home.  Descriptors: 1 nothing but that; 2 errors.
Exit codes: 0 morercpthosts.cdb is new; 111 it is as it was, and the reason is said.
Files: reads control/morercpthosts; writes control/morercpthosts.tmp and renames it to control/morercpthosts.cdb
(spec/08-control.md 3).
Trusts: whoever may write to control/. A session that is under way sees the old database or the new one, whole.
"""

import posix
from itertools import count

from qmailpy.disk import cdb
from qmailpy.disk.home import Home
from qmailpy.skeletons import json_words
from qmailpy.system import descriptors, lines
from qmailpy.verdict import EXIT, OK, TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE, DRAFT, DATABASE = b"control/morercpthosts", b"control/morercpthosts.tmp", b"control/morercpthosts.cdb"
LINE_LIMIT = 65536  # bytes; no name of a host has more than 255
_BLANKS = b" \t"


def _records(descriptor: int) -> "Iterator[tuple[bytes, bytes]]":
    """Each entry is a key, in lower case, with an empty value.  Errors: Die TEMP."""
    number = 0
    try:
        for line, _ in lines.read_lines(descriptor, LINE_LIMIT):
            number += 1
            if len(line) > LINE_LIMIT:
                raise Die(TEMP, b"unable to use %s: line %d: longer than %d bytes" % (SOURCE, number, LINE_LIMIT))
            entry = line.rstrip(_BLANKS)
            if entry and not entry.startswith(b"#"):
                yield entry.lower(), b""
    except OSError as error:
        raise Die(TEMP, b"unable to read " + SOURCE + b": " + words(error)) from None


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    as_json = json_words.is_wanted(argv)
    posix.umask(0o033)
    try:
        posix.chdir(home.path)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir: " + words(error)) from None
    try:
        descriptor = posix.open(SOURCE, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError as error:
        raise Die(TEMP, b"unable to read " + SOURCE + b": " + words(error)) from None
    try:
        made = count()
        cdb.write(DRAFT, DATABASE, (record for record, _ in zip(_records(descriptor), made, strict=False)))
    finally:
        descriptors.close(descriptor)
    if as_json:
        json_words.write({"file": json_words.text(home.at(DATABASE)), "entries": next(made)})
    return EXIT[OK]
