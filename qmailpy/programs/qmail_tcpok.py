"""qmail-tcpok: forgets which hosts have not answered: each is tried again. Also called purgestat.

qmail-tcpok [ --json ]
--json, -j: one JSON object: forgotten, how many hosts.

Runs as: root or qmailr; whoever may write lock/tcpto.
Descriptors: 1 nothing but that; 2 one line if it fails.
Exit codes: 0; 111 the table cannot be written.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk import tcpto as table
from qmailpy.disk.home import Home
from qmailpy.rules import tcpto
from qmailpy.skeletons import json_words
from qmailpy.verdict import OK


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    as_json = json_words.is_wanted(argv)
    hosts = 0
    if as_json:
        hosts = sum(len(list(tcpto.listing(table.read(home, kind), kind))) for kind in (tcpto.V4, tcpto.V6))
    table.forget(home)
    if as_json:
        json_words.write({"forgotten": hosts})
    return OK
