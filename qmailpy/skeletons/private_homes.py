"""Homes that their owners alone can enter, and the names of the .qmail files in them: for qmail-recipients, as root.

Root never looks into a home: a child that has become its owner does. It says a time and names; both are hostile bytes,
they are about this home only, and they are bounded in number and size. A home on a file server that does not answer
costs LONGEST, and is left out.
"""

import posix
import select

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import assign
from qmailpy.rules.users import entry_fields
from qmailpy.system import accounts, clock, descriptors, identity, process, signals
from qmailpy.wire import getpw, netstring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 10.0  # seconds for one home
MOST = 1 << 20  # bytes that are heard of one
SETTLED = 1_000_000_000  # nanoseconds: two changes within the kernel's clock tick leave the same time
_PREFIX = b".qmail"
_OTHERS_MAY_ENTER = 0o001
_DIGITS = 20


class Listing:
    """changed: the directory's mtime, nanoseconds; names: of its .qmail files."""

    __slots__ = ("changed", "names")

    def __init__(self, changed: int, names: list[bytes]) -> None:
        """As above."""
        self.changed, self.names = changed, names


def found(home: Home) -> "Iterator[tuple[bytes, int, int]]":
    """Home, uid and gid of everybody who may get mail, each home once, as far as qmaild cannot enter it."""
    seen: set[bytes] = set()
    for folder, uid, gid in (*_assigned(home), *_accounts()):
        if folder not in seen and uid != 0 and _is_private(folder, uid):
            seen.add(folder)
            yield folder, uid, gid


def _accounts() -> "Iterator[tuple[bytes, int, int]]":
    for _, uid, gid, folder in accounts.everybody():
        yield folder, uid, gid


def _assigned(home: Home) -> "Iterator[tuple[bytes, int, int]]":
    """By users/assign; a line that is none is qmail-newu's to complain of.  Errors: Die TEMP."""
    table = assign.Assignments()
    for line in (control.read(home.at(b"users", b"assign")) or b"").split(b"\n"):
        if line.startswith(assign.END):
            return
        try:
            user = getpw.decode(entry_fields(table.record(line)[1], b""))
        except assign.BadLineError:
            continue
        if user is not None:
            yield user.home, user.uid, user.gid


def _is_private(folder: bytes, uid: int) -> bool:
    try:
        status = posix.stat(folder)
    except OSError:
        return False
    return status.st_uid == uid and not status.st_mode & _OTHERS_MAY_ENTER


def listed(folder: bytes, uid: int, gid: int) -> Listing | None:
    """As its owner sees it; None where it cannot be listed, or is changing just now.  Errors: OSError of fork."""
    read_end, write_end = posix.pipe2(posix.O_CLOEXEC)

    def child() -> int:
        posix.close(read_end)
        identity.become(uid, gid)
        posix.chdir(folder)
        before = posix.stat(b".").st_mtime_ns
        with posix.scandir(b".") as entries:  # however many files there are
            names = [entry.name for entry in entries if entry.name.startswith(_PREFIX)]
        if posix.stat(b".").st_mtime_ns == before:
            descriptors.write_all(write_end, netstring.pack([b"%d" % before, *names]))
        return 0

    pid = process.fork(child)
    posix.close(write_end)
    try:
        said = _hear(read_end)
    finally:
        posix.close(read_end)
    if said is None:  # whether it can end now is the file server's affair: nobody waits for it
        process.kill(pid, signals.SIGKILL)
        return None
    process.wait(pid)
    return _understood(said)


def _hear(descriptor: int) -> bytes | None:
    """Everything; None if it takes too long, or is too much."""
    said = b""
    end = clock.monotonic() + LONGEST
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(said) <= MOST:
        left = end - clock.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return None
        piece = posix.read(descriptor, descriptors.READ_SIZE)
        if not piece:
            return said
        said += piece
    return None


def _understood(said: bytes) -> Listing | None:
    try:
        changed, *names = netstring.unpack(said)
    except (netstring.NetstringError, ValueError):
        return None
    if not changed.isdigit() or len(changed) > _DIGITS or int(changed) > clock.now() * 1_000_000_000 - SETTLED:
        return None
    if any(b"/" in name or not name.startswith(_PREFIX) for name in names):
        return None
    return Listing(int(changed), names)
