"""qmail-newu: makes users/cdb from users/assign.

qmail-newu

Runs as: root, or the owner of an embedded home.  Descriptors: 2 errors, warnings.
Exit codes: 0 users/cdb is new; 111 it is as it was, and the reason is said.
Files: reads users/assign; writes users/cdb.tmp and renames it to users/cdb (spec/08-control.md 3).
Trusts: whoever may write to users/. A delivery that is under way sees the old table or the new one, whole.
"""

import posix

from qmailpy.disk import cdb
from qmailpy.disk.home import Home
from qmailpy.rules import assign
from qmailpy.system import descriptors, lines
from qmailpy.verdict import EXIT, OK, TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE, DRAFT, TABLE = b"users/assign", b"users/cdb.tmp", b"users/cdb"
_WARNINGS = 20  # of one run: who mistakes one line mistakes a thousand


def _records(descriptor: int) -> "Iterator[tuple[bytes, bytes]]":
    """The records of users/cdb.  Errors: Die TEMP with the file, the line's number and the reason."""
    table, number, doubts = assign.Assignments(), 0, 0
    try:
        for line, _ in lines.read_lines(descriptor, assign.LINE_LIMIT):
            number += 1
            if line.startswith(assign.END):
                yield table.last_record()
                return
            record = table.record(line)
            yield record
            if doubts < _WARNINGS and (doubt := assign.doubt(line, record[1])):
                doubts += 1
                descriptors.say(b"qmail-newu: warning: %s: line %d: %s" % (SOURCE, number, doubt))
    except assign.BadLineError as error:
        raise Die(TEMP, b"bad format in %s: line %d: %s" % (SOURCE, number, error.reason)) from None
    except OSError as error:
        raise Die(TEMP, b"unable to read " + SOURCE + b": " + words(error)) from None
    raise Die(TEMP, b"bad format in %s: line %d: the last line must begin with a dot" % (SOURCE, max(number, 1)))


def main(_argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    posix.umask(0o033)
    try:
        posix.chdir(home.path)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir: " + words(error)) from None
    try:
        descriptor = posix.open(SOURCE, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError as error:
        raise Die(TEMP, b"unable to open " + SOURCE + b": " + words(error)) from None
    cdb.write(DRAFT, TABLE, _records(descriptor))
    return EXIT[OK]
