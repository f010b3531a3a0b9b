"""qmail-qstat: counts the messages in the queue, and those that qmail-send has not looked at yet.

qmail-qstat [ --json ]
--json, -j: one JSON object: messages, new (not yet preprocessed).

Runs as: root or a member of group qmail; anybody in an embedded home.
Descriptors: 1 two lines; 2 one line if it fails.
Exit codes: 0; 111 the queue cannot be read.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.disk.queue import listing
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.skeletons import json_words
from qmailpy.system import descriptors
from qmailpy.verdict import OK, TEMP, Die, words


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    as_json = json_words.is_wanted(argv)
    paths = Paths(home)
    try:
        all_messages, new = listing.count(paths)
    except Trouble as trouble:
        hint = b" (only root and group qmail may read the queue)" if isinstance(trouble.error, PermissionError) else b""
        text = b"unable to %s %s: %s" % (trouble.what.encode(), trouble.name, words(trouble.error))
        raise Die(TEMP, text + hint) from None
    if as_json:
        json_words.write({"messages": all_messages, "new": new})
        return OK
    text = b"messages in queue: %d\nmessages in queue but not yet preprocessed: %d\n" % (all_messages, new)
    descriptors.write_all(1, text)
    return OK
