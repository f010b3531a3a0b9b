"""An old mail reader after maildir2mbox: qail, elq and pinq."""

from qmailpy.system import descriptors, process
from qmailpy.verdict import EXIT, OK, TEMP, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def read_with(collect: "Callable[[], int]", name: bytes, argv: list[bytes]) -> int:
    """Collect the mail, then become the reader, found by $PATH.  collect: runs in a process of its own.

    name: whose words it is where that fails.  Result: the exit code of collect, or of a reader that is not there.
    """
    ending = process.wait(process.fork(collect))
    if ending.signal or ending.code != EXIT[OK]:
        return EXIT[TEMP] if ending.signal else ending.code
    try:
        process.execute_found(argv, process.environment())
    except OSError as error:
        descriptors.say(name + b": fatal: unable to run " + argv[0] + b": " + words(error))
        return EXIT[TEMP]
