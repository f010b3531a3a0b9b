"""qmail-lspawn: finds the user of a local address, becomes that user, and delivers as him.

Runs as: root (group qmail), or the owner of an embedded home.  Started by qmail-start.
Arguments: default delivery instructions.
Descriptors: 0 commands, 1 reports (spec/03-pipes.md 2-5).
Exit codes: 0 the commands ended and the last delivery has reported; 100 no argument; 111 cannot start.
Control files: userconcurrency, concurrencylocal, mailspool, read once, at start: root's own.
Trusts: nobody's bytes. Commands are checked by the engine; who a user is is found by a child that is qmailp, and its
answer is parsed as strictly as if it came from a stranger; a delivery is made by a child that is the user.
This process reads no mail, no .qmail, no users/cdb, and never asks NSS.
"""

import posix

from qmailpy.disk import control, mailspool
from qmailpy.disk.home import Home
from qmailpy.programs import run
from qmailpy.rules import trace
from qmailpy.rules.local_report import local_report, shorten
from qmailpy.skeletons.lookups import FOUND, Lookups
from qmailpy.skeletons.outcome import Outcome
from qmailpy.skeletons.renewal import RESUMED
from qmailpy.skeletons.spawner import TRACES, WIDE_SLOTS, WIDE_WORD, Spawner
from qmailpy.skeletons.turns import Turns
from qmailpy.system import identity, limits, process, title
from qmailpy.system.resident import Crew, Kind
from qmailpy.verdict import PERM, Die, is_temporary
from qmailpy.wire import getpw
from qmailpy.wire.delivery import Command
from qmailpy.wire.getpw import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Reporter = Callable[[bytes, bytes], None]
    Done = Callable[[], None]

_DESCRIPTORS = 4  # at most for each delivery: the message, both ends of a pipe, a child's socket
KILLED = 9  # how a resident child that died instead of answering is taken to have ended
BUG, AS_ROOT = 112, 113  # lspawn's own exit codes (spec/03 5)
CANNOT_EXEC_NOW, CANNOT_EXEC = 120, 126
LINGER = 5.0  # seconds that a user's background program may keep its report open after the delivery has ended
TOLD = b"told\0"  # before a request whose answer is to say what was done; it begins no argv
_MOST_TOLD, _LONGEST_TOLD = 30, 16384  # pieces and bytes of that: an answer is one packet
CONCURRENCY = 10  # of control/concurrencylocal, where it says nothing
TOO_SLOW = b"Other deliveries to this user are taking long, so this one has to wait. (#4.2.0)\n"


class Lspawn:
    """The plug in the spawner's skeleton."""

    def __init__(self, home: Home, argv: list[bytes]) -> None:
        """argv: qmail-lspawn's."""
        self._home = home
        self._default = argv[1]
        self._boxes = mailspool.configured(home)
        self._spawner = Spawner(home, argv, self._lower_limits)
        self._files = limits.soft_open_files()  # what users' programs get
        limits.open_files(_DESCRIPTORS * WIDE_SLOTS)
        self._crew = Crew(self._spawner.loop, self._lower_limits)
        self._turns = Turns(self._spawner.loop, _concurrency_of_one(home, self._spawner.slots))
        self._executed: dict[int, Outcome] = {}
        self._lookups = Lookups(home, self._spawner.loop, self._crew, max(1, _together(home, self._spawner.slots) // 2))
        self._getpw = home.program("qmail-getpw")
        self._local = home.program("qmail-local")

    def serve(self) -> int:
        """Until qmail-send closes the pipe."""
        code = self._spawner.run(self._deliver, self._ended)
        self._crew.dismiss_idle()
        return code

    def _lower_limits(self) -> None:
        """Runs in every child: our many descriptors are no business of its."""
        limits.set_soft_open_files(self._files)

    # 1. who is it?

    def _deliver(self, command: Command, message: int, report: "Reporter") -> None:
        local, _, domain = command.recipient.rpartition(b"@")
        if not local:  # the trash address
            posix.close(message)
            report(b"K", b"")
            return

        def found(answer: bytes | None) -> None:
            user = _user_of(answer, report)
            if user is None:
                posix.close(message)
                return
            if command.traced:
                self._spawner.tell(command, _story_of_user(user, FOUND.get(answer[1:2] if answer else b"", b"")))
            words = [user.name, user.home, local, user.dash, user.ext, domain, command.sender, self._default]
            argv = [b"bin/qmail-local", b"--", *words]
            # a user is his home too: virtual users share a uid
            self._turns.take(
                (user.uid, user.home), lambda done: self._start(user, argv, message, report, done, command), refuse
            )

        def refuse() -> None:
            posix.close(message)
            report(b"Z", TOO_SLOW)

        self._lookups.ask(local, found, inside=self._spawner.is_ours(self._getpw))

    # 2. deliver as him, when it is his turn

    def _start(
        self, user: User, argv: list[bytes], message: int, report: "Reporter", done: "Done", command: Command
    ) -> None:
        def ended(letter: bytes, text: bytes) -> None:
            report(letter, text)
            done()

        try:
            self._become_and_deliver(user, argv, message, ended, command)
        except OSError:
            ended(b"Z", b"qmail-spawn unable to fork. (#4.3.0)\n")
        finally:
            posix.close(message)

    def _become_and_deliver(
        self, user: User, argv: list[bytes], message: int, report: "Reporter", command: Command
    ) -> None:
        outcome = Outcome(self._spawner.loop, shorten, local_report, report, LINGER)

        def ended(answer: bytes | None) -> None:
            if command.traced and answer:
                self._spawner.tell(command, _story_of_delivery(answer[1:]))
            outcome.end(*((answer[0], 0) if answer else (0, KILLED)))

        try:
            if self._spawner.is_ours(self._local):
                self._crew.give(
                    Kind(
                        (user.uid, user.gid, user.home),
                        "qmail-local",
                        user.uid,
                        user.gid,
                        self._home.path,
                        self._run_local,
                        lambda: self._prepare_box(user),
                    ),
                    TOLD + b"\0".join(argv) if command.traced else b"\0".join(argv),
                    [message, outcome.write_end, outcome.write_end],
                    ended,
                )
            else:
                pid = process.fork(lambda: self._exec_local(user, argv, message, outcome.write_end))
                self._executed[pid] = outcome
        except OSError:
            outcome.forget()
            raise
        outcome.begun()

    def _prepare_box(self, user: User) -> None:
        """Runs in a forked child that is still root: the box in /var/mail, which the user could not make himself."""
        if self._boxes is not None:
            mailspool.prepare(self._boxes, user.name, user.uid, user.gid)

    def _run_local(self, request: bytes) -> bytes:
        """Runs in a resident child that is the user: the answer is the exit code, and what is to be told."""
        told: list[bytes] | None = [] if request.startswith(TOLD) else None
        argv = request.removeprefix(TOLD).split(b"\0")
        code = bytes((run("qmail-local", argv, self._home, resident=True, told=told),))
        return code if told is None else code + b"\0".join(told)[:_LONGEST_TOLD]

    def _exec_local(self, user: User, argv: list[bytes], message: int, output: int) -> int:
        """Runs in a forked child: becomes the user, then qmail-local."""
        process.arrange({0: message, 1: output, 2: output})
        process.close_above(2)
        self._lower_limits()
        try:
            posix.chdir(self._home.path)
            self._prepare_box(user)
            identity.become(user.uid, user.gid)
            process.execute(self._local, argv, process.environment())
        except OSError as error:
            return CANNOT_EXEC_NOW if is_temporary(error.errno) else CANNOT_EXEC

    def _ended(self, pid: int, ending: process.Ending) -> None:
        self._lookups.ended(pid)
        if not self._crew.ended(pid, ending) and pid in self._executed:
            self._executed.pop(pid).end(ending.code, ending.signal)


def _concurrency_of_one(home: Home, slots: int) -> int:
    """How many deliveries of one user may run at a time; 0: any number.  slots: of all."""
    return control.integer(home, "userconcurrency", max(1, (_together(home, slots) + 1) // 2))


def _together(home: Home, slots: int) -> int:
    """How many deliveries run at a time."""
    return min(control.integer(home, "concurrencylocal", CONCURRENCY), slots)


def _story_of_user(user: User, by: bytes) -> bytes:
    fields: dict[str, bytes | int] = {
        "event": b"user",
        "by-file": by,
        "user": user.name,
        "uid": user.uid,
        "home": user.home,
    }
    return trace.encode({**fields, "dash": user.dash, "ext": user.ext})


def _story_of_delivery(told: bytes) -> bytes:
    """What a process of the user says that it has done: words of his, and nothing else believes them."""
    name, *went = told.split(b"\0", _MOST_TOLD)
    fields: dict[str, bytes | int] = {"by": b"qmail-local", "event": b"dotqmail", "file": name or b"default"}
    return trace.encode({**fields, "lines": len(went), "went": b"; ".join(went)})


def _user_of(answer: bytes | None, report: "Reporter") -> User | None:
    """Who the lookup found.  None: what it said has been reported."""
    if not answer:
        report(b"Z", b"Unable to run qmail-getpw.\n")
        return None
    if answer[0]:
        report(*local_report(b"", answer[0], 0))
        return None
    user = getpw.decode(answer[2:])
    if user is not None and user.uid != 0:
        return user
    report(*local_report(b"", BUG if user is None else AS_ROOT, 0))
    return None


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file.  argv: program, default delivery [wide] [traces] [resumed]."""
    if len([word for word in argv if word not in (WIDE_WORD, TRACES, RESUMED)]) < 2:
        raise Die(PERM, b"usage: qmail-lspawn defaultdelivery")
    posix.chdir(home.path)
    title.set_title("qmail-lspawn", argv[1].decode("utf-8", "replace"))
    lspawn = Lspawn(home, argv)
    return lspawn.serve()
