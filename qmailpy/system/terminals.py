"""Terminals: those on which a program may speak up without being asked, and the one that a daemon leaves.

biff's sign is the owner's x bit. They are found as devices, not by way of utmp: newer systems keep none, and whoever
gave a terminal that bit has asked for it.
"""

import posix

from qmailpy.system import descriptors, identity, process

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


def is_one(descriptor: int) -> bool:
    """Whether a person is at the other end."""
    return posix.isatty(descriptor)


def ask_secretly(prompt: bytes, limit: int) -> bytes:
    """What a person types on descriptor 0 into one line, unseen.  limit: bytes.  Errors: OSError; EOFError."""
    import termios

    before = termios.tcgetattr(0)
    silent = list(before)
    silent[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(0, termios.TCSAFLUSH, silent)  # what was typed before is thrown away: it was seen
        descriptors.write_all(2, prompt)
        line = posix.read(0, limit + 1)  # a terminal gives whole lines
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
        descriptors.write_all(2, b"\n")
    if not line:
        raise EOFError
    return line.removesuffix(b"\n")


def leave() -> None:
    """Ctrl-C ends who is in the foreground, and that one tells us; no program of ours can type on its terminal.

    The session stays the same.
    """
    process.set_apart(0)
    try:
        terminal = posix.open(b"/dev/tty", posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC)
    except OSError:  # there is none, as under every supervisor
        return
    import fcntl
    import termios

    try:
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
    except OSError:
        return
    finally:
        posix.close(terminal)
