"""The default delivery of the system that is running: qmail-start was given it, and qmail-lspawn shows it as its title.

As of every program its arguments can be seen by everybody (ps), unless the machine hides the processes of others. Only
a process of root's, or of an embedded home's owner, is believed; where several are found that do not agree, nothing is.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.disk.queue.holder import holder, is_free
from qmailpy.disk.queue.paths import Paths
from qmailpy.verdict import Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = b"qmail-lspawn"
_WORDS = frozenset((b"wide", b"resumed"))  # that are none of the administrator's


def running(home: Home) -> bytes | None:
    """It; None where nothing runs, or nothing can be known."""
    try:
        owner = posix.stat(home.queue).st_uid if _exists(home.control(b"embedded")) else 0
        pids = [name for name in posix.listdir(b"/proc") if name.isdigit()]
    except OSError:
        return None
    paths = Paths(home)
    if is_free(paths):
        return None  # those that run are of other homes
    parent = holder(paths)
    found = set(_of(pids, owner, parent))
    return found.pop() if len(found) == 1 else None


def _exists(path: bytes) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _of(pids: list[bytes], owner: int, parent: int) -> "Iterator[bytes]":
    """parent: qmail-send of this home; 0 where we may not know which it is."""
    for pid in pids:
        folder = b"/proc/" + pid
        try:
            if control.read(folder + b"/comm") != _NAME + b"\n" or posix.stat(folder).st_uid not in (owner, 0):
                continue
            words = (control.read(folder + b"/cmdline") or b"").rstrip(b"\0").split(b"\0")
            about = (control.read(folder + b"/stat") or b"").rpartition(b")")[2].split()
        except (OSError, Die):
            continue
        if parent and about[1:2] != [b"%d" % parent]:
            continue
        default = _default(words)
        if default:
            yield default


def _default(words: list[bytes]) -> bytes:
    """Of the title, one string; or of the arguments, if it is really executed, or another qmail's."""
    if len(words) == 1:
        return words[0].removeprefix(_NAME + b" ") if words[0].startswith(_NAME + b" ") else b""
    while words and words[0].rpartition(b"/")[2] != _NAME:  # the interpreter's
        words = words[1:]
    given = [word for word in words[1:] if word not in _WORDS]
    return given[0] if given else b""
