"""A user's program: `|command` in his .qmail, run by the shell, as him, in his home (spec/05-local.md 5).

It is always really executed, first of a process group of its own: a signal that it sends to its group reaches nobody
else. It gets the message on 0, rewound, our report on 1 and 2, default signals, and no other descriptor. What it says
is the report: we add nothing when it fails, except where we ended it.
Control files: userseconds, usermemory, userprocesses. They are for accidents: who wants to can escape a process group.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.local.message import Message
from qmailpy.system import descriptors, limits, process
from qmailpy.verdict import TEMP, Die, words

SHELL = b"/bin/sh"
STOP = 99  # done, and the rest of the instructions is not for this message
_LONGEST = 1 << 24  # seconds, half a year: a limit beyond this is none


def run(command: bytes, message: Message, home: Home) -> int:
    """Run it and wait for it.

    home: whose control files say what it may take; 0, or no such file: as much as it likes.
    Result: its exit code, 0..255.  Errors: Die TEMP where it could not be started, was killed by a signal, or took too
    long and was ended with its whole group.
    """
    message.rewind()
    environment = process.environment()
    seconds = min(control.integer(home, "userseconds", 0), _LONGEST)
    memory, processes = control.integer(home, "usermemory", 0), control.integer(home, "userprocesses", 0)

    def child() -> int:
        process.close_above(2)
        try:
            process.lead_group()
            if memory or processes:
                limits.lower(memory, processes)
            process.execute(SHELL, [SHELL, b"-c", command], environment)
        except OSError as error:
            descriptors.say(b"Unable to run /bin/sh: " + words(error) + b". (#4.3.0)")
        return process.TEMP_EXIT

    try:
        ending = process.wait_for_leader(process.fork(child), seconds)
    except OSError as error:
        raise Die(TEMP, b"Unable to fork: " + words(error) + b". (#4.3.0)") from None
    if ending is None:
        raise Die(TEMP, b"The program took longer than %d seconds and was ended. (#4.3.0)" % seconds)
    if ending.signal:
        raise Die(TEMP, b"Aack, child crashed. (#4.3.0)")
    return ending.code
