"""The programs: how one is started.  What they are: table.py.

A program never imports another: it names it, as execv would, and may get its function from load() to run it without
an exec.
"""

import errno
import posix
import sys

from qmailpy.disk.home import DEFAULT, Home
from qmailpy.system import descriptors, process
from qmailpy.verdict import EXIT, TEMP, Die, of_bug, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    Main = Callable[..., int]  # main(argv, home), and resident=True where a program wants to know

# whose module is not their name
_MODULES = {
    "except": "except_",
    **dict.fromkeys(("send-mail", "runq", "hoststat", "purgestat"), "sendmail"),
}
# whose last words do not begin with their name: senders read them
_SPEAKING_FOR_THE_SYSTEM = ("qmail-local", "qmail-remote", "qmail-aliases", "qmail-dotforward")


def module_of(name: str) -> str:
    """The module of a program, in this package."""
    return _MODULES.get(name) or name.replace("-", "_")


def load(name: str) -> "Main":
    """The function of a program, to run it without an exec."""
    # not importlib, which costs every exec'ed program half a millisecond
    main: Main = __import__(f"qmailpy.programs.{module_of(name)}", fromlist=("main",)).main
    return main


def run(name: str, argv: list[bytes], home: Home, *, resident: bool = False, told: "list[bytes] | None" = None) -> int:
    """Run a program's function and turn every way it can end into its exit code.

    resident: the process will run it again, for another message; the program is told. told: gets what a resident one
    has to tell of its message.
    Die: its text is one line on fd 2. Anything unknown is 111 and one line without a traceback: a bug
    must defer mail, never bounce it.
    """
    prefix = b"" if name in _SPEAKING_FOR_THE_SYSTEM else name.encode() + b": fatal: "
    try:
        main = load(name)
        if told is not None:
            return main(argv, home, resident=True, told=told)
        return main(argv, home, resident=True) if resident else main(argv, home)
    except Die as death:
        descriptors.say(prefix + death.text)
        return death.code
    except descriptors.OutputError as error:
        if error.errno != errno.EPIPE:  # who has closed a pipe (head, less) has read enough, and wants no complaint
            descriptors.say(prefix + b"unable to write: " + words(error))
        return EXIT[TEMP]
    except BaseException as error:  # noqa: BLE001 - the outermost frame of a program
        descriptors.say(name.encode() + b": fatal: internal error: " + of_bug(error))
        return EXIT[TEMP]


def start(name: str, home: str) -> "NoReturn":
    """What a launcher calls: run the program of this name and leave.

    home: where the program was installed; $QMAILHOME overrides it.
    """
    code = EXIT[TEMP]
    try:
        descriptors.guard()
        process.forget_coerced_locale()
        coding = sys.getfilesystemencoding()
        argv = [name.encode(), *(word.encode(coding, "surrogateescape") for word in sys.argv[1:])]
        chosen = posix.environ.get(b"QMAILHOME") or home.encode(coding, "surrogateescape")
        code = run(name, argv, Home(chosen or DEFAULT))
    finally:
        posix._exit(code)
