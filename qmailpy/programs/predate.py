"""predate: gives another program its input with a Date field in local time before it.

    predate program [argument...]

Runs as: the caller.
Descriptors: 0 what goes to the program's; 2 one line if it fails.
Exit codes: the program's; 100 usage; 111 it cannot be run, or is killed.
Environment: TZ.  Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.local import feeding
from qmailpy.rules.date import date822_east
from qmailpy.system import clock, descriptors
from qmailpy.verdict import EXIT, PERM, TEMP


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del home
    if len(argv) == 1:
        descriptors.say(b"predate: usage: predate child")
        return EXIT[PERM]
    now = clock.now()
    become = feeding.becoming(argv[1:], b"predate")

    def child() -> int:
        become()
        return EXIT[TEMP]  # a mail that was not sent yet is not refused

    return feeding.feed(child, b"Date: " + date822_east(now, clock.east_of_utc(now)))
