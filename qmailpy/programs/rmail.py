"""rmail: takes a message that came by UUCP, or from whatever else calls the program of this name.

    rmail recipient...

Runs as: the caller.
Descriptors: 0 the message, with the From_ lines that say who sent it; 2 one line if it fails.
Exit codes: those of sendmail.
Control files: those of qmail-inject.  Trusts: as qmail-inject; a sender is only what somebody says.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.inject.faces import Call
from qmailpy.inject.running import run_as_ours
from qmailpy.local import feeding
from qmailpy.programs import run
from qmailpy.rules.options import UsageError
from qmailpy.rules.uucp import is_from_line, may_be_from_line, sender
from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die

_USAGE, _TEMPORARY = 64, 75  # sysexits
_LONGEST = 4096  # bytes of such a line
_MOST = 50  # such lines


def _from_lines() -> tuple[list[bytes], bytes]:
    """The lines, and the first bytes of what comes after them: no more is read than must be.  Errors: Die TEMP."""
    lines: list[bytes] = []
    line = b""
    while may_be_from_line(line) and len(line) < _LONGEST and len(lines) < _MOST:
        try:
            byte = posix.read(0, 1)
        except OSError:
            raise Die(TEMP, b"read error", _TEMPORARY) from None
        line += byte
        if byte == b"\n" and is_from_line(line):
            lines.append(line)
            line = b""
        elif not byte or byte == b"\n":
            break
    return lines, line


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        call = Call(argv[1:])
    except UsageError as error:
        descriptors.say(b"rmail: " + error.text)
        return _USAGE
    if not call.recipients:
        descriptors.say(b"rmail: usage: rmail recipient ...")
        return _USAGE
    lines, rest = _from_lines()
    said = sender(lines) if call.sender is None else call.sender
    words = [] if said is None else [b"-f", said]
    words += [b"--", *call.recipients]
    return feeding.feed(lambda: run_as_ours(run, b"rmail", "sendmail", words, home), rest)
