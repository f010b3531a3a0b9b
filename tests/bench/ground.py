"""What a bench stands on: a disk whose figures mean something, a log daemon, and whose CPU time is whose.

ext4 without a journal (some virtual machines have that) passes over every inode that was freed in the last five
seconds, one by one: making a file then costs milliseconds of kernel time, and figures tell about the disk and not about
us. Root therefore gets a disk with a journal, in a file, and a /dev of his own where /dev/log is free; all of it in
namespaces that end with the bench.
"""

import os
import shutil
import socket
import subprocess
import sys

from tests import namespaces
from tests.places import members

TICK = os.sysconf("SC_CLK_TCK")
IMAGE_SIZE = 4 << 30  # bytes, of which only those that are written take room
ROLES = ("door", "send", "clean", "lspawn", "children", "rspawn", "logger")
_NAMES = {
    "qmail-queued": "door",
    "qmail-send": "send",
    "qmail-clean": "clean",
    "qmail-lspawn": "lspawn",
    "qmail-rspawn": "rspawn",
    "splogger": "logger",
    "qmail-local": "children",
    "qmail-getpw": "children",
}


def has_journal(folder: str) -> bool:
    """Whether the file system of this directory is anything but ext4 without a journal."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            words = line.split()
            kind, source = words[words.index("-") + 1 :][:2]
            if words[2] == wanted and kind == "ext4":
                name = os.path.basename(os.path.realpath(source))
                return any(entry.rpartition("-")[0] == name for entry in _listed("/proc/fs/jbd2"))
    return True


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def can_be_private() -> bool:
    """Whether the bench may have namespaces of its own."""
    return not namespaces.refusal()


def go_private(words: list[str]) -> int:
    """Run these words as the first process of new namespaces.  Result: its exit code."""
    kinds = ("--mount", "--pid")
    return subprocess.run(
        ["unshare", *kinds, "--fork", "--mount-proc", "--kill-child=KILL", sys.executable, "-P", "-B", *words],
        check=False,
    ).returncode


def prepare(scratch: str) -> str:
    """In namespaces of our own: a /dev without a log, and a disk.  Result: the directory to work in."""
    ground = f"{scratch}/ground"
    os.mkdir(ground)
    disk = make_disk(scratch)
    namespaces.make_dev(ground)
    return disk


def make_disk(scratch: str) -> str:
    """In a mount namespace of our own: a file system with a journal.  Result: where it is."""
    disk = f"{scratch}/disk"
    os.mkdir(disk)
    if not has_journal(scratch) and shutil.which("mkfs.ext4") is not None:
        with open(f"{scratch}/image", "wb") as file:
            file.truncate(IMAGE_SIZE)
        # all of its tables now: later the kernel would write them while we measure
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", lazy, f"{scratch}/image"], check=True)
        subprocess.run(["mount", "-o", "loop", f"{scratch}/image", disk], check=True)
        os.chmod(disk, 0o755)
    return disk


def listen_as_syslogd(path: str) -> int:
    """A log daemon that writes the lines of splogger into a file, without what stands before them.  Result: its pid."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind("/dev/log")
    os.chmod("/dev/log", 0o666)
    pid = os.fork()
    if pid:
        listener.close()
        return pid
    try:
        with open(path, "ab", buffering=0) as file:
            while True:  # "<22>Nov 21 10:00:00 qmail: 1795228000.123456 new msg 457"
                file.write(listener.recv(4096).split(b" ", 5)[-1] + b"\n")
    finally:
        os._exit(0)


def times(session: int) -> dict[str, tuple[float, float]]:
    """CPU seconds, user and system, of each role of ROLES, dead children included.  session: of the daemons."""
    found = dict.fromkeys(ROLES, (0.0, 0.0))
    for pid in members(session):
        with open(f"/proc/{pid}/stat", "rb") as file:
            head, _, tail = file.read().rpartition(b")")
        name, words = head.partition(b"(")[2].decode(), tail.split()
        user, system, dead_user, dead_system = (int(word) / TICK for word in words[11:15])
        role = _NAMES.get(name, "send")
        _add(found, role, user, system)
        _add(found, "children" if role == "lspawn" else role, dead_user, dead_system)
    return found


def _add(table: dict[str, tuple[float, float]], role: str, user: float, system: float) -> None:
    before = table[role]
    table[role] = before[0] + user, before[1] + system


def machine_time() -> float:
    """CPU seconds of everybody since boot, without idling and waiting."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, interrupts, soft, *_ = [int(word) for word in file.readline().split()[1:]]
    return (user + nice + system + interrupts + soft) / TICK
