"""forward: sends a message on, from a .qmail file.

    forward address...

The message, with the line by which a loop is known before it, goes to the addresses as they are; what bounces goes to
$NEWSENDER. Beside a plain address line it is of use behind a filter: |grep -v ^X-Spam: | forward joe@example.org
Runs as: the user.
Descriptors: 0 the message; 2 `forward: qp N`, or one line if it fails.
Exit codes: 0 queued; 100 never will be (no address, NEWSENDER or DTLINE not set, refused for good); 111 try later.
Control files: none.  Trusts: its environment, which is its caller's.
"""

from qmailpy.disk.home import Home
from qmailpy.local import onward
from qmailpy.local.surroundings import required
from qmailpy.rules.environment import NEWSENDER
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, PERM


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    if len(argv) == 1:  # a message to nobody would be gone
        descriptors.say(b"forward: usage: forward address ...")
        return EXIT[PERM]
    qp = onward.send(required(NEWSENDER), argv[1:], home)
    descriptors.say(b"forward: qp %d" % qp)
    return EXIT[OK]
