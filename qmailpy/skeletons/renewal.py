"""A running daemon exchanges its code for a new version's, in place: same process, same descriptors.

setup installs beside the old library and switches lib/current in one rename. A daemon that has nothing under way looks
whether the switch has come, and executes its launcher anew with the word `resumed` at the end of its arguments: the
new code goes on where the old one stopped, and says no greeting a second time. Nobody else notices.
"""

from qmailpy.disk.home import Home
from qmailpy.system import descriptors, launcher, process

RESUMED = b"resumed"  # the last argument, or the last but its parameters, of a daemon that goes on


def is_due(home: Home, argv: list[bytes]) -> bool:
    """Whether another version than ours is installed, with its own launcher for us: somebody else's program in its
    place would not understand how we go on.  argv: our own.
    """
    return not launcher.is_current(home.path) and launcher.is_pristine(home.path, argv[0])


def exchange(home: Home, argv: list[bytes], parameters: list[bytes]) -> None:
    """Become the new version; returns only if that fails, with every signal default: catch them again.

    argv: our own; parameters: what the new code must know, after RESUMED.
    """
    words = argv[: argv.index(RESUMED)] if RESUMED in argv else argv
    try:
        process.execute(home.program(words[0].decode()), [*words, RESUMED, *parameters], process.environment())
    except OSError:
        descriptors.say(words[0] + b": warning: unable to run the new version; going on with the old one")
