"""mailq: sendmail -bp: for who may read the queue all messages, for everybody else his own.

The list is that of qmail-qread, and after it the messages that qmail-send has not looked at yet.
Runs as: the caller; who may not read the queue asks the door, which knows his uid from the kernel.
Descriptors: 1 the list; 2 one line if it fails.
Exit codes: 0; 64 usage (sysexits); 111 the queue cannot be read.
Control files: none.  Trusts: the door.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.inject.faces import LIST, Call
from qmailpy.inject.running import run_as_ours
from qmailpy.programs import run
from qmailpy.rules.options import UsageError
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, OK, TEMP, Die

_USAGE = 64  # sysexits


def _show_new(home: Home) -> None:
    from qmailpy.disk.queue.paths import Paths
    from qmailpy.disk.queue.recipients import Trouble
    from qmailpy.skeletons import mail_list

    try:
        for text in mail_list.new(Paths(home)):
            descriptors.write_all(1, text)
    except Trouble:
        raise Die(TEMP, b"unable to read todo/") from None


def _show_own(home: Home) -> int:
    from qmailpy.skeletons import mail_list

    descriptors.write_all(1, mail_list.ask(home))
    return EXIT[OK]


def _show_nothing() -> int:
    """Mail leaves without a queue, and there is no door to ask."""
    descriptors.write_all(1, b"Mail queue is empty\n")
    return EXIT[OK]


def _may_read(home: Home) -> bool:
    from qmailpy.disk.queue.paths import Paths

    try:
        posix.listdir(Paths(home).folder(b"info"))
    except PermissionError:
        return False
    except OSError:  # qmail-qread has the words for that
        return True
    return True


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        Call(argv[1:], LIST)  # sendmail's options are accepted; they change nothing
    except UsageError as error:
        descriptors.say(b"mailq: " + error.text)
        return _USAGE
    if not _may_read(home):
        return _show_nothing() if home.direct else _show_own(home)
    code = run_as_ours(run, b"mailq", "qmail-qread", [], home)
    if code == EXIT[OK]:
        _show_new(home)
    return code
