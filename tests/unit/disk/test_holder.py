"""qmailpy/disk/queue/holder.py: which process is qmail-send, by the kernel's list of locks."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from qmailpy.disk.home import Home
from qmailpy.disk.queue.holder import holder
from qmailpy.disk.queue.paths import Paths
from tests.support import bare_home

LOCKING = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_WRONLY)
fcntl.flock(descriptor, fcntl.LOCK_EX)
with open("/proc/self/comm", "w") as file:
    file.write(sys.argv[2])
print("locked", flush=True)
sys.stdin.read()
"""


def holder_while(home: str, name: str, lock: str = "sendmutex") -> tuple[int, int]:
    """The pid of a process of this name that has locked this file, and what holder() says meanwhile."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCKING, f"{home}/queue/lock/{lock}", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"locked\n"
        found = holder(Paths(Home(os.fsencode(home))))
        process.stdin.close()
    return process.pid, found


def test_the_process_that_holds_the_lock_is_found(tmp_path: Path) -> None:
    home = bare_home(str(tmp_path / "home"))
    pid, found = holder_while(home, "qmail-send")
    assert found == pid
    assert holder(Paths(Home(os.fsencode(home)))) == 0  # it has ended


def test_who_has_another_name_or_another_lock_is_not_it(tmp_path: Path) -> None:
    home = bare_home(str(tmp_path / "home"))
    assert holder_while(home, "something")[1] == 0
    assert holder_while(home, "qmail-send", "tcpto")[1] == 0


def test_who_waits_for_the_lock_is_not_it(tmp_path: Path) -> None:
    home = bare_home(str(tmp_path / "home"))
    path = f"{home}/queue/lock/sendmutex"
    descriptor = os.open(path, os.O_WRONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with subprocess.Popen([sys.executable, "-c", LOCKING, path, "qmail-send"], stdout=subprocess.PIPE) as waiting:
        assert holder(Paths(Home(os.fsencode(home)))) == 0  # we are not called qmail-send
        waiting.kill()
    os.close(descriptor)


def test_without_a_queue_there_is_nobody(tmp_path: Path) -> None:
    assert holder(Paths(Home(os.fsencode(tmp_path)))) == 0
