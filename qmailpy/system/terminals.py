"""Terminals of ours on which a program may speak up without being asked: biff's sign is the owner's x bit.

Found as devices, not by way of utmp: newer systems keep none, and whoever gave a terminal that bit has asked for it.
"""

import posix

from qmailpy.system import identity

_FOLDERS = (b"/dev/pts/", b"/dev/")
_KIND, _CHARACTER_DEVICE, _OWNER_X = 0o170000, 0o020000, 0o100  # of st_mode
_FLAGS = posix.O_WRONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_NOFOLLOW | posix.O_CLOEXEC


def say_on_all(text: bytes) -> None:
    """Write this to each; one that takes nothing just now misses it.  Errors: none."""
    for path in _paths():
        try:
            descriptor = posix.open(path, _FLAGS)
        except OSError:
            continue
        try:
            if _is_willing(posix.fstat(descriptor)) and posix.isatty(descriptor):
                posix.write(descriptor, text)
        except OSError:
            pass
        finally:
            posix.close(descriptor)


def _paths() -> list[bytes]:
    """Devices that look like it: nothing is opened in vain, opening some devices does something."""
    found = []
    for folder in _FOLDERS:
        try:
            names = posix.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.isdigit() or name.startswith(b"tty"):
                try:
                    willing = _is_willing(posix.lstat(folder + name))
                except OSError:
                    continue
                if willing:
                    found.append(folder + name)
    return found


def _is_willing(status: posix.stat_result) -> bool:
    mode = status.st_mode
    return mode & _KIND == _CHARACTER_DEVICE and bool(mode & _OWNER_X) and status.st_uid == identity.my_uid()
