"""What a session of tests left behind: processes that still hold something of its directories, files in $TMPDIR.

And what sessions left that were killed. Beside each session's directory lies a file NAME.lock that its process keeps
locked: who can lock it knows that the process is gone, whatever its pid means by now, in this container or another.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile

PREFIX, LOCK = "qmailpy-", ".lock"


def claim(top: str) -> tuple[str, int]:
    """A new directory for this session, below top.  Result: its path, and the lock: a descriptor to keep open."""
    while True:
        lock, path = tempfile.mkstemp(prefix=PREFIX, suffix=LOCK, dir=top)
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = path.removesuffix(LOCK)
        # another session may have seen the file before it was locked, and taken it for a dead one's
        if os.path.exists(path) and os.path.samestat(os.fstat(lock), os.stat(path)) and not os.path.lexists(folder):
            os.mkdir(folder, 0o700)
            return folder, lock
        os.close(lock)


def release(folder: str, lock: int) -> None:
    """The session is over."""
    shutil.rmtree(folder, ignore_errors=True)
    os.unlink(folder + LOCK)
    os.close(lock)


def sweep(top: str) -> list[str]:
    """Remove the directories of sessions whose process is gone; never another user's.  Result: their paths."""
    swept = []
    for name in sorted(os.listdir(top)):
        if not name.startswith(PREFIX) or not name.endswith(LOCK):
            continue
        path = os.path.join(top, name)
        try:
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # it has just been removed, or is not ours to open
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.geteuid():
                shutil.rmtree(path.removesuffix(LOCK), ignore_errors=True)
                os.unlink(path)
                swept.append(path.removesuffix(LOCK))
        except OSError:  # it is held, or somebody else sweeps
            continue
        finally:
            os.close(lock)
    return swept


def processes(marks: list[str]) -> list[str]:
    """Living processes, not ours or our parents', whose cwd, program, words or open files lie below these paths."""
    spared = set(ancestors())
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in spared:
            held = next((thing for thing in things_of(name) if any(mark in thing for mark in marks)), None)
            if held is not None:
                found.append(f"process {name} ({command(name)}) has {held}")
    return found


def ancestors() -> list[int]:
    """Our own pid and those of our parents."""
    found = [os.getpid()]
    while found[-1] > 1:
        try:
            with open(f"/proc/{found[-1]}/stat", "rb") as file:
                found.append(int(file.read().rpartition(b")")[2].split()[1]))
        except (OSError, ValueError):
            break
    return found


def things_of(pid: str) -> list[str]:
    """What /proc tells us about a process; another user's process tells less, one that is gone nothing."""
    things = []
    for link in ("cwd", "exe", "root"):
        with contextlib.suppress(OSError):
            things.append(os.readlink(f"/proc/{pid}/{link}"))
    for text in ("cmdline", "environ"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{text}", "rb") as file:
            things.append(file.read().replace(b"\0", b" ").decode(errors="replace"))
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                things.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return things


def command(pid: str) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode(errors="replace")[:100].strip()
    return "gone"
