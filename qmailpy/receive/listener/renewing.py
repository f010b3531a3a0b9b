"""A new version is installed: become it, in place. The sockets stay open all the while; who connects waits a moment."""

import posix

from qmailpy.disk.home import Home
from qmailpy.receive.listener import lines
from qmailpy.skeletons import renewal
from qmailpy.system import descriptors, process
from qmailpy.verdict import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.listener.options import Options
    from qmailpy.system.listening import Listener

CHORES = 5.0  # seconds between two looks


class Renewing:
    """How this process was called, and what it must hand over."""

    __slots__ = ("_argv", "_home", "_listeners")

    def __init__(self, home: Home, argv: list[bytes], options: "Options", listeners: "list[Listener]") -> None:
        """argv: ours; the next one gets the sockets where the host was."""
        self._home, self._listeners = home, listeners
        self._argv = list(argv)
        self._argv[-2 - len(options.program)] = b"fd:" + b",".join([b"%d" % one.descriptor for one in listeners])

    @property
    def is_due(self) -> bool:
        """Whether another version than ours is installed."""
        return renewal.is_due(self._home, self._argv)

    def exchange(self) -> None:
        """Become it; returns only if that fails, with every signal default."""
        environment = process.environment() | {b"QMAILHOME": self._home.path}
        for one in self._listeners:
            posix.set_inheritable(one.descriptor, True)
        try:
            process.execute(self._home.program("qmail-listen"), self._argv, environment)
        except OSError as error:
            descriptors.say(lines.line(b"warning: unable to run the new version: " + words(error)))
        for one in self._listeners:
            posix.set_inheritable(one.descriptor, False)
