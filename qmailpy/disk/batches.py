"""Batches: messages on their way from an mbox into a Maildir, each in one place only, whenever we are killed.

They live in a directory of their own in the Maildir, where no reader looks, and go through four states, each change
being one rename:

    draft      being written; of no worth, the mbox has everything
    taken.N    whole and on disk, with a note of which part of which mbox it is; that part may still be in the mbox
    ready.N    it no longer is: these are the messages now
    new/ cur/  one by one; a message that has got there is nobody's business here any more

Who comes after a kill finds one of these and goes on from there: local/unboxing says how. A lock on the Maildir's
directory keeps two from doing it at once.
"""

import fcntl
import posix

from qmailpy.disk import durable
from qmailpy.system import descriptors
from qmailpy.verdict import TEMP, Die, words

_NAME = b"mbox2maildir"
_DRAFT, _TAKEN, _READY = b"draft", b"taken.", b"ready."
_NOTE = b".note"  # in a batch: what it is of
_NOTE_LIMIT = 8192  # bytes: a path and two numbers
_FLAGS = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC


class Note:
    """Which bytes of which mbox a batch holds.

    path: of the mbox, as it was named; size: the mbox up to the batch's end; digest: of these bytes.
    """

    __slots__ = ("digest", "path", "size")

    def __init__(self, path: bytes, size: int, digest: bytes) -> None:
        """As above; digest: in hexadecimal."""
        self.path, self.size, self.digest = path, size, digest


class Batches:
    """The batches of one Maildir, locked.  Errors of everything: Die TEMP."""

    __slots__ = ("_folder", "_maildir", "_open")

    def __init__(self, maildir: bytes) -> None:
        """maildir: with its slash at the end."""
        self._maildir, self._folder = maildir, maildir + _NAME + b"/"
        try:
            self._open = posix.open(maildir, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
            for part in (b"new", b"cur"):
                posix.stat(maildir + part + b"/.")
        except OSError as error:
            raise Die(TEMP, b"unable to open Maildir " + maildir + b": " + words(error)) from None
        try:
            fcntl.flock(self._open, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Die(TEMP, b"somebody else is at work on " + maildir) from None

    def taken(self) -> list[Note]:
        """What may still be in the mbox."""
        return [self._note(self._folder + name) for name in self._names(_TAKEN)]

    def _names(self, state: bytes) -> list[bytes]:
        try:
            names = posix.listdir(self._folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._trouble(error) from None
        return sorted((name for name in names if name.startswith(state)), key=lambda name: (len(name), name))

    def _note(self, batch: bytes) -> Note:
        try:
            descriptor = posix.open(batch + b"/" + _NOTE, posix.O_RDONLY | posix.O_CLOEXEC)
            try:
                text = posix.read(descriptor, _NOTE_LIMIT)
            finally:
                descriptors.close(descriptor)
            size, digest, path = text.split(b" ", 2)
            return Note(path, int(size), digest)
        except OSError as error:
            raise self._trouble(error) from None
        except ValueError:
            raise Die(TEMP, batch + b" is damaged: look what is in it and in your mbox, and remove it") from None

    def begin(self) -> None:
        """An empty draft."""
        draft = self._folder + _DRAFT
        try:
            if not self._exists():
                posix.mkdir(self._folder, 0o700)
                durable.sync_open_directory(self._open)
            self._discard(draft)
            posix.mkdir(draft, 0o700)
        except OSError as error:
            raise self._trouble(error) from None

    def _exists(self) -> bool:
        try:
            posix.lstat(self._folder)
        except FileNotFoundError:
            return False
        return True

    def _discard(self, batch: bytes) -> None:
        try:
            names = posix.listdir(batch)
        except FileNotFoundError:
            return
        for name in names:
            posix.unlink(batch + b"/" + name)
        posix.rmdir(batch)

    def create(self, name: bytes) -> int:
        """A new file in the draft.  Result: its descriptor."""
        try:
            return posix.open(self._folder + _DRAFT + b"/" + name, _FLAGS, 0o600)
        except OSError as error:
            raise self._trouble(error) from None

    def finish(self, descriptor: int, name: bytes, final: bytes, when: int) -> None:
        """A file of the draft is complete.  final: its name in the Maildir; when: its mtime, in seconds."""
        try:
            posix.utime(descriptor, (when, when))
            durable.sync_file(descriptor)
            posix.rename(self._folder + _DRAFT + b"/" + name, self._folder + _DRAFT + b"/" + final)
        except OSError as error:
            raise self._trouble(error) from None

    def take(self, note: Note) -> None:
        """The draft is whole: from here on it is a batch."""
        draft = self._folder + _DRAFT
        try:
            descriptor = self.create(_NOTE)
            try:
                posix.write(descriptor, b"%d %s %s" % (note.size, note.digest, note.path))
                durable.sync_file(descriptor)
            finally:
                descriptors.close(descriptor)
            durable.sync_directory(draft)
            posix.rename(draft, self._folder + _TAKEN + b"%d" % self._next())
            durable.sync_directory(self._folder)
        except OSError as error:
            raise self._trouble(error) from None

    def _next(self) -> int:
        names = [*self._names(_TAKEN), *self._names(_READY)]
        return 1 + max((int(name.rpartition(b".")[2]) for name in names), default=0)

    def settle(self) -> None:
        """What was taken is in the mbox no longer."""
        try:
            for name in self._names(_TAKEN):
                posix.rename(self._folder + name, self._folder + _READY + name[len(_TAKEN) :])
            if self._exists():
                durable.sync_directory(self._folder)
        except OSError as error:
            raise self._trouble(error) from None

    def publish(self) -> int:
        """Give all that is ready to the Maildir's readers, and leave nothing of ours behind.  Result: how many."""
        count = 0
        try:
            for batch in self._names(_READY):
                count += self._publish(self._folder + batch)
            if self._exists() and not self._names(_TAKEN):
                self._discard(self._folder + _DRAFT)
                posix.rmdir(self._folder)
        except OSError as error:
            raise self._trouble(error) from None
        return count

    def _publish(self, batch: bytes) -> int:
        names = sorted(name for name in posix.listdir(batch) if name != _NOTE)
        for name in names:
            part = b"cur/" if b":2," in name else b"new/"
            posix.rename(batch + b"/" + name, self._maildir + part + name)
        for path in (self._maildir + b"new", self._maildir + b"cur", batch):
            durable.sync_directory(path)
        self._discard(batch)
        return len(names)

    def close(self) -> None:
        """Let others do it."""
        descriptors.close(self._open)

    def _trouble(self, error: OSError) -> Die:
        return Die(TEMP, b"trouble in " + self._folder + b": " + words(error))
