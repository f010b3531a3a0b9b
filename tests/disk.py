"""A file system of the session's own for all files of root's tests, seen by nobody else.

A few hundred homes make a few hundred thousand small files: on a disk without a journal ext4 looks long for a new inode
while so many others have just been removed, and to remove them all in the end takes minutes. Here the end of the
session is the end of the file system, also where the session is killed. Its queue is on ext4 with a journal.
"""

import contextlib
import os
import shutil
import subprocess

from tests import namespaces

IMAGE = "disk"
SIZE = 6 << 30  # bytes; it takes only as much of the disk as is written
SPARE = 2 << 30  # bytes that the disk must have beside that
# all of it may be lost with the machine: so nothing waits for the disk, and nothing is written before it must
OPTIONS = "loop,nobarrier,noinit_itable,noatime,commit=300"
FORMAT = ("-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-m", "0")
INODES = 1_000_000, 768  # as many, and a step that makes a group of them longer


def cover(folder: str) -> bool:
    """Mount one over this directory, which is empty, for this process and its children.  Result: whether there is one.

    There is none for an ordinary user, where the kernel gives us no loop device, and where the disk is nearly full.
    """
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None or shutil.disk_usage(folder).free < SIZE + SPARE:
        return False
    # who looks for a lock in /proc/locks knows its file's inode: it should be another one than in another session's
    count = INODES[0] + os.getpid() % 1000 * INODES[1]
    below = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        namespaces.leave_mounts()
        with open(f"{folder}/{IMAGE}", "wb") as file:
            file.truncate(SIZE)
        for words in (
            ["mkfs.ext4", "-q", "-F", *FORMAT, "-N", str(count), f"{folder}/{IMAGE}"],
            ["mount", "-o", OPTIONS, f"{folder}/{IMAGE}", folder],
        ):
            if subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode != 0:
                return False
        os.rmdir(f"{folder}/lost+found")
        os.chmod(folder, 0o711)
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(IMAGE, dir_fd=below)  # it goes with the last one who uses it
        os.close(below)
    return True


def uncover(folder: str) -> None:
    """Away with it."""
    subprocess.run(["umount", "-l", folder], stdin=subprocess.DEVNULL, capture_output=True, check=False)
