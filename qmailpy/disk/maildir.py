"""Maildirs: making one, and putting a message into one so that it is there whole, or not at all.

Written to tmp/, fsynced, linked into new/, and new/ fsynced: only then it is delivered (spec/12-crash-safety.md 2.1:
without the last step a power cut loses the name). Whatever goes wrong before that, what was made is removed again.
A name in new/ is never overwritten (where the file system has links). Messages are private: mode 0600.
Used by local/ and maildirmake; source: spec/05-local.md 5, spec/01-programs.md 3.
"""

import errno
import posix

from qmailpy.disk import durable
from qmailpy.system import clock, descriptors, identity, signals
from qmailpy.verdict import TEMP, Die, is_temporary, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Namer = Callable[[int], bytes]

DEATH = 86400  # seconds a delivery may take; readers remove files in tmp/ after 36 h
_TRIES = 100  # names: each holds the microsecond, so that even two are never needed in peace
_HOST_LIMIT = 64  # bytes
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # file systems that only rename

_TIMEOUT = b"Timeout on maildir delivery. (#4.3.0)"
_NOT_THERE = b"Unable to chdir to maildir. (#4.2.1)"
_TROUBLE = b"Temporary error on maildir delivery. (#4.3.0)"


def name_of(when_ns: int, pid: int, count: int, host: bytes) -> bytes:
    """A file name that is nobody else's: SECONDS.MmicrosecondsPpidQcount.HOST.

    when_ns: nanoseconds since the epoch; count: of names that this process made before.
    """
    seconds, rest = divmod(when_ns, 1_000_000_000)
    safe_host = host[:_HOST_LIMIT].replace(b"/", b"\\057").replace(b":", b"\\072")
    return b"%d.M%06dP%dQ%d.%s" % (seconds, rest // 1000, pid, count, safe_host or b"localhost")


def fresh_name(count: int) -> bytes:
    """A name for now, here, and us."""
    return name_of(clock.now_ns(), identity.my_pid(), count, identity.host())


def deliver(folder: bytes, pieces: "Iterable[bytes]", count: int = 0, namer: "Namer" = fresh_name) -> None:
    """Put one message into this Maildir; it is on disk when this returns.

    folder: as the user wrote it, with its slash at the end; count: of deliveries that this run of the program made
    before.  Errors: Die TEMP, and whatever pieces raises; nothing is left behind then.
    """
    made: list[bytes] = []
    signals.alarm(DEATH, _give_up)
    try:
        new = _open_new(folder)
        try:
            _write(folder, pieces, count, namer, made)
            durable.sync_open_directory(new)
        finally:
            posix.close(new)
        _remove(made[:1])  # the draft; after the fsync, which so has one name less to write
    except BaseException as error:
        _remove(made)
        if isinstance(error, OSError):
            raise Die(TEMP, _TROUBLE) from error
        raise
    finally:
        signals.alarm(0, None)


def _give_up(_signal: int) -> None:
    raise Die(TEMP, _TIMEOUT)


def _open_new(folder: bytes) -> int:
    """new/, before anything is written: if it cannot be fsynced there is no point in going on."""
    try:
        return posix.open(folder + b"new", posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError:
        try:
            posix.stat(folder + b".")  # which of the two is it?
        except OSError as error:
            if not is_temporary(error.errno):
                raise Die(TEMP, _NOT_THERE) from None
        raise


def _write(folder: bytes, pieces: "Iterable[bytes]", count: int, namer: "Namer", made: list[bytes]) -> None:
    """Write tmp/NAME, give it its name in new/.  made: gets the paths that exist then, the draft's first."""
    for attempt in range(count, count + _TRIES):
        name = namer(attempt)
        draft = folder + b"tmp/" + name
        try:
            descriptor = posix.open(draft, posix.O_WRONLY | posix.O_EXCL | posix.O_CREAT | posix.O_CLOEXEC, 0o600)
            break
        except FileExistsError:
            continue
    else:
        raise FileExistsError(errno.EEXIST, "no free name in tmp")
    made.append(draft)
    try:
        for piece in pieces:
            descriptors.write_all(descriptor, piece)
        durable.sync_file(descriptor)
    except BaseException:
        posix.close(descriptor)
        raise
    posix.close(descriptor)
    made.append(_name_it(draft, folder, attempt, namer))


def _name_it(draft: bytes, folder: bytes, attempt: int, namer: "Namer") -> bytes:
    """Link the draft into new/.  Result: the path there."""
    path = folder + b"new" + draft[draft.rindex(b"/") :]
    for later in range(attempt + 1, attempt + _TRIES):
        try:
            posix.link(draft, path)
        except FileExistsError:
            path = folder + b"new/" + namer(later)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            posix.rename(draft, path)
            return path
        else:
            return path
    raise FileExistsError(errno.EEXIST, "no free name in new")


def _remove(paths: list[bytes]) -> None:
    for path in paths:
        try:
            posix.unlink(path)
        except OSError:
            continue  # it is litter then, and readers remove litter


def make(folder: bytes) -> None:
    """Make a Maildir: the directory and its tmp, new, cur, all 0700 less the umask.

    Errors: Die TEMP with the path and the reason.
    """
    for path in (folder, folder + b"/tmp", folder + b"/new", folder + b"/cur"):
        try:
            posix.mkdir(path, 0o700)
        except OSError as error:
            raise Die(TEMP, b"unable to mkdir " + path + b": " + words(error)) from None
    parent = folder.rstrip(b"/").rpartition(b"/")
    for path in (folder, (parent[0] or parent[1]) or b"."):
        try:
            durable.sync_directory(path)
        except PermissionError:  # a parent that we may not list: nothing can be done about it
            continue
        except OSError as error:
            raise Die(TEMP, b"unable to fsync " + path + b": " + words(error)) from None
