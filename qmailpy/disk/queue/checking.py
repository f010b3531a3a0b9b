"""Everything that lies in the queue, as it lies there: what qmail-queuecheck judges (checking_rules) and mends.

Directories are opened once, step by step, and no link is followed: they belong to roles that root does not trust, and
root looks and works here. A number's directory that this layout does not have (another split, a todo/ that is split)
is looked at too: what is in it belongs to its place in this one.
  LABELS  a file's name as a message's: its number; or, while a mending gives it another one, OLD.to.NEW
"""

import posix
import stat

from qmailpy.disk.layout import SPLIT, SPLIT_FOLDERS
from qmailpy.disk.queue import listing
from qmailpy.system import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESS, INTD, TODO, INFO, LOCAL, REMOTE, BOUNCE, ORDERS = KINDS = (
    b"mess",
    b"intd",
    b"todo",
    b"info",
    b"local",
    b"remote",
    b"bounce",
    b"orders",
)
SIDES = KINDS[1:]  # what there may be besides the message itself
ASIDE, PID, LOCK = b"aside", b"pid", b"lock"
IS_SPLIT = frozenset(name.encode() for name in SPLIT_FOLDERS)
MUTEX, MENDING = b"sendmutex", b"sendmutex.mending"  # the second while files are being renamed: nobody can start
_TO = b".to."
_FOLDER = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_SPARED = frozenset((ASIDE, PID, LOCK, b"lost+found", *KINDS))  # what may be in queue/ itself
_PAUSE = 5.0  # seconds between two words about how far it is


class Item:
    """A file.  folder: of queue/, as mess/7; when: its last access, seconds since the epoch."""

    __slots__ = ("folder", "gid", "inode", "links", "mode", "name", "size", "uid", "when")

    def __init__(self, folder: bytes, name: bytes, status: posix.stat_result) -> None:
        """status: of lstat."""
        self.folder, self.name = folder, name
        self.inode, self.mode, self.uid, self.gid = status.st_ino, status.st_mode, status.st_uid, status.st_gid
        self.links, self.size, self.when = status.st_nlink, status.st_size, int(status.st_atime)

    @property
    def path(self) -> bytes:
        """As it is shown: relative to queue/."""
        return self.folder + b"/" + self.name

    @property
    def kind(self) -> bytes:
        """Of KINDS."""
        return self.folder.partition(b"/")[0]

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


class Label:
    """Whose a name says that a file is.  new: 0 but while its message gets another number."""

    __slots__ = ("new", "number")

    def __init__(self, number: int, new: int = 0) -> None:
        """number: the old one."""
        self.number, self.new = number, new

    @property
    def name(self) -> bytes:
        """The file's name."""
        return b"%d.to.%d" % (self.number, self.new) if self.new else b"%d" % self.number


def label_of(name: bytes) -> Label | None:
    """None where it is no name of a message's file."""
    old, to, new = name.partition(_TO)
    number = listing.canonical(old)
    target = listing.canonical(new) if to else 0
    return None if number is None or target is None or (to and not target) else Label(number, target)


def home_of(kind: bytes, number: int) -> bytes:
    """The directory where a file of this kind and number belongs."""
    return b"%s/%d" % (kind, number % SPLIT) if kind in IS_SPLIT else kind


class Folders:
    """The directories of a queue, open.  Errors of all calls: OSError."""

    def __init__(self, root: int) -> None:
        """root: descriptor of queue/, ours from now on."""
        self.root = root
        self._open: dict[bytes, int] = {b"": root}

    def at(self, folder: bytes) -> int:
        """A descriptor of this directory.  folder: relative to queue/."""
        if folder not in self._open:
            parent, _, name = folder.rpartition(b"/")
            self._open[folder] = posix.open(name, _FOLDER, dir_fd=self.at(parent))
        return self._open[folder]

    def names(self, folder: bytes) -> list[bytes]:
        """What is in it; nothing where there is no such directory."""
        try:
            return sorted(name.encode("utf-8", "surrogateescape") for name in posix.listdir(self.at(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError:
            if self.kind_of(folder) not in (0, stat.S_IFDIR):
                return []  # a link in its place: told as such
            raise

    def kind_of(self, path: bytes) -> int:
        """What is there, as stat.S_IFMT says; 0 where there is nothing."""
        folder, _, name = path.rpartition(b"/")
        try:
            return stat.S_IFMT(posix.lstat(name, dir_fd=self.at(folder)).st_mode)
        except FileNotFoundError:
            return 0

    def item(self, folder: bytes, name: bytes) -> Item | None:
        """A file in it; None where it has gone."""
        try:
            return Item(folder, name, posix.lstat(name, dir_fd=self.at(folder)))
        except FileNotFoundError:
            return None

    def forget(self, folder: bytes) -> None:
        """It may be another one when it is asked for again."""
        if folder in self._open:
            posix.close(self._open.pop(folder))

    def close(self) -> None:
        """All of them."""
        while self._open:
            posix.close(self._open.popitem()[1])


class Inventory:
    """What is there.

    files: kind -> list; names: of every file in the queue, by inode, those in pid/ and aside/ too; strays: what is no
    file of a message; empty: directories of another layout; foreign: what is in queue/ and is not ours.
    """

    def __init__(self, folders: Folders, say: "Callable[[bytes], None]") -> None:
        """say: told now and then how far it is.  Errors: OSError."""
        self._folders, self._say = folders, say
        self._seen, self._told_at = 0, clock.monotonic()
        self.files: dict[bytes, list[tuple[Label, Item]]] = {kind: [] for kind in KINDS}
        self.names: dict[int, list[Item]] = {}
        self.strays: list[Item] = []
        self.empty: list[bytes] = []
        self.aside = 0  # files in aside/
        self.foreign = [name for name in folders.names(b"") if name not in _SPARED]
        for kind in KINDS:
            for folder in self._folders_of(kind):
                self._look_into(kind, folder)
        for folder in (PID, ASIDE):
            for item in self._items(folder):
                self.aside += folder == ASIDE
                self._count(item)

    def _folders_of(self, kind: bytes) -> "Iterator[bytes]":
        """The directories of a kind: those of this layout, and others with numbers."""
        if kind not in IS_SPLIT:
            yield kind
        for name in self._folders.names(kind):
            path = kind + b"/" + name
            number = listing.canonical(name)
            if number is not None and self._folders.kind_of(path) == stat.S_IFDIR:
                if (kind not in IS_SPLIT or number >= SPLIT) and not self._folders.names(path):
                    self.empty.append(path)
                yield path
            elif kind in IS_SPLIT and (number is None or number >= SPLIT):  # else the layout tells
                item = self._folders.item(kind, name)
                self.strays += [item] if item is not None else []

    def _look_into(self, kind: bytes, folder: bytes) -> None:
        for item in self._items(folder):
            label = label_of(item.name)
            if label is not None and stat.S_ISDIR(item.mode) and folder == kind and not label.new:
                continue  # of another layout
            if label is None or not item.is_file:
                self.strays.append(item)
            else:
                self.files[kind].append((label, item))
            self._count(item)

    def _items(self, folder: bytes) -> "Iterator[Item]":
        for name in self._folders.names(folder):
            item = self._folders.item(folder, name)
            if item is not None:
                yield item

    def _count(self, item: Item) -> None:
        if item.is_file and item.links > 1:
            self.names.setdefault(item.inode, []).append(item)
        self._seen += 1
        if not self._seen % 100 and clock.monotonic() > self._told_at + _PAUSE:
            self._told_at = clock.monotonic()
            self._say(b"%d files looked at, in %s now" % (self._seen, item.folder))
