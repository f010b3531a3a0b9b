"""qmail-queued: the door.  Takes messages from local programs and puts them into the queue.

Runs as: qmailq (root becomes it), or the owner of an embedded home.  Started by qmail-start, or as its own service.
Arguments: none, or `service`: then descriptor 0 says nothing. `standby` only from qmail-start; `--inherit SOCKET LOCK`
only from an older version of it. With one of the first two it waits where another door is open, and is the next one.
Descriptors: 0 a pipe held by the starter, whose end means: finish; 2 warnings.
Signals: TERM and INT finish, HUP reads the control files again.
Exit codes: 0 told to end; 111 it cannot start, above all because another door is open.
Control files: queuebytes (bytes of a message, 0 for any; default 1 GiB), localtime (of Received).
Trusts: the kernel, about who the caller is; nobody else.
"""

import posix
import select

from qmailpy.disk.home import Home
from qmailpy.disk.queue.entering import UMASK, check_queue
from qmailpy.disk.queue.paths import Paths
from qmailpy.receive.door.admission import MOST_FILES, Admission
from qmailpy.receive.door.server import INHERIT, NAME, SERVICE, Door
from qmailpy.system import descriptors, door, identity, limits, signals, title
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

STANDBY = b"standby"
_PAUSE = 1.0  # seconds between two looks at the lock of a door that is not ours


def _become_qmailq(home: Home) -> None:
    """Root becomes qmailq; whoever we are then, the queue must be ours.

    A door before a queue that cannot be used would only refuse; while it is closed, mail waits in drop/.  Errors: Die.
    """
    queue, me = Paths(home), identity.my_uid()
    try:
        if not home.embedded and not identity.is_root():
            check_queue(queue, me)  # says whose it is, before anybody looks for accounts
        posix.stat(queue.root)
        account = home.roles.account("qmailq")
        identity.become(account.uid, account.gid)
        check_queue(queue, account.uid)
    except OSError as error:
        raise Die(TEMP, b"unable to use " + queue.root + b": " + words(error)) from None
    except Die as death:
        raise Die(TEMP, death.text) from None


def _lock(home: Home, argv: list[bytes]) -> int | None:
    """The right to be the door; None: our starter has ended before we got it.  Errors: Die TEMP.

    A service and qmail-start may be started at once, and each looks for the other: who comes second waits.
    """
    path = home.at(b"door", b"lock")
    service = SERVICE in argv
    told = False
    while True:
        try:
            lock = door.lock(path)
        except OSError as error:
            raise Die(TEMP, b"unable to lock " + path + b": " + words(error)) from None
        if lock is not None:
            return lock
        if not service and STANDBY not in argv:
            raise Die(TEMP, b"another qmail-queued is running: it holds " + path)
        if service and not told:
            descriptors.say(b"qmail-queued: another one is running: it holds " + path + b"; waiting for its end")
            told = True
        if _starter_ends_within(_PAUSE, service=service):
            return None


def _starter_ends_within(seconds: float, *, service: bool) -> bool:
    """Wait for the end of descriptor 0; a service has no starter, and only time passes."""
    poller = select.poll()
    if not service:
        poller.register(0, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def _inherited(argv: list[bytes]) -> "tuple[int | None, _socket.socket]":
    """Lock and socket from the process that we were before.  Errors: Die TEMP."""
    at = argv.index(INHERIT)
    try:
        socket, lock = (int(number) for number in argv[at + 1 : at + 3])
        posix.set_inheritable(lock, False)
        return lock, door.inherited(socket)
    except (OSError, ValueError):
        raise Die(TEMP, b"nothing to inherit; say qmail-queued, or qmail-queued service") from None


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        posix.chdir(home.path)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir to " + home.path + b": " + words(error)) from None
    _become_qmailq(home)
    posix.umask(UMASK)
    title.set_title(NAME)
    signals.default(signals.SIGINT, signals.SIGTERM)  # until there is something to finish
    lock, listener = _inherited(argv) if INHERIT in argv else (_lock(home, argv), None)
    if lock is None:
        return 0
    trusted = frozenset((0, *home.roles.uid.values()))
    admission = Admission(limits.open_files(MOST_FILES), trusted)
    return Door(home, lock, admission, listener, service=SERVICE in argv).run()
