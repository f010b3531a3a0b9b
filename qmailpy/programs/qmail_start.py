"""qmail-start: makes the pipes, starts the daemons, becomes qmail-send.

Runs as: root, or the owner of an embedded home.  Started by a supervisor.
Arguments: [default delivery instructions [logger and its arguments]].
Descriptors: 1 is the log where no logger is given; 2 gets one short line if something cannot start.
Exit codes: 111 nothing was started; else those of qmail-send.
Signals: before it is qmail-send, INT and TERM end it at once; the daemons see the end of their pipes.
Trusts: the administrator, and nobody else who could write into the home, a program or the library.

The pipes (spec/03-pipes.md 1): qmail-send 1 -> lspawn 0, lspawn 1 -> qmail-send 2, the same 3 and 4 for rspawn, 5 and 6
for clean; the door's 0 ends when qmail-send does, its 1 -> qmail-send 8 if both are ours (PIC/decisions/trace). A
daemon of ours is forked, not executed: together they share the interpreter's memory. One that has been replaced (first
on PATH, not our launcher) is executed, as in qmail.
"""

import fcntl
import gc
import posix

from qmailpy.disk.home import Home
from qmailpy.programs import run
from qmailpy.programs.table import PROGRAMS
from qmailpy.system import descriptors, identity, launcher, process, signals, terminals, title
from qmailpy.verdict import TEMP, Die
from qmailpy.verdict import words as reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_DELIVERY = b"./Mailbox"
TRACES = b"traces"  # a word for daemons of ours: the story of a message may be asked for, and is heard
CHANNEL_OF = {"qmail-lspawn": b"local", "qmail-rspawn": b"remote"}
_FIRST_PIPE = 10  # descriptors below are handed out by number; the pipes must stay clear of them


class Starter:
    """What one start knows: the home, where the programs are, which of them are ours."""

    def __init__(self, home: Home) -> None:
        """Nothing is started yet."""
        self._home = home
        self._launchers = launcher.Launchers(launcher.library())
        self._search = process.environment().get(b"PATH", b"")
        self._executes = bool(process.environment().get(b"QMAILEXEC"))

    def path(self, name: bytes) -> bytes:
        """Where a program is: by PATH, as an administrator's wrapper wants it; else in the home's bin."""
        found = process.find(name, self._search)
        known = name.decode("ascii", "replace") in PROGRAMS
        return self._home.program(name.decode()) if known and b"/" not in found else found

    def is_ours(self, name: bytes) -> bool:
        """Whether it may be run without an exec."""
        known = PROGRAMS.get(name.decode("ascii", "replace"))
        return known is not None and known.resident and not self._executes and self.is_pristine(name)

    def is_pristine(self, name: bytes) -> bool:
        """Whether it understands the arguments that only we give; it may have to be executed all the same."""
        return self._launchers.is_ours(self.path(name))

    def fork(self, argv: list[bytes], role: str, wanted: dict[int, int]) -> int:
        """Start one daemon as role with the descriptors wanted (and 2), and nothing else.  Result: its pid."""

        def child() -> int:
            terminals.leave()
            process.arrange(wanted)
            process.close_above(2)
            return self.turn_into(argv, role)

        try:
            pid = process.fork(child)
        except OSError as error:
            raise Die(TEMP, b"unable to fork: " + reason(error)) from None
        process.set_apart(pid)
        return pid

    def turn_into(self, argv: list[bytes], role: str) -> int:
        """Become role, and the program: by a call if it is ours, else by exec."""
        account = self._home.roles.account(role)
        ours, path = self.is_ours(argv[0]), self.path(argv[0])
        identity.become(account.uid, account.gid)
        if ours:
            title.set_title(argv[0].decode())
            return run(argv[0].decode(), argv, self._home)
        try:
            process.execute(path, argv, process.environment())
        except OSError as error:
            descriptors.say(b"qmail-start: fatal: unable to run " + path + b": " + reason(error))
            return process.TEMP_EXIT


def _refuse_unsafe(home: Home, starter: Starter) -> None:
    """Root runs nothing, and lets no role run anything, that others can write.  Errors: Die TEMP."""
    try:
        posix.stat(home.path)
        found = _find_unsafe(home, starter)
    except FileNotFoundError:
        raise Die(TEMP, b"there is no home " + home.path + b" (is QMAILHOME right? see make setup)") from None
    except OSError as error:
        raise Die(TEMP, b"unable to look through " + home.path + b": " + reason(error)) from None
    if found is not None:
        raise Die(TEMP, b"others can write " + found + b"; say chown root, chmod go-w")


def _find_unsafe(home: Home, starter: Starter) -> bytes | None:
    """The first directory, program or file of the library that is not root's alone.  Errors: OSError."""
    places = [home.path, *(home.at(name) for name in (b"bin", b"lib", b"control", b"users"))]
    places += [home.program(name) for name in PROGRAMS]
    places += [starter.path(name.encode()) for name, program in PROGRAMS.items() if program.resident]  # a wrapper's
    for path in places:
        if launcher.others_can_write(path):
            return path
    library = home.at(b"lib", b"current")
    try:
        return launcher.first_writable(library)
    except FileNotFoundError:  # there is none: we run from elsewhere
        return None


def _pipe() -> tuple[int, int]:
    """A pipe whose two ends are clear of the numbers that are handed out."""
    low = posix.pipe2(posix.O_CLOEXEC)
    high = process.dup_above(low[0], _FIRST_PIPE), process.dup_above(low[1], _FIRST_PIPE)
    for end in low:
        posix.close(end)
    return high


def _door_is_free(home: Home) -> bool:
    """Whether no door runs as a service of its own: its lock says so."""
    try:
        lock = posix.open(home.at(b"door", b"lock"), posix.O_RDWR | posix.O_NONBLOCK | posix.O_NOFOLLOW)
    except OSError as error:
        raise Die(TEMP, b"unable to open " + home.at(b"door", b"lock") + b": " + reason(error)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        posix.close(lock)
    return True


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    default = argv[1] if len(argv) > 1 else DEFAULT_DELIVERY
    logger = argv[2:]
    starter = Starter(home)
    if not signals.is_ignored(signals.SIGINT):
        signals.default(signals.SIGINT)  # not the interpreter's exception, which would look like a bug
    if identity.is_root() and not home.embedded:
        _refuse_unsafe(home, starter)
    elif not home.embedded:
        raise Die(TEMP, b"must be started by root, or by the owner of an embedded home (control/embedded)")
    if home.direct:
        raise Die(TEMP, home.control(b"direct") + b" is there: mail leaves without a queue, and nothing runs for it")
    roles = home.roles
    posix.chdir(b"/")
    posix.umask(0o077)
    identity.group_only(roles.gid["qmail"])
    wide = [b"wide"] if starter.is_ours(b"qmail-send") else []
    fork: Callable[[list[bytes], str, dict[int, int]], int] = starter.fork
    title.set_title("qmail-start")
    gc.freeze()

    log = process.dup_above(1, _FIRST_PIPE)
    watched = []
    if logger:
        to_log = _pipe()
        watched.append(fork(logger, "qmaill", {0: to_log[0], 1: 1}))
        log = to_log[1]
    commands, reports = {}, {}
    tellers: list[bytes] = []  # who can tell qmail-send the story of a message
    for name, arguments, role in (
        ("qmail-lspawn", [default], "root"),
        ("qmail-clean", [], "qmailq"),
        ("qmail-rspawn", [], "qmailr"),
    ):
        commands[name], reports[name] = _pipe(), _pipe()
        word: list[bytes] = []
        if name in CHANNEL_OF and wide and starter.is_ours(name.encode()):
            word = [*wide, TRACES]
            tellers.append(CHANNEL_OF[name])
        fork([name.encode(), *arguments, *word], role, {0: commands[name][0], 1: reports[name][1]})
    door, told = _pipe(), _pipe()
    if _door_is_free(home):
        standby = [b"standby"] if starter.is_pristine(b"qmail-queued") else []  # its service may start just now
        if standby and starter.is_pristine(b"qmail-send"):
            standby.append(TRACES)
            tellers.append(b"door")
        pipes = {0: door[0], 1: told[1] if TRACES in standby else 2}
        watched.append(fork([b"qmail-queued", *standby], "qmailq", pipes))
    process.arrange(
        {
            0: log,
            1: commands["qmail-lspawn"][1],
            2: reports["qmail-lspawn"][0],
            3: commands["qmail-rspawn"][1],
            4: reports["qmail-rspawn"][0],
            5: commands["qmail-clean"][1],
            6: reports["qmail-clean"][0],
            7: door[1],  # nobody writes it: the door sees its end when we are gone
            8: told[0],
        }
    )
    process.close_above(8 if b"door" in tellers else 7)
    words: list[bytes] = []
    if starter.is_pristine(b"qmail-send"):
        words = [*wide, b"watch=" + b",".join(b"%d" % pid for pid in watched)]
        words += [TRACES + b"=" + b",".join(tellers)] * bool(tellers)
    return starter.turn_into([b"qmail-send", *words], "qmails")
