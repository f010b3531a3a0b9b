"""mailsubj: mails its input, with a subject.

    mailsubj subject recipient...

Runs as: the caller.
Descriptors: 0 the text; 2 one line if it fails.
Exit codes: qmail-inject's; 100 usage.
Environment, control files: qmail-inject's.  Trusts: nobody; what it is told becomes two header fields, and never more.
"""

from qmailpy.disk.home import Home
from qmailpy.inject.running import run_as_ours
from qmailpy.local import feeding
from qmailpy.programs import run
from qmailpy.rules.quote import flat
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, PERM


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    if len(argv) < 3:
        descriptors.say(b"mailsubj: usage: mailsubj subject recipient ...")
        return EXIT[PERM]
    head = b"Subject: " + flat(argv[1]) + b"\nTo: " + flat(b" ".join(argv[2:])) + b"\n\n"
    return feeding.feed(lambda: run_as_ours(run, b"mailsubj", "qmail-inject", [], home), head)
