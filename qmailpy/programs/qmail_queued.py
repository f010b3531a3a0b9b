"""qmail-queued: the door.  Takes messages from local programs and puts them into the queue.

Where control/direct is there it has no queue: it hands each message to the relay while the caller waits.
Runs as: qmailq (root becomes it; qmailr where there is no queue), or the owner of an embedded home.  Started by
qmail-start, or as its own service.
Arguments: none, or `service`: then descriptor 0 says nothing. `standby` only from qmail-start; `--inherit SOCKET LOCK`
only from an older version of it. With one of the first two it waits where another door is open, and is the next one.
Descriptors: 0 a pipe held by the starter, whose end means: finish; 1 with `traces`, qmail-send's ear; 2 warnings.
Signals: TERM and INT finish, HUP reads the control files again.
Exit codes: 0 told to end; 111 it cannot start, above all because another door is open.
Control files: direct; queuebytes (bytes of a message, 0 for any; default 1 GiB), queuereserve, queuereservefiles (what
must be free), localtime (of Received), trace (looked at every few seconds); without a queue also those of
qmail-direct, and smtpauth.
Trusts: the kernel, about who the caller is; nobody else.
"""

import posix
import select

from qmailpy.disk.home import Home
from qmailpy.disk.queue.entering import UMASK, check_queue
from qmailpy.disk.queue.paths import Paths
from qmailpy.receive.door.admission import MOST_FILES, Admission
from qmailpy.receive.door.server import INHERIT, NAME, SERVICE, Door
from qmailpy.system import descriptors, door, identity, limits, process, signals, title
from qmailpy.verdict import LETTER, TEMP, Die, of_bug, words
from qmailpy.wire import door as wire
from qmailpy.wire import envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

STANDBY = b"standby"
_MEMORY, _BUG = 51, 81  # exit codes
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


def _relay(home: Home, uid: int, qp: int, message: int, records: bytes) -> wire.Answer:
    """In a child: hand this message on.  message: a descriptor that can seek; records: its envelope's."""
    from qmailpy.remote import direct

    try:
        reader = envelope.Reader()
        reader.feed(records + b"\0")
        direct.relay(home, reader.result(), message, uid)
    except Die as death:
        return wire.Answer(envelope.CUSTOM_TEXT_EXIT, qp, LETTER[death.verdict] + death.text)
    except Exception as error:  # noqa: BLE001 - a bug: the caller hears it
        return wire.Answer(*((_MEMORY, qp) if isinstance(error, MemoryError) else (_BUG, qp, of_bug(error))))
    return wire.Answer(0, qp)


def _serve_without_queue(argv: list[bytes], home: Home) -> int:
    """The door of a host where mail leaves at once: all that root does is to open it.  Errors: Die TEMP."""
    from qmailpy.receive.door.relaying import RelayingDoor

    for variable in (b"HOME", b"QMAILSMTPAUTH", b"QMAILQUEUE"):  # whose logins: the host's, whoever has started us
        process.set_variable(variable, None)
    account = home.roles.account("qmailr")
    if not identity.is_root() and identity.my_uid() != account.uid:
        raise Die(TEMP, b"must be started by root: it becomes qmailr, whose the host's logins are")
    lock, listener = _inherited(argv) if INHERIT in argv else (_lock(home, argv), None)
    if lock is None:
        return 0
    if listener is None:
        try:
            listener = door.listen(home.socket)
        except OSError as error:
            raise Die(TEMP, b"unable to listen on " + home.socket + b": " + words(error)) from None
    identity.become(account.uid, account.gid)
    trusted = frozenset((0, *home.roles.uid.values()))
    admission = Admission(limits.open_files(MOST_FILES), trusted)

    def relay(uid: int, qp: int, message: int, records: bytes) -> wire.Answer:
        return _relay(home, uid, qp, message, records)

    return RelayingDoor(home, lock, admission, listener, relay, service=SERVICE in argv).run()


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        posix.chdir(home.path)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir to " + home.path + b": " + words(error)) from None
    title.set_title(NAME)
    if home.direct:
        posix.umask(UMASK)
        signals.default(signals.SIGINT, signals.SIGTERM)
        return _serve_without_queue(argv, home)
    _become_qmailq(home)
    posix.umask(UMASK)
    signals.default(signals.SIGINT, signals.SIGTERM)  # until there is something to finish
    lock, listener = _inherited(argv) if INHERIT in argv else (_lock(home, argv), None)
    if lock is None:
        return 0
    trusted = frozenset((0, *home.roles.uid.values()))
    admission = Admission(limits.open_files(MOST_FILES), trusted)
    the_door = Door(home, lock, admission, listener, service=SERVICE in argv)
    the_door.story.begin(argv, service=SERVICE in argv)
    return the_door.run()
