"""Looking up whose an address is, for qmail-lspawn: in children that are qmailp, and never for ever.

A source of accounts (a directory server, a home on a file server) that does not answer must not hold all deliveries:
* a look-up that takes LONGEST is given up, and its child is killed: code 118, later;
* after SLOW only `most` of them may go on: those beyond are given up then. Others are asked for all the same: it may be
  the home of one user that hangs, on purpose even;
* where so many children cannot even be killed, users/cdb is asked as ever, and nobody else.
Each look-up has a child of its own while it lasts, so that none waits for another. What a child says is hostile bytes.

Mail comes in bursts, and to ask costs more than all else that is done here: what was found within RECENT is found again
without asking, unless users/cdb or the file of accounts has changed since. Other sources of accounts tell nobody when
they change, but no change of theirs is seen as quickly as that.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.skeletons import address
from qmailpy.system import clock, descriptors, process
from qmailpy.system.loop import Loop
from qmailpy.system.resident import Crew, Kind
from qmailpy.wire import getpw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.loop import Timer

    Answered = Callable[["bytes | None"], None]

LONGEST = 60.0  # seconds; a directory server has given its own client an answer, or an error, by then
RECENT = 0.05  # seconds
_MOST_RECENT = 256  # answers that are remembered
_ACCOUNTS = b"/etc/passwd"
SLOW = 5.0  # seconds after which a look-up counts as hanging
NO_ANSWER = bytes((address.NO_ACCOUNTS,))
_CANNOT_EXEC = process.EXEC_FAILED + 1  # 121: qmail-getpw cannot be run
_BUG = address.MALFORMED
_INSIDE, _EXECUTED, _TABLE_ONLY = b"i", b"x", b"t"  # how the child looks for an account
FOUND = {_INSIDE: b"accounts", _EXECUTED: b"qmail-getpw", _TABLE_ONLY: b"users/cdb"}


class _Asked:
    __slots__ = ("answered", "hangs", "since")

    def __init__(self, answered: "Answered") -> None:
        self.since, self.answered = clock.monotonic(), answered
        self.hangs = False  # for SLOW by now


class _Recent:
    """What was found not long ago, as far as it still holds."""

    __slots__ = ("_known", "_table")

    def __init__(self, table: bytes) -> None:
        """table: users/cdb."""
        self._table = table
        self._known: dict[bytes, tuple[float, object, bytes]] = {}

    def get(self, local: bytes) -> bytes | None:
        known = self._known.get(local)
        return known[2] if known and clock.monotonic() < known[0] and known[1] == self.signature() else None

    def keep(self, local: bytes, signature: object, answer: bytes) -> None:
        """signature: from before it was asked."""
        if len(self._known) >= _MOST_RECENT:
            self._known.clear()
        self._known[local] = clock.monotonic() + RECENT, signature, answer

    def signature(self) -> object:
        """Of the files that answers come from."""
        return _mark(self._table), _mark(_ACCOUNTS)


def _mark(path: bytes) -> tuple[int, ...]:
    try:
        status = posix.stat(path)
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Lookups:
    """All look-ups under way."""

    def __init__(self, home: Home, loop: Loop, crew: Crew, most: int) -> None:
        """most: how many may hang."""
        self._home, self._loop, self._crew, self._most = home, loop, crew, most
        self._getpw = home.program("qmail-getpw")
        self._recent = _Recent(home.at(b"users", b"cdb"))
        asker = home.roles.account("qmailp")
        # a group of its own: a qmail-getpw that it executes ends with it
        self._kind = Kind(
            ("lookup",), "qmail-getpw", asker.uid, asker.gid, home.path, self._look_up, process.lead_group, pure=True
        )
        self._asked: dict[int, _Asked] = {}  # by the child's pid, the oldest first
        self._hanging = 0  # of these
        self._unfinished: set[int] = set()  # children that were killed and have not ended: the kernel is waiting
        self._watching: Timer | None = None  # one for all

    def ask(self, local: bytes, answered: "Answered", *, inside: bool) -> None:
        """answered(answer) comes now or later: a zero byte, how he was found (a key of FOUND), and the six fields; or
        an exit code of spec/03 5; None: nonsense.

        inside: the accounts are looked up without executing qmail-getpw.  Errors: OSError, no child can be had.
        """
        how = _INSIDE if inside else _EXECUTED
        known = self._recent.get(local) if inside else None
        if known is not None:
            answered(known)
            return
        if len(self._unfinished) >= self._most:
            how = _TABLE_ONLY
        asked, signature = _Asked(answered), self._recent.signature()

        def hear(answer: bytes | None) -> None:
            self._forget(pid)
            if answer and not answer[0] and how == _INSIDE:
                self._recent.keep(local, signature, answer)
            answered(answer)

        pid = self._crew.give(self._kind, how + local, [], hear)
        self._asked[pid] = asked
        if self._watching is None:
            self._watching = self._loop.after(SLOW, self._watch)

    def ended(self, pid: int) -> None:
        """A child of this process has ended."""
        self._unfinished.discard(pid)

    def _forget(self, pid: int) -> None:
        self._hanging -= self._asked.pop(pid).hangs

    def _watch(self) -> None:
        """Give up what takes too long, and the youngest of too many that are slow; look again while there are any."""
        now = clock.monotonic()
        for pid, asked in list(self._asked.items()):
            if now - asked.since >= LONGEST:
                self._give_up(pid, asked)
            elif not asked.hangs and now - asked.since >= SLOW:
                asked.hangs = True
                self._hanging += 1
                if self._hanging + len(self._unfinished) > self._most:
                    self._give_up(pid, asked)
        self._watching = self._loop.after(self._pause(now), self._watch) if self._asked else None

    def _pause(self, now: float) -> float:
        """Seconds until one of them becomes slow, or too slow; SLOW at most, for one that is asked later."""
        limits = (asked.since + (LONGEST if asked.hangs else SLOW) for asked in self._asked.values())
        return max(min(min(limits) - now, SLOW), 0.0)

    def _give_up(self, pid: int, asked: _Asked) -> None:
        self._forget(pid)
        self._unfinished.add(pid)
        self._crew.abandon(pid)
        asked.answered(NO_ANSWER)

    def _look_up(self, request: bytes) -> bytes:
        """Runs in the child."""
        how, local = request[:1], request[1:]
        user, by = address.find_assigned(self._home, local), _TABLE_ONLY
        if user is None and how == _TABLE_ONLY:
            return NO_ANSWER
        if user is None and how == _INSIDE:
            user, by = address.find_account(self._home, local), _INSIDE
        if user is not None:
            return b"\0" + by + getpw.encode(user)
        code, fields = _run_getpw(self._getpw, local)
        return bytes((code,)) + (b"" if code else _EXECUTED + fields)


def _run_getpw(program: bytes, local: bytes) -> tuple[int, bytes]:
    """Exit code and output of a qmail-getpw that must really be executed."""
    read_end, write_end = posix.pipe2(posix.O_CLOEXEC)

    def child() -> int:
        process.arrange({1: write_end})
        process.close_above(2)
        try:
            process.execute(program, [b"bin/qmail-getpw", local], process.environment())
        except OSError:
            return _CANNOT_EXEC

    pid = process.fork(child)
    posix.close(write_end)
    fields = descriptors.read_all(read_end, getpw.LIMIT)
    posix.close(read_end)
    ending = process.wait(pid)
    if ending.signal:
        return _BUG, b""
    return ending.code, fields
