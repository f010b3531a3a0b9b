"""From accepted to prepared: what qmail-send does with todo/N before it may be removed (spec/02 6).

claim(N) reads it; prepare(N) writes info/N and the channel files anew, whatever a crash left of them; settle() puts the
files and directories of a whole batch on disk. Then qmail-clean removes todo/N, which is the instant of S4 -> S5.

Errors of every call: Trouble; the message stays in S4.  Only the holder of the mutex may write.
"""

import errno
import fcntl
import posix

from qmailpy.disk import durable
from qmailpy.disk.queue import listing
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.disk.queue.wishes import Wishes
from qmailpy.system import descriptors
from qmailpy.wire.delivery import CHANNELS
from qmailpy.wire.envelope import Todo, decode_todo

_READ = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
_MODE = 0o600


class Claim:
    """What an accepted message is: who brought it (uid, qp), envelope, parameters or None, size in bytes."""

    __slots__ = ("parameters", "qp", "recipients", "sender", "size", "uid")

    def __init__(self, todo: Todo, size: int) -> None:
        """Addresses as they were given."""
        self.uid, self.qp, self.sender, self.recipients = todo.uid, todo.pid, todo.sender, todo.recipients
        self.parameters, self.size = todo.parameters, size


class Prepared:
    """Files of one message that are written and not yet settled; trouble: why it could not be settled."""

    __slots__ = ("files", "folders", "number", "trouble")

    def __init__(self, number: int) -> None:
        """Nothing written yet."""
        self.number = number
        self.files: list[tuple[int, bytes]] = []  # descriptor, path
        self.folders: list[bytes] = []
        self.trouble: Trouble | None = None

    def close(self) -> None:
        """Give the descriptors back."""
        while self.files:
            posix.close(self.files.pop()[0])


def take_mutex(paths: Paths) -> int | None:
    """Be the only qmail-send, until the result (a descriptor) is closed; None where another one is.

    Errors: Trouble "open"; also where qmail-queuecheck has left the queue half mended.
    """
    path = paths.lock(b"sendmutex")
    try:
        if posix.access(path + b".mending", posix.F_OK):
            raise FileExistsError(errno.EEXIST, "half mended")
        descriptor = posix.open(path, posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError as error:
        raise Trouble("open", paths.relative(path), error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        posix.close(descriptor)
        return None
    return descriptor


class Claiming:
    """The messages in S4.  number: a message's."""

    def __init__(self, paths: Paths) -> None:
        """paths: of which queue.  The process's umask must be 077."""
        self._paths = paths
        self.half: set[int] = set()  # messages of which a preprocessing may have left something
        self.unloaded: set[int] = set()  # messages of S5 that nobody has looked at since the start
        self._seen: set[bytes] = set()  # names in todo/ that news() has told of: with 100,000 there, the rest is quick

    def news(self) -> list[int]:
        """The messages in S4 that were not told of before.  Errors: Trouble "opendir"."""
        names = listing.todo_names(self._paths)
        new = names - self._seen
        self._seen = names
        return [number for number in map(listing.canonical, new) if number is not None]

    def look_again(self, number: int) -> None:
        """News() shall tell of this message once more."""
        self._seen.discard(b"%d" % number)

    def claim(self, number: int) -> Claim:
        """What todo/N says.

        Trouble "record" where it is empty, cut off or of an unknown kind: then nobody was told that it is accepted.
        """
        if number in self.unloaded:  # another message's now: what is there in S5 is left from a crash
            self.unloaded.discard(number)
            self.half.add(number)
        path = self._paths.todo(number)
        content = self._content(path)
        try:
            size = posix.stat(self._paths.mess(number)).st_size
        except OSError as error:
            raise self._trouble("stat", self._paths.mess(number), error) from None
        todo = decode_todo(content)
        if todo is None:
            raise self._trouble("record" if content.endswith(b"\0") else "read", path)
        return Claim(todo, size)

    def prepare(
        self,
        number: int,
        birth: int,
        sender: bytes,
        addresses: tuple[list[bytes], list[bytes]],
        wishes: Wishes | None = None,
    ) -> Prepared:
        """Write info/N and the channel files anew.

        birth: seconds since the epoch; addresses: as stored, indexed by channel.  settle() must follow, or close().
        """
        self.half.add(number)
        self.forget(number)
        prepared = Prepared(number)
        try:
            wished = b"" if wishes is None else wishes.encode(addresses)
            self._write(prepared, b"info", b"F%s\0%s" % (sender, wished))
            self._date(prepared, birth)
            for name, listed in zip(CHANNELS, addresses, strict=True):
                if listed:
                    self._write(prepared, name, b"T%s\0" % b"\0T".join(listed))
        except BaseException:
            prepared.close()
            raise
        return prepared

    def forget(self, number: int) -> None:
        """Remove what a preprocessing left that did not come to its end; half tells whether there can be any."""
        if number not in self.half:
            return
        paths = self._paths
        for path in (*(paths.split(name, number) for name in CHANNELS), paths.info(number), paths.bounce(number)):
            self._remove(path)

    def orphan(self, number: int) -> None:
        """There is info/N and no mess/N: a power cut has brought it back, or somebody has taken mess/N away.

        A new message of this number must find nothing of it.
        """
        self.half.add(number)

    def bury(self, number: int) -> None:
        """Remove an orphan, unless it has its mess/N again, or has gone already."""
        if number not in self.half:
            return
        try:
            posix.stat(self._paths.mess(number))
        except FileNotFoundError:
            self.forget(number)
            self.half.discard(number)
        except OSError as error:
            raise self._trouble("stat later", self._paths.mess(number), error) from None

    def gone(self, number: int) -> None:
        """todo/N has been removed: the message is in S5, or on its way out; its number may be another's soon."""
        self.half.discard(number)
        self.look_again(number)

    def settle(self, batch: list[Prepared]) -> None:
        """Put what was prepared on disk, files first, each directory once; what failed has its trouble set."""
        folders: dict[bytes, Trouble | None] = {}
        for prepared in batch:
            for descriptor, path in prepared.files:
                try:
                    durable.sync_file(descriptor)
                except OSError as error:
                    prepared.trouble = self._trouble("fsync", path, error)
            prepared.close()
            folders.update(dict.fromkeys(prepared.folders))
        for folder in folders:
            try:
                durable.sync_directory(folder)
            except OSError as error:
                folders[folder] = self._trouble("fsync", folder, error)
        for prepared in batch:
            for folder in prepared.folders:
                prepared.trouble = prepared.trouble or folders[folder]

    def _date(self, prepared: Prepared, birth: int) -> None:
        descriptor, path = prepared.files[0]
        try:
            posix.utime(descriptor, (birth, birth))
        except OSError as error:
            raise self._trouble("write", path, error) from None

    def _write(self, prepared: Prepared, name: bytes, content: bytes) -> None:
        path = self._paths.split(name, prepared.number)
        try:
            descriptor = posix.open(path, _NEW, _MODE)
        except OSError as error:
            raise self._trouble("create", path, error) from None
        prepared.files.append((descriptor, path))
        prepared.folders.append(self._paths.split_folder(name, prepared.number))
        try:
            descriptors.write_all(descriptor, content)
        except OSError as error:
            raise self._trouble("write", path, error) from None

    def _content(self, path: bytes) -> bytes:
        try:
            descriptor = posix.open(path, _READ)
        except OSError as error:
            raise self._trouble("open", path, error) from None
        try:
            pieces = []
            while piece := posix.read(descriptor, descriptors.READ_SIZE):
                pieces.append(piece)
        except OSError as error:
            raise self._trouble("read", path, error) from None
        finally:
            posix.close(descriptor)
        return b"".join(pieces)

    def _remove(self, path: bytes) -> None:
        try:
            posix.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._trouble("unlink", path, error) from None

    def _trouble(self, what: str, path: bytes, error: OSError | None = None) -> Trouble:
        return Trouble(what, self._paths.relative(path), error)
