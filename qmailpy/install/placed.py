"""Files that we put where an administrator may change them: bin/, boot/, man/, doc/, control/samples/.

What was changed since we wrote it stays as it is, and that is said: a wrapper around a program is an old and loved
habit. lib/installed remembers what we wrote: lines "SHA256 MODE PATH", of one path the newest last. A line is there
before its file, so that a setup that was killed takes no file of its own for somebody else's.
"""

import hashlib
import os
import stat

from qmailpy.install.owners import Owners
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

RECORD = b"lib/installed"
OURS, OLDER, CHANGED, MISSING = "ours", "older", "changed", "missing"


class File:
    """One file to be placed.  path: relative to the home; mode: of the installed file."""

    __slots__ = ("content", "mode", "path")

    def __init__(self, path: str, content: bytes, mode: int) -> None:
        """As it should be."""
        self.path, self.content, self.mode = path, content, mode


class Wrote:
    """What we wrote at one path: the hashes, newest last, and the newest mode."""

    __slots__ = ("hashes", "mode")

    def __init__(self) -> None:
        """Nothing yet."""
        self.hashes: list[str] = []
        self.mode = 0


def digest(content: bytes) -> str:
    """The name of a content."""
    return hashlib.sha256(content).hexdigest()


def read_record(home: bytes) -> dict[str, Wrote]:
    """What earlier setups wrote.  Errors: Die TEMP where the record cannot be read."""
    record: dict[str, Wrote] = {}
    try:
        with open(home + b"/" + RECORD, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                name, mode, path = line.rstrip("\n").split(" ", 2)
                wrote = record.setdefault(path, Wrote())
                wrote.hashes.append(name)
                wrote.mode = int(mode, 8)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = words(error) if isinstance(error, OSError) else b"not a list of files"
        raise Die(TEMP, b"unable to read " + home + b"/" + RECORD + b": " + reason) from None
    return record


def content_at(path: bytes) -> bytes | None:
    """A regular file's content; None where there is none, or something else.  Errors: OSError."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def state(path: bytes, wrote: Wrote) -> str:
    """Whether what is at this path is what we wrote last, wrote earlier, or somebody's change.  Errors: OSError."""
    if not os.path.lexists(path):
        return MISSING
    content = content_at(path)
    if content is None:
        return CHANGED
    name = digest(content)
    if wrote.hashes and name == wrote.hashes[-1]:
        return OURS
    return OLDER if name in wrote.hashes else CHANGED


def write_file(path: bytes, content: bytes, mode: int, uid: int, gid: int) -> None:
    """Put a whole file in place by rename, with its owner and mode from the first instant.  Errors: OSError."""
    temporary = path + b".%d" % os.getpid()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
    os.rename(temporary, path)


def _is_as_it_should_be(path: bytes, file: File, uid: int, gid: int) -> bool:
    if content_at(path) != file.content:
        return False
    status = os.lstat(path)
    return (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (file.mode, uid, gid)


class Placer:
    """Puts files into a home and takes them away again.

    force: names of programs (the last part of a path) whose changes are overwritten; None: of all.
    """

    def __init__(
        self, home: bytes, owners: Owners, say: "Callable[[str], None]", force: "Collection[str] | None" = ()
    ) -> None:
        """home: absolute; its directories exist."""
        self._home, self._owners, self._say = home, owners, say
        self._force = force
        self._record = read_record(home)
        self.written = 0
        self.kept: list[str] = []

    def place(self, files: list[File]) -> None:
        """Write what is new, keep what was changed, remove what we no longer have.  Errors: Die TEMP."""
        todo = [file for file in files if self._is_to_write(file)]
        gone = set(self._record) - {file.path for file in files}
        for file in todo:
            wrote = self._record.setdefault(file.path, Wrote())
            name = digest(file.content)
            wrote.hashes = [*(old for old in wrote.hashes if old != name), name]
            wrote.mode = file.mode
        self._write_record()
        uid, gid = self._owners.uid["root"], self._owners.gid["qmail"]
        for file in todo:
            path = self._path(file.path)
            try:
                self._make_folders(file.path)
                if not _is_as_it_should_be(path, file, uid, gid):
                    write_file(path, file.content, file.mode, uid, gid)
                    self.written += 1
            except OSError as error:
                raise Die(TEMP, b"unable to write " + path + b": " + words(error)) from None
        self._remove(gone)
        self._write_record()

    def remove_all(self) -> None:
        """Take everything of ours away; what was changed stays, and is said."""
        self._remove(set(self._record))
        os.unlink(self._home + b"/" + RECORD)  # what stays is somebody else's now, whatever we once wrote there

    def _path(self, path: str) -> bytes:
        return self._home + b"/" + os.fsencode(path)

    def _is_to_write(self, file: File) -> bool:
        path = self._path(file.path)
        wrote = self._record.get(file.path, Wrote())
        if state(path, wrote) != CHANGED or content_at(path) == file.content:
            return True
        if self._force is None or file.path.rpartition("/")[2] in self._force:
            return True
        self._keep(file.path)
        return False

    def _keep(self, path: str) -> None:
        self.kept.append(path)
        self._say(
            f"kept {os.fsdecode(self._path(path))}: it is not as setup wrote it (--force {path.rpartition('/')[2]})"
        )

    def _make_folders(self, path: str) -> None:
        """The directories below the table's ones: boot/runit/..., doc/PIC, control/samples."""
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = self._path("/".join(parts[:depth]))
            if not os.path.isdir(folder):
                os.mkdir(folder, 0o755)
                os.chown(folder, self._owners.uid["root"], self._owners.gid["qmail"])
                os.chmod(folder, 0o755)  # noqa: S103 - everybody may read boot/, doc/ and man/

    def _remove(self, paths: "Iterable[str]") -> None:
        for path in sorted(paths):
            whole = self._path(path)
            try:
                found = state(whole, self._record[path])
                if found == CHANGED:
                    self._say(f"kept {os.fsdecode(whole)}: it is not as setup wrote it")
                    continue
                if found != MISSING:
                    os.unlink(whole)
                self._remove_empty(path)
            except OSError as error:
                raise Die(TEMP, b"unable to remove " + whole + b": " + words(error)) from None
            del self._record[path]

    def _remove_empty(self, path: str) -> None:
        """Directories that only our files were in; those of the table are removed by uninstall."""
        folder = path.rpartition("/")[0]
        while folder.count("/") >= 1 and not folder.startswith("man/"):
            try:
                os.rmdir(self._path(folder))
            except OSError:  # not empty: somebody else's file is in it
                return
            folder = folder.rpartition("/")[0]

    def _write_record(self) -> None:
        lines = [
            f"{name} {wrote.mode:04o} {path}\n" for path, wrote in sorted(self._record.items()) for name in wrote.hashes
        ]
        content = "".join(lines).encode("utf-8", "surrogateescape")
        path = self._home + b"/" + RECORD
        try:
            write_file(path, content, 0o644, self._owners.uid["root"], self._owners.gid["qmail"])
        except OSError as error:
            raise Die(TEMP, b"unable to write " + path + b": " + words(error)) from None
