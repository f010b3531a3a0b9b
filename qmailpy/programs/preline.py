"""preline: gives another program the message as an mbox begins it, from a .qmail file.

    preline [-frdFRD] program [argument...]

Before the message come the From_ line ($UFLINE), Return-Path ($RPLINE) and Delivered-To ($DTLINE): procmail and
its kind want them. -f, -r and -d leave one out, -F, -R and -D put it back.
Runs as: the user.
Descriptors: 0 the message; 2 one line if it fails.
Exit codes: the program's; 111 it is killed, or cannot be run just now; 100 it is not there, usage, a variable not set.
Control files: none.  Trusts: its environment, which is its caller's.
"""

from qmailpy.disk.home import Home
from qmailpy.local import feeding
from qmailpy.local.surroundings import required
from qmailpy.rules.environment import DTLINE, RPLINE, UFLINE
from qmailpy.rules.options import UsageError, parse
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, PERM

_USAGE = b"preline: usage: preline [ -frdFRD ] cmd [ arg ... ]"


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del home
    lines = {b"f": required(UFLINE), b"r": required(RPLINE), b"d": required(DTLINE)}
    try:
        options, program = parse(argv[1:], b"frdFRD")
    except UsageError as error:
        descriptors.say(b"preline: " + error.text + b"\n" + _USAGE)
        return EXIT[PERM]
    if not program:
        descriptors.say(_USAGE)
        return EXIT[PERM]
    wanted = dict.fromkeys(lines, True)
    wanted.update((letter.lower(), letter.isupper()) for letter, _ in options)
    head = b"".join(line for letter, line in lines.items() if wanted[letter])
    return feeding.feed(feeding.becoming(program, b"preline"), head)
