"""A user's program: `|command` in his .qmail, run by the shell, as him, in his home (spec/05-local.md 5).

It is always really executed. It gets the message on 0, rewound, our report on 1 and 2, default signals, and no other
descriptor. What it says is the report: we add nothing when it fails.
"""

from qmailpy.local.message import Message
from qmailpy.system import descriptors, process
from qmailpy.verdict import TEMP, Die, words

SHELL = b"/bin/sh"
STOP = 99  # done, and the rest of the instructions is not for this message


def run(command: bytes, message: Message) -> int:
    """Run it and wait for it.

    Result: its exit code, 0..255.  Errors: Die TEMP where it could not be started or was killed by a signal.
    """
    message.rewind()
    environment = process.environment()

    def child() -> int:
        process.close_above(2)
        try:
            process.execute(SHELL, [SHELL, b"-c", command], environment)
        except OSError as error:
            descriptors.say(b"Unable to run /bin/sh: " + words(error) + b". (#4.3.0)")
        return process.TEMP_EXIT

    try:
        ending = process.wait(process.fork(child))
    except OSError as error:
        raise Die(TEMP, b"Unable to fork: " + words(error) + b". (#4.3.0)") from None
    if ending.signal:
        raise Die(TEMP, b"Aack, child crashed. (#4.3.0)")
    return ending.code
