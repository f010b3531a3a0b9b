"""qmail-tcpto: lists the hosts that have not answered qmail-remote lately. Also called hoststat.

qmail-tcpto [ --json ]
--json, -j: one JSON object a line for each: address, seconds (since the last time-out), timeouts (recent ones).

Runs as: root or qmailr; whoever may read lock/tcpto.
Descriptors: 1 a line for each host; 2 one line if it fails.
Exit codes: 0; 111 the table cannot be read.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk import tcpto as table
from qmailpy.disk.home import Home
from qmailpy.rules import literal, tcpto
from qmailpy.skeletons import json_words
from qmailpy.system import clock, descriptors
from qmailpy.verdict import OK


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file.  Source: spec/08 7."""
    as_json = json_words.is_wanted(argv)
    now = clock.now()
    hosts = [
        (literal.text_of(ip), tcpto.age(when, now, kind), count)
        for kind in (tcpto.V4, tcpto.V6)
        for ip, count, when in tcpto.listing(table.read(home, kind), kind)
    ]
    if as_json:
        for address, seconds, count in hosts:
            json_words.write({"address": json_words.text(address), "seconds": seconds, "timeouts": count})
        return OK
    lines = [b"%s timed out %d seconds ago; # recent timeouts: %d\n" % host for host in hosts]
    descriptors.write_all(1, b"".join(lines))
    return OK
