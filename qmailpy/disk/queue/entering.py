"""A message enters the queue: S1 -> S2 -> S3 -> S4, in the order of spec/02 3 with the directory fsyncs of its 8.

Used by the door, and by root's own qmail-queue while the door is closed. Every failure before the link into todo/ takes
back what was made (C leaves litter for some codes, spec/09 4 row 4); after the link nothing is ever taken back, because
qmail-send may already hold the message. Whoever is killed in between leaves S2 or S3, which the collector removes.

Errors: Die TEMP with qmail-queue's exit code: 53 write or fsync, 62 queue/, 63 pid/, 64 mess/, 65 intd/, 66 todo/.
The caller's umask must be 033 (files are 0644, and never become more).
"""

import posix
from itertools import count

from qmailpy.disk import durable
from qmailpy.disk.queue.paths import Paths
from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Bytes = bytes | bytearray | memoryview

WRITE, QUEUE, PID, MESS, INTD, TODO = 53, 62, 63, 64, 65, 66  # exit codes
UMASK = 0o033
_MODE = 0o644
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
_ATTEMPTS = 9  # temporary names tried
_S1, _S2, _S3, _S4 = 1, 2, 3, 4  # the states, as in this package's head


class Names:
    """Temporary names in pid/, never the same twice in one process: PID.TIME.SEQUENCE.

    The sequence is the writer's own, since one door writes for many pids.
    """

    def __init__(self, pid: int, now: int) -> None:
        """pid: our own; now: when we started, seconds since the epoch."""
        self._prefix = b"%d.%d" % (pid, now)
        self._sequence = count(1)

    def next(self) -> bytes:
        """A new name; threads may ask at the same time."""
        return b"%s.%d" % (self._prefix, next(self._sequence))


class Entering:
    """One message on its way in: begin, append any number of times, then commit or abandon."""

    __slots__ = ("_descriptor", "_names", "_owner", "_paths", "_size", "_state", "number")

    def __init__(self, paths: Paths, names: Names, owner: int) -> None:
        """owner: the uid that queue/ must belong to (qmailq)."""
        self._paths, self._names, self._owner = paths, names, owner
        self._descriptor = -1
        self._state = _S1
        self._size = 0  # bytes of the file that is open
        self.number = 0

    @property
    def todo(self) -> bytes:
        """The directory that accept() makes a name in."""
        return self._paths.folder(b"todo")

    @property
    def begun(self) -> bool:
        """Whether there is something that abandon() would take back."""
        return self._state in (_S2, _S3)

    def begin(self, *content: "Bytes") -> None:
        """S1 -> S2: mess/N, named by its own inode.  content: its first bytes, the Received line above all."""
        check_queue(self._paths, self._owner)
        temporary, self._descriptor = self._create()
        try:
            self._name(temporary)
        except BaseException:
            self._close()
            _remove(temporary)
            raise
        self._state = _S2
        try:
            posix.unlink(temporary)
        except OSError as error:
            self.abandon()
            raise _refusal(PID, b"remove", temporary, error) from None
        self.append(*content)

    def append(self, *content: "Bytes") -> None:
        """More of the message."""
        try:
            descriptors.write_pieces_all(self._descriptor, content)
        except OSError as error:
            self.abandon()
            raise _refusal(WRITE, b"write", self._paths.mess(self.number), error) from None
        self._size += sum(map(len, content))

    def commit(self, *todo: "Bytes") -> None:
        """S2 -> S3 -> S4: when this returns, the message is ours whatever happens.  todo: content of todo/N."""
        (error,) = commit_together([(self, todo)])
        if error is not None:
            raise error

    def abandon(self) -> None:
        """Take back whatever was made: nothing remains, unless the message is accepted already."""
        self._close()
        if self._state == _S3:  # first of all: intd without mess is no state
            _remove(self._paths.intd(self.number))
        if self._state in (_S2, _S3):
            _remove(self._paths.mess(self.number))
            self._state = _S1

    def surrender(self) -> None:
        """Only close: another process, a fork of this one, goes on with it."""
        self._close()
        self._state = _S1

    def _create(self) -> tuple[bytes, int]:
        for attempt in range(1, _ATTEMPTS + 1):
            temporary = self._paths.folder(b"pid/") + self._names.next()
            try:
                return temporary, posix.open(temporary, _NEW, _MODE)
            except OSError as error:
                if not isinstance(error, FileExistsError) or attempt == _ATTEMPTS:
                    raise _refusal(PID, b"create", temporary, error) from None
        raise AssertionError

    def _name(self, temporary: bytes) -> None:
        try:
            self.number = posix.fstat(self._descriptor).st_ino
        except OSError as error:
            raise _refusal(PID, b"stat", temporary, error) from None
        path = self._paths.mess(self.number)
        try:
            posix.link(temporary, path)
        except OSError as error:
            raise _refusal(MESS, b"create", path, error) from None

    # the steps of commit(), which several messages may take together

    def start_writing(self) -> None:
        """The next fsync will have less to do; it need not be told where this fails."""
        durable.start_writing(self._descriptor, self._size)

    def keep_message(self) -> None:
        """The content of mess/N; its name is the directory's to keep."""
        try:
            durable.sync_file(self._descriptor)
        except OSError as error:
            raise _refusal(WRITE, b"fsync", self._paths.mess(self.number), error) from None
        self._close()

    @property
    def folder(self) -> bytes:
        """Of mess/N: it must be fsynced between keep_message() and write_envelope()."""
        return self._paths.split_folder(b"mess", self.number)

    def write_envelope(self, todo: "Sequence[Bytes]") -> None:
        """S2 -> S3."""
        path = self._paths.intd(self.number)
        try:
            self._descriptor = posix.open(path, _NEW, _MODE)
        except OSError as error:
            raise _refusal(INTD, b"create", path, error) from None
        self._state = _S3
        self._size = sum(map(len, todo))
        try:
            descriptors.write_pieces_all(self._descriptor, todo)
        except OSError as error:
            raise _refusal(WRITE, b"write", path, error) from None

    def keep_envelope(self) -> None:
        """The content of intd/N, which is to become todo/N."""
        try:
            durable.sync_file(self._descriptor)
        except OSError as error:
            raise _refusal(WRITE, b"write", self._paths.intd(self.number), error) from None

    def accept(self) -> None:
        """S3 -> S4, as soon as todo/ has been fsynced too."""
        intd, path = self._paths.intd(self.number), self._paths.todo(self.number)
        try:
            posix.link(intd, path)
        except OSError as error:
            if _may_be_linked(self._descriptor, path):  # then it must not be taken back
                self._state = _S4
            raise _refusal(TODO, b"create", path, error) from None
        finally:
            self._close()
        self._state = _S4

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                posix.close(descriptor)
            except OSError:  # what had to be kept has been fsynced; the rest is taken back
                return


def commit_together(batch: "Sequence[tuple[Entering, Sequence[Bytes]]]") -> "list[BaseException | None]":
    """What commit() does, for several messages of one queue step by step, each directory fsynced once for all of them.

    The disk's journal then writes once what it would write for each. No message waits for another one's error.
    Result: for each, what its commit() would raise, or None.
    """
    errors: list[BaseException | None] = [None] * len(batch)

    def each(step: "Callable[[Entering, Sequence[Bytes]], None]") -> None:
        for at, (entering, todo) in enumerate(batch):
            if errors[at] is None:
                try:
                    step(entering, todo)
                except BaseException as error:  # noqa: BLE001 - it is raised by whoever wants this message
                    entering.abandon()
                    errors[at] = error

    each(lambda entering, _: entering.start_writing())
    each(lambda entering, _: entering.keep_message())
    folders = _Folders(MESS)
    each(lambda entering, _: folders.sync(entering.folder))
    each(lambda entering, todo: entering.write_envelope(todo))
    each(lambda entering, _: entering.start_writing())
    each(lambda entering, _: entering.keep_envelope())
    each(lambda entering, _: entering.accept())
    folders = _Folders(TODO)
    # where this fails it may be lost in a power cut, or delivered: nothing can be taken back any more
    each(lambda entering, _: folders.sync(entering.todo))
    return errors


class _Folders:
    """Directories fsynced once each; whoever needs one gets its error."""

    def __init__(self, code: int) -> None:
        self._code = code
        self._synced: dict[bytes, OSError | None] = {}

    def sync(self, folder: bytes) -> None:
        if folder not in self._synced:
            self._synced[folder] = None
            try:
                durable.sync_directory(folder)
            except OSError as error:
                self._synced[folder] = error
        failure = self._synced[folder]
        if failure is not None:
            raise _refusal(self._code, b"fsync", folder, failure) from None


def check_queue(paths: Paths, owner: int) -> None:
    """Refuse a queue that is not there or not ours, before anything is made in it.  Errors: Die with code 62."""
    try:
        status = posix.stat(paths.root)
    except OSError as error:
        raise _refusal(QUEUE, b"use", paths.root, error) from None
    if status.st_uid != owner:
        text = b"%s belongs to uid %d and not to uid %d" % (paths.root, status.st_uid, owner)
        raise Die(TEMP, b"unable to use the queue: " + text, QUEUE)


def pull_trigger(paths: Paths) -> None:
    """Wake qmail-send, if it runs (spec/02 5); if not, it will look when it starts."""
    try:
        trigger = posix.open(paths.lock(b"trigger"), posix.O_WRONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        posix.write(trigger, b"\0")
    except OSError:
        pass
    finally:
        posix.close(trigger)


def _may_be_linked(descriptor: int, path: bytes) -> bool:
    """Whether a link that failed was made all the same; in doubt, yes."""
    try:
        there = posix.stat(path)
        ours = posix.fstat(descriptor)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _refusal(code: int, verb: bytes, path: bytes, error: OSError) -> Die:
    return Die(TEMP, b"unable to %s %s: %s" % (verb, path, words(error)), code)


def _remove(path: bytes) -> None:
    try:
        posix.unlink(path)
    except OSError:  # the collector removes it after 36 hours
        return
