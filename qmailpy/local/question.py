"""Another program is asked about the message: yes, no, or not now.

It is found by $PATH and gets its words as they are, never through a shell; the message is on its descriptor 0, its
descriptors 1 and 2 are the report. Used by bouncesaying, condredirect and except; source: spec/01-programs.md 3.
"""

from qmailpy.system import descriptors, process
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, is_temporary, words


def says_yes(argv: list[bytes]) -> bool:
    """Run it; whether its exit code is 0.

    One that is not there says no, so that a slip in a .qmail file neither holds mail up nor loses any; the report
    tells of it.  Errors: Die TEMP where it exits 111, is killed, or cannot be started just now.
    """
    environment = process.environment()

    def child() -> int:
        try:
            process.execute_found(argv, environment)
        except OSError as error:
            descriptors.say(b"unable to run " + argv[0] + b": " + words(error))
            return EXIT[TEMP if is_temporary(error.errno) else PERM]

    try:
        ending = process.wait(process.fork(child))
    except OSError as error:
        raise Die(TEMP, b"unable to fork: " + words(error)) from None
    if ending.signal:
        raise Die(TEMP, b"child crashed")
    if ending.code == EXIT[TEMP]:
        raise Die(TEMP, b"temporary child error")
    return ending.code == EXIT[OK]
