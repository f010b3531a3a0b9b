"""What all tests share: waiting without sleeping, homes on a real file system, small stand-ins that record.

Nothing here knows how a program works inside. tests/places.py builds on it: the whole system, started and stopped.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from qmailpy.disk import layout

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SETUP = os.path.join(CHECKOUT, "tools", "setup.py")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = 65534  # whose the embedded homes are when root runs the tests
DOMAIN = "mx.example.org"
PATIENCE = 30.0  # seconds that anything may take on a busy machine; only a failing test waits so long

LIBC_SIGNALS = 3 << 31  # mask of 32 and 33, the C library's own: if our caller ignores them, nobody can change it

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str | Callable[[], str], seconds: float = PATIENCE) -> T:
    """The first true value of condition(), looked at every few milliseconds; fails the test when it never comes.

    what: a noun, for the message, or what makes it then.
    This and Log.wait are the only places in the tests that let time pass.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what if isinstance(what, str) else what()}")
        time.sleep(0.01)
    return value


def wait_for_files(folder: str, count: int = 1) -> list[str]:
    """Paths of the files in this directory, oldest first, as soon as there are so many."""

    def files() -> list[str]:
        try:
            paths = [os.path.join(folder, name) for name in os.listdir(folder) if not name.startswith(".")]
            paths.sort(key=lambda path: os.stat(path).st_mtime_ns)
        except FileNotFoundError:
            return []
        return paths if len(paths) >= count else []

    return wait_for(files, f"{count} files in {folder}")


def wait_for_exit(process: subprocess.Popen[bytes], seconds: float = PATIENCE) -> int:
    """The exit status of a child; a child that does not end is killed and fails the test."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"{process.args!r} has not ended in {seconds:g} s") from None


def is_running(pid: int) -> bool:
    """Whether this process exists and is not a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def has_program(name: str) -> bool:
    return shutil.which(name, path=PATH) is not None


def write(path: str, content: str | bytes, mode: int = 0o644) -> str:
    """A file with this content and mode, in a directory that is made if need be.  Result: its path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    os.chmod(path, mode)
    return path


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def make_home(home: str, uid: int, *, me: str = DOMAIN) -> str:
    """A complete embedded home of this user, with control files for this name, as tools/setup.py makes it.

    Result: its path.  A test of one program needs no more than bare_home().
    """
    run_setup("--embedded", home, "--name", me, *(["--uid", str(uid)] if os.geteuid() == 0 else []))
    return home


def run_setup(*arguments: str) -> str:
    """tools/setup.py, as `make setup` runs it.  Result: what it printed; its failure is the test's."""
    done = subprocess.run(
        [sys.executable, "-P", "-B", SETUP, *arguments],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    words = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, f"setup.py {' '.join(arguments)} exited {done.returncode}:\n{words}"
    return words


def bare_home(home: str, *, me: str = DOMAIN) -> str:
    """Directories, queue and control files of an embedded home, straight from the layout; programs run from bin/."""
    for entry in (*layout.HOME, *layout.QUEUE):
        path = os.path.join(home, entry.path)
        if entry.kind == "dir":
            os.makedirs(path, exist_ok=True)
        elif entry.kind == "fifo":
            os.mkfifo(path)
        else:
            write(path, bytes(entry.size))
        os.chmod(path, entry.mode)
    for name in ("me", "locals"):
        write(f"{home}/control/{name}", me + "\n")
    write(f"{home}/control/embedded", "")
    for name in os.listdir(f"{CHECKOUT}/bin"):
        shutil.copy(f"{CHECKOUT}/bin/{name}", f"{home}/bin/{name}")
    os.symlink(os.path.realpath(f"{CHECKOUT}/lib/current"), f"{home}/lib/current")
    return home


def give(path: str, uid: int, gid: int) -> None:
    """Everything below path, and path, belongs to this user from now on."""
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), uid, gid, follow_symlinks=False)
    os.chown(path, uid, gid)


class RecordingQueue:
    """A $QMAILQUEUE that keeps what it is given, message and envelope, and answers with a chosen exit code.

    It reads both descriptors as qmail-queue does (message on 0, envelope on 1) and numbers what it gets.
    """

    def __init__(self, folder: str, code: int = 0, text: str = "") -> None:
        """folder: writable by whoever will run it; text: for descriptor 6, with code 82."""
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o777)
        self.folder = folder
        words = f"printf %s '{text}' >&6\n" if text else ""
        self.path = write(
            f"{folder}/queue",
            f"#!/bin/sh\numask 0\ncd '{folder}' || exit 61\n"
            f"cat > message.$$ || exit 54\ncat <&1 > envelope.$$ || exit 54\n"
            f"{words}mv message.$$ $$.message && mv envelope.$$ $$.envelope\nexit {code}\n",
            0o755,
        )
        self.environment: Mapping[str, str] = {"QMAILQUEUE": self.path}

    @property
    def messages(self) -> list[tuple[bytes, bytes]]:
        """(message, envelope) of each, oldest first."""
        names = [name for name in os.listdir(self.folder) if name.endswith(".envelope")]
        names.sort(key=lambda name: os.stat(f"{self.folder}/{name}").st_mtime_ns)
        return [
            (read(f"{self.folder}/{name.removesuffix('.envelope')}.message"), read(f"{self.folder}/{name}"))
            for name in names
        ]
