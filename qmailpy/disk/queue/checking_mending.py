"""The deeds of qmail-queuecheck: what checking_rules found is put right, so that whoever cuts the power finds it mended
or finds what is left to mend.

Whoever mends holds lock/sendmutex and the door's lock: nobody else works here. What tells most is moved first where
something is set aside, and last where it gets another name; directories are fsynced in between.
While messages get other numbers lock/sendmutex has another name, so that no qmail-send, not even C's, can start before
all have theirs: it would take half a message for litter.
  1  what a message has besides its text: NAME -> OLD.to.NEW    (whose OLD is stands in mess/ until then)
  2  mess/S/OLD -> mess/S'/OLD.to.NEW                          (nothing has an old name any more: no two can meet)
  3  mess/S'/OLD.to.NEW -> mess/S'/NEW
  4  the rest likewise
Errors of all calls: Trouble with the file's name.
"""

import errno
import fcntl
import posix
import stat

from qmailpy.disk import durable
from qmailpy.disk.queue.checking import ASIDE, LOCK, MENDING, MESS, MUTEX, Folders, Item, Label, home_of
from qmailpy.disk.queue.checking_contents import READ
from qmailpy.disk.queue.checking_rules import Action, Finding, Message, Owners
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.system import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC
_WRITE = posix.O_RDWR | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_COPY = b".copy"  # of a file that is being made two; left by a power cut it is a stray
_ASIDE_MODE = 0o700
_NAMES = 1000  # tried in aside/ for one file


class Mending:
    """One run.  done: how many files were moved, changed or copied."""

    def __init__(self, folders: Folders, owners: Owners, stamp: bytes, say: "Callable[[bytes], None]") -> None:
        """stamp: begins the names in aside/; say: told how far it is."""
        self._folders, self._owners, self._stamp, self._say = folders, owners, stamp, say
        self._touched: set[bytes] = set()  # directories to be fsynced
        self.done = 0

    # REPAIR and PART

    def repair(self, findings: list[Finding]) -> None:
        """Do what is to be done about these, which are of one stage."""
        actions = [action for finding in findings for action in finding.actions]
        if any(action.verb in (b"aside", b"cut") for action in actions):
            self._make_aside()
        texts = [action for action in actions if action.verb == b"aside" and _is_text(action)]
        for wave in (texts, [action for action in actions if action not in texts]):
            for action in wave:
                self._do(action)
            self._sync()

    def _do(self, action: Action) -> None:
        item = action.item
        path = action.folder if item is None else item.path
        try:
            if item is None:
                self._remove_directory(action.folder)
            elif action.verb == b"aside":
                self._rename(item, ASIDE, self._free_name(item))
            elif action.verb == b"move":
                self._rename(item, action.folder, action.name)
            elif action.verb == b"own":
                self._own(item)
            elif action.verb == b"cut":
                self._cut(item, action.size)
            else:
                self._part(item)
        except FileExistsError:  # two were sent to one place: the next round sets one aside
            return
        except OSError as error:
            raise Trouble("mend", path, error) from None
        self.done += 1

    def _make_aside(self) -> None:
        try:
            if not self._folders.kind_of(ASIDE):
                posix.mkdir(ASIDE, _ASIDE_MODE, dir_fd=self._folders.root)
            self._give(self._folders.at(ASIDE), self._owners.queue, _ASIDE_MODE)
            durable.sync_open_directory(self._folders.root)
        except OSError as error:
            raise Trouble("mend", ASIDE, error) from None

    def _give(self, descriptor: int, uid: int, mode: int) -> None:
        status = posix.fstat(descriptor)
        if (status.st_uid, status.st_gid) != (uid, self._owners.gid) and (status.st_uid != uid or posix.geteuid() == 0):
            posix.fchown(descriptor, uid, self._owners.gid)
        elif status.st_uid != uid:
            posix.fchown(descriptor, uid, -1)
        if stat.S_IMODE(status.st_mode) != mode:
            posix.fchmod(descriptor, mode)

    def _free_name(self, item: Item) -> bytes:
        name = b".".join((self._stamp, item.folder.replace(b"/", b"."), item.name))[:240]
        taken = self._folders.item(ASIDE, name)
        for at in range(1, _NAMES):
            if taken is None:
                return name
            name = b"%s.%d" % (name.removesuffix(b".%d" % (at - 1)), at)
            taken = self._folders.item(ASIDE, name)
        raise FileExistsError(errno.EEXIST, "no name is free")

    def _rename(self, item: Item, folder: bytes, name: bytes) -> None:
        if self._folders.item(folder, name) is not None:
            raise FileExistsError(errno.EEXIST, "somebody is in its place")
        source, target = self._folders.at(item.folder), self._folders.at(folder)
        posix.rename(item.name, name, src_dir_fd=source, dst_dir_fd=target)
        self._touched |= {item.folder, folder}

    def _remove_directory(self, path: bytes) -> None:
        parent, _, name = path.rpartition(b"/")
        self._folders.forget(path)
        posix.rmdir(name, dir_fd=self._folders.at(parent))
        self._touched.add(parent)

    def _open(self, item: Item, flags: int) -> int:
        descriptor = posix.open(item.name, flags, dir_fd=self._folders.at(item.folder))
        if posix.fstat(descriptor).st_ino != item.inode:
            posix.close(descriptor)
            raise OSError(errno.EAGAIN, "it has changed meanwhile")
        return descriptor

    def _own(self, item: Item) -> None:
        us = posix.geteuid()
        if us != 0 and item.uid == us and stat.S_ISREG(item.mode) and not item.mode & stat.S_IRUSR:
            # root needs none of this, and must not: by its name it would follow a link that somebody has put there
            posix.chmod(item.name, self._owners.of(item.kind)[1], dir_fd=self._folders.at(item.folder))
        descriptor = self._open(item, READ)
        try:
            self._give(descriptor, *self._owners.of(item.kind))
            durable.sync_file(descriptor)
        finally:
            posix.close(descriptor)

    def _cut(self, item: Item, size: int) -> None:
        descriptor = self._open(item, _WRITE)
        try:
            times = _times(item, descriptor)  # the last change is when it is due
            self._copy(descriptor, item, ASIDE, self._free_name(item))
            durable.sync_open_directory(self._folders.at(ASIDE))
            posix.ftruncate(descriptor, size)
            posix.utime(descriptor, ns=times)
            durable.sync_file(descriptor)
        finally:
            posix.close(descriptor)

    def _part(self, item: Item) -> None:
        """Another file of the same content takes its place."""
        name = item.name + _COPY
        descriptor = self._open(item, READ)
        try:
            self._copy(descriptor, item, item.folder, name)
        finally:
            posix.close(descriptor)
        folder = self._folders.at(item.folder)
        posix.rename(name, item.name, src_dir_fd=folder, dst_dir_fd=folder)
        self._touched.add(item.folder)

    def _copy(self, descriptor: int, item: Item, folder: bytes, name: bytes) -> None:
        """Content, owner, mode and times, durable; its name is not yet."""
        times = _times(item, descriptor)
        made = posix.open(name, _NEW, 0o600, dir_fd=self._folders.at(folder))
        try:
            posix.lseek(descriptor, 0, 0)
            while piece := posix.read(descriptor, descriptors.READ_SIZE):
                descriptors.write_all(made, piece)
            self._give(made, *self._owners.of(item.kind))
            posix.utime(made, ns=times)
            durable.sync_file(made)
        finally:
            posix.close(made)

    def _sync(self) -> None:
        for folder in sorted(self._touched):
            try:
                durable.sync_open_directory(self._folders.at(folder))
            except FileNotFoundError:  # it was empty, and was removed
                continue
            except OSError as error:
                raise Trouble("mend", folder, error) from None
        self._touched.clear()

    # NUMBER

    def number(self, messages: list[Message]) -> None:
        """One of the four steps, the first that is due; there are no others' names in the way (REPAIR)."""
        leaving = [message for message in messages if not (message.is_right or message.is_under_way)]
        sides = [
            (side, label.number, message)
            for message in leaving
            for label, side in message.sides.values()
            if label.new != message.number
        ]
        if sides:
            self._go([(item, Label(old, message.number)) for item, old, message in sides], b"1 of 4")
        elif leaving:
            self._go([(each.item, Label(each.label.number, each.number)) for each in leaving], b"2 of 4")
        elif arriving := [message for message in messages if message.is_under_way]:
            self._go([(message.item, Label(message.number)) for message in arriving], b"3 of 4")
        else:
            rest = [
                (item, Label(label.new)) for message in messages for label, item in message.sides.values() if label.new
            ]
            self._go(rest, b"4 of 4")

    def _go(self, moves: list[tuple[Item, Label]], step: bytes) -> None:
        for at, (item, label) in enumerate(moves):
            if at and not at % 10000:
                self._say(b"step %s: %d of %d files renamed" % (step, at, len(moves)))
            try:
                self._rename(item, home_of(item.kind, label.new or label.number), label.name)
            except OSError as error:
                raise Trouble("mend", item.path, error) from None
            self.done += 1
        self._sync()

    # lock/sendmutex

    def shut(self) -> None:
        """Nobody can start any more.  We hold the mutex."""
        self._swap(MUTEX, MENDING)

    def reopen(self) -> None:
        """Everybody can."""
        self._swap(MENDING, MUTEX)

    def _swap(self, old: bytes, new: bytes) -> None:
        try:
            lock = self._folders.at(LOCK)
            if self._folders.kind_of(LOCK + b"/" + old):
                posix.rename(old, new, src_dir_fd=lock, dst_dir_fd=lock)
                durable.sync_open_directory(lock)
        except OSError as error:
            raise Trouble("mend", LOCK + b"/" + old, error) from None


def hold(folders: Folders) -> list[int] | None:
    """Be the only one who works on this queue, until the result (descriptors) is closed; None: qmail-send runs.

    Errors: Trouble.
    """
    held: list[int] = []
    for name in (MUTEX, MENDING):
        try:
            descriptor = posix.open(name, _WRITE, dir_fd=folders.at(LOCK))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Trouble("mend", LOCK + b"/" + name, error) from None
        held.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            for each in held:
                posix.close(each)
            return None
    return held


def is_shut(folders: Folders) -> bool:
    """Whether an earlier run was interrupted while messages got other numbers.  Errors: OSError."""
    return bool(folders.kind_of(LOCK + b"/" + MENDING))


def stage_of(findings: list[Finding]) -> int | None:
    """Which is to be done now; None where all is well."""
    return min((finding.stage for finding in findings), default=None) if findings else None


def _is_text(action: Action) -> bool:
    return action.item is not None and action.item.kind == MESS


def _times(item: Item, descriptor: int) -> tuple[int, int]:
    status = posix.fstat(descriptor)
    return item.when * 10**9, status.st_mtime_ns
