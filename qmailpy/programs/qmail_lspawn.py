"""qmail-lspawn: finds the user of a local address, becomes that user, and delivers as him.

Runs as: root (group qmail), or the owner of an embedded home.  Started by qmail-start.
Arguments: default delivery instructions.
Descriptors: 0 commands, 1 reports (spec/03-pipes.md 2-5).
Exit codes: 0 the commands ended and the last delivery has reported; 100 no argument; 111 cannot start.
Trusts: nobody's bytes. Commands are checked by the engine; who a user is is found by a child that is qmailp, and its
answer is parsed as strictly as if it came from a stranger; a delivery is made by a child that is the user.
This process reads no mail, no .qmail, no users/cdb, and never asks NSS.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.programs import run
from qmailpy.rules.local_report import local_report, shorten
from qmailpy.skeletons import address
from qmailpy.skeletons.outcome import Outcome
from qmailpy.skeletons.renewal import RESUMED
from qmailpy.skeletons.spawner import WIDE_SLOTS, WIDE_WORD, Spawner
from qmailpy.system import descriptors, identity, limits, process, title
from qmailpy.system.resident import Crew, Kind
from qmailpy.verdict import PERM, Die, is_temporary
from qmailpy.wire import getpw
from qmailpy.wire.delivery import Command
from qmailpy.wire.getpw import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Reporter = Callable[[bytes, bytes], None]

_DESCRIPTORS = 4  # at most for each delivery: the message, both ends of a pipe, a child's socket
KILLED = 9  # how a resident child that died instead of answering is taken to have ended
BUG, AS_ROOT = 112, 113  # lspawn's own exit codes (spec/03 5)
CANNOT_EXEC_NOW, CANNOT_EXEC = 120, 126


class Lspawn:
    """The plug in the spawner's skeleton."""

    def __init__(self, home: Home, argv: list[bytes]) -> None:
        """argv: qmail-lspawn's."""
        self._home = home
        self._default = argv[1]
        self._spawner = Spawner(home, argv, self._lower_limits)
        self._files = limits.soft_open_files()  # what users' programs get
        limits.open_files(_DESCRIPTORS * WIDE_SLOTS)
        self._crew = Crew(self._spawner.loop, self._lower_limits)
        self._executed: dict[int, Outcome] = {}
        asker = home.roles.account("qmailp")
        self._lookup = Kind(("lookup",), "qmail-getpw", asker.uid, asker.gid, home.path, self._look_up)
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
            report(b"K", b"")
            return
        held = process.dup_above(message, 3)

        def found(answer: bytes | None) -> None:
            try:
                self._start(answer, held, local, domain, command.sender, report)
            except OSError:
                report(b"Z", b"qmail-spawn unable to fork. (#4.3.0)\n")
            finally:
                posix.close(held)

        how = b"i" if self._spawner.is_ours(self._getpw) else b"x"
        try:
            self._crew.give(self._lookup, how + local, [], found)
        except OSError:
            posix.close(held)
            raise

    def _look_up(self, request: bytes) -> bytes:
        """Runs in the child that is qmailp: a zero byte and the six fields, or an exit code of spec/03 5."""
        inside, local = request[:1] == b"i", request[1:]
        user = address.find_assigned(self._home, local)
        if user is None and inside:
            user = address.find_account(self._home, local)
        if user is not None:
            return b"\0" + getpw.encode(user)
        code, fields = _run_getpw(self._getpw, local)
        return bytes((code,)) + (b"" if code else fields)

    def _start(
        self, answer: bytes | None, message: int, local: bytes, domain: bytes, sender: bytes, report: "Reporter"
    ) -> None:
        if not answer:
            report(b"Z", b"Unable to run qmail-getpw.\n")
            return
        if answer[0]:
            report(*local_report(b"", answer[0], 0))
            return
        user = getpw.decode(answer[1:])
        if user is None:
            report(*local_report(b"", BUG, 0))
        elif user.uid == 0:
            report(*local_report(b"", AS_ROOT, 0))
        else:
            words = [user.name, user.home, local, user.dash, user.ext, domain, sender, self._default]
            self._become_and_deliver(user, [b"bin/qmail-local", b"--", *words], message, report)

    # 2. deliver as him

    def _become_and_deliver(self, user: User, argv: list[bytes], message: int, report: "Reporter") -> None:
        outcome = Outcome(self._spawner.loop, shorten, local_report, report)
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
                    ),
                    b"\0".join(argv),
                    [message, outcome.write_end, outcome.write_end],
                    lambda answer: outcome.end(*((answer[0], 0) if answer else (0, KILLED))),
                )
            else:
                pid = process.fork(lambda: self._exec_local(user, argv, message, outcome.write_end))
                self._executed[pid] = outcome
        except OSError:
            outcome.forget()
            raise
        outcome.begun()

    def _run_local(self, request: bytes) -> bytes:
        """Runs in a resident child that is the user: the answer is the exit code."""
        return bytes((run("qmail-local", request.split(b"\0"), self._home, resident=True),))

    def _exec_local(self, user: User, argv: list[bytes], message: int, output: int) -> int:
        """Runs in a forked child: becomes the user, then qmail-local."""
        process.arrange({0: message, 1: output, 2: output})
        process.close_above(2)
        self._lower_limits()
        try:
            posix.chdir(self._home.path)
            identity.become(user.uid, user.gid)
            process.execute(self._local, argv, process.environment())
        except OSError as error:
            return CANNOT_EXEC_NOW if is_temporary(error.errno) else CANNOT_EXEC

    def _ended(self, pid: int, ending: process.Ending) -> None:
        if not self._crew.ended(pid, ending) and pid in self._executed:
            self._executed.pop(pid).end(ending.code, ending.signal)


def _run_getpw(program: bytes, local: bytes) -> tuple[int, bytes]:
    """Exit code and output of a qmail-getpw that must really be executed."""
    read_end, write_end = posix.pipe2(posix.O_CLOEXEC)

    def child() -> int:
        process.arrange({1: write_end})
        process.close_above(2)
        try:
            process.execute(program, [b"bin/qmail-getpw", local], process.environment())
        except OSError:
            return process.EXEC_FAILED + 1  # 121

    pid = process.fork(child)
    posix.close(write_end)
    fields = descriptors.read_all(read_end, getpw.LIMIT)
    posix.close(read_end)
    ending = process.wait(pid)
    if ending.signal:
        return BUG, b""
    return ending.code, fields


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file.  argv: program, default delivery [wide] [resumed]."""
    if len([word for word in argv if word not in (WIDE_WORD, RESUMED)]) < 2:
        raise Die(PERM, b"usage: qmail-lspawn defaultdelivery")
    posix.chdir(home.path)
    title.set_title("qmail-lspawn")
    lspawn = Lspawn(home, argv)
    return lspawn.serve()
