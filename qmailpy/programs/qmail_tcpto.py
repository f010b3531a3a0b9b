"""qmail-tcpto: lists the hosts that have not answered qmail-remote lately. Also called hoststat.

Runs as: root or qmailr; whoever may read lock/tcpto.
Descriptors: 1 a line for each host; 2 one line if it fails.
Exit codes: 0; 111 the table cannot be read.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk import tcpto as table
from qmailpy.disk.home import Home
from qmailpy.rules import literal, tcpto
from qmailpy.system import clock, descriptors
from qmailpy.verdict import OK


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no arguments
    """See the head of this file.  Source: spec/08 7."""
    now = clock.now()
    lines = [
        b"%s timed out %d seconds ago; # recent timeouts: %d\n"
        % (literal.text_of(ip), tcpto.age(when, now, kind), count)
        for kind in (tcpto.V4, tcpto.V6)
        for ip, count, when in tcpto.listing(table.read(home, kind), kind)
    ]
    descriptors.write_all(1, b"".join(lines))
    return OK
