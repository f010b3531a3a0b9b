"""What a session of tests left behind: processes that still hold something of its directories, files in $TMPDIR."""

import contextlib
import os


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
