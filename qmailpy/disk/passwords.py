"""users/passwords on the disk: read by root alone (the owner, in an embedded home), and changed in one stroke.

What a line means: rules/passwords. Used by qmail-checkpassword, qmail-passwd, receive/auth.
"""

import fcntl
import posix

from qmailpy.disk import durable, secret
from qmailpy.disk.home import Home
from qmailpy.system import descriptors, identity
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = b"users/passwords"
_DRAFT = b"users/passwords.tmp"
_MODE = 0o600


def read(home: Home) -> bytes | None:
    """The file; None where there is none.  Errors: Die TEMP with a sentence, never with what stands in it."""
    try:
        return secret.read(home.at(NAME), identity.my_uid())
    except Die as death:
        raise Die(TEMP, b"unable to use " + NAME + b": " + death.text) from None


def stamp(home: Home) -> tuple[int, int, int] | None:
    """Another stamp, another content; None where there is no file, or it cannot be looked at."""
    try:
        status = posix.stat(home.at(NAME))
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def change(home: Home, to: "Callable[[bytes | None], bytes | None]") -> None:
    """Let to() make the new content of the old (None: there is none; as result: leave it).

    Whoever reads sees the old or the new one, whole; two who change it at once take turns.  Errors: Die TEMP.
    """
    folder, draft = home.at(b"users"), home.at(_DRAFT)
    try:
        lock = posix.open(folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except OSError as error:
        raise Die(TEMP, b"unable to open " + folder + b": " + words(error)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = to(read(home))
        if content is None:
            return
        if len(content) > secret.LIMIT:
            raise Die(TEMP, NAME + b" would be larger than %d bytes" % secret.LIMIT)
        _remove(draft)
        descriptor = posix.open(draft, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, _MODE)
        try:
            descriptors.write_all(descriptor, content)
            durable.sync_file(descriptor)
        finally:
            posix.close(descriptor)
        posix.rename(draft, home.at(NAME))
        durable.sync_open_directory(lock)
    except OSError as error:
        raise Die(TEMP, b"unable to write " + NAME + b": " + words(error)) from None
    finally:
        posix.close(lock)


def _remove(path: bytes) -> None:
    try:
        posix.unlink(path)
    except FileNotFoundError:
        return
