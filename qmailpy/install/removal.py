"""Uninstall: programs, library, pages, boot and doc go; queue, control, alias, users and accounts stay.

It refuses while the home's programs run, and holds their locks meanwhile, so that no supervisor starts them half-way.
What leads into the home from outside is named, not touched: it is the administrator's.
"""

import os

from qmailpy.disk.home import Home
from qmailpy.disk.layout import HOME
from qmailpy.disk.queue.claiming import take_mutex
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.install import around, owners
from qmailpy.install.gather import require_path
from qmailpy.install.library import Library
from qmailpy.install.placed import Placer
from qmailpy.system import door
from qmailpy.verdict import TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    Say = Callable[[str], None]

_OURS = ("bin", "boot", "doc", "lib", "man")  # directories of a home that only programs are in
_WHAT_TO_DO = (
    b"stop it first (svc -d, sv down, s6-svc -d, systemctl stop, service stop), or mail that it has taken in waits for "
    b"programs that are gone; make uninstall FORCE=all does not ask"
)


def uninstall(home: bytes, say: "Say", force: "Collection[str] | None" = ()) -> None:
    """Take the programs of a home away.  force: None: although they are running.  Errors: Die TEMP."""
    home = require_path(home)
    if not os.path.isdir(home + b"/lib"):
        raise Die(TEMP, home + b" is not a home that setup made: it has no lib/")
    status = os.stat(home)
    who = owners.embedded(status.st_uid, status.st_gid)
    locks, running = _hold(Home(home))
    library = Library(home, who, say)
    try:
        if running and force is not None:
            raise Die(TEMP, b"%s: still running in %s; %s" % (b" and ".join(running), home, _WHAT_TO_DO))
        library.lock()
        Placer(home, who, say).remove_all()
        library.remove()
        _remove_empty_folders(home)
    except OSError as error:
        raise Die(TEMP, b"unable to remove " + home + b"/lib: " + words(error)) from None
    finally:
        library.unlock()
        for descriptor in locks:
            os.close(descriptor)
    for line in around.leading_into(home):
        say(f"uninstall: {line}")
    if running:
        say(f"uninstall: {os.fsdecode(b' and '.join(running))}: still running, without programs to run: stop it")
    say(f"uninstall: programs are gone from {os.fsdecode(home)}; queue, control, alias, users, accounts are untouched")


def _hold(home: Home) -> tuple[list[int], list[bytes]]:
    """The locks of qmail-send and the door.  Result: those that we hold now, and whose are held by a program."""
    held, running = [], []
    for name, take in ((b"qmail-send", _send_lock), (b"qmail-queued", _door_lock)):
        try:
            descriptor = take(home)
        except (OSError, Trouble):  # no such file: nobody can have it
            continue
        if descriptor is None:
            running.append(name)
        else:
            held.append(descriptor)
    return held, running


def _send_lock(home: Home) -> int | None:
    return take_mutex(Paths(home))


def _door_lock(home: Home) -> int | None:
    path = home.at(b"door", b"lock")
    os.stat(path)  # door.lock would make one
    return door.lock(path)


def _remove_empty_folders(home: bytes) -> None:
    """Of the directories in the tables, those that only programs were in."""
    for entry in reversed(HOME):
        if entry.path.partition("/")[0] in _OURS:
            try:
                os.rmdir(home + b"/" + entry.path.encode())
            except OSError:  # something of the administrator's is in it
                continue
