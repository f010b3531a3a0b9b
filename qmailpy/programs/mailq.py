"""mailq: sendmail -bp: for who may read the queue all messages, for everybody else his own.

The list is that of qmail-qread, and after it the messages that qmail-send has not looked at yet. With -bpc: how many.
Runs as: the caller; who may not read the queue asks the door, which knows his uid from the kernel.
Descriptors: 1 the list; 2 one line if it fails.
Exit codes: 0; 64 usage (sysexits); 111 the queue cannot be read.
Control files: none.  Trusts: the door.
"""

from qmailpy.disk.home import Home
from qmailpy.inject.faces import COUNT, LIST, Call
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


def _show_own(home: Home, *, count: bool) -> int:
    from qmailpy.skeletons import mail_list

    text = mail_list.ask(home)
    descriptors.write_all(1, b"%d\n" % mail_list.count(text) if count else text)
    return EXIT[OK]


def _show_nothing(*, count: bool) -> int:
    """Mail leaves without a queue, and there is no door to ask."""
    descriptors.write_all(1, b"0\n" if count else b"Mail queue is empty\n")
    return EXIT[OK]


def _count_all(home: Home) -> int:
    from qmailpy.disk.queue import listing
    from qmailpy.disk.queue.paths import Paths
    from qmailpy.disk.queue.recipients import Trouble

    try:
        descriptors.write_all(1, b"%d\n" % listing.count(Paths(home))[0])
    except Trouble:
        raise Die(TEMP, b"unable to read the queue") from None
    return EXIT[OK]


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        count = Call(argv[1:], LIST).what == COUNT  # sendmail's other options are accepted; they change nothing
    except UsageError as error:
        descriptors.say(b"mailq: " + error.text)
        return _USAGE
    from qmailpy.skeletons import mail_list

    if not mail_list.may_read(home):
        return _show_nothing(count=count) if home.direct else _show_own(home, count=count)
    if count:
        return _count_all(home)
    code = run_as_ours(run, b"mailq", "qmail-qread", [], home)
    if code == EXIT[OK]:
        _show_new(home)
    return code
