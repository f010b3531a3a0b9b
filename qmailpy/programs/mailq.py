"""mailq: sendmail -bp, the list of qmail-qread.

Runs as: the caller, who must be able to read the queue.
Descriptors: 1 the list; 2 one line if it fails.
Exit codes: 0; 64 usage (sysexits); 111 the queue cannot be read.
Control files: none.  Trusts: nobody.
"""

from qmailpy.disk.home import Home
from qmailpy.inject.faces import LIST, Call
from qmailpy.inject.running import run_as_ours
from qmailpy.programs import run
from qmailpy.rules.options import UsageError
from qmailpy.system import descriptors

_USAGE = 64  # sysexits


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        Call(argv[1:], LIST)  # sendmail's options are accepted; they change nothing
    except UsageError as error:
        descriptors.say(b"mailq: " + error.text)
        return _USAGE
    return run_as_ours(run, b"mailq", "qmail-qread", [], home)
