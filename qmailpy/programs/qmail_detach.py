"""qmail-detach: runs a program in the background where no supervisor exists.

Usage: qmail-detach PIDFILE program [arguments]
Runs as: root, started by an init script (or the owner of an embedded home).
Descriptors: 2 one line if the program is not running after all.
Exit codes: 0 it runs; 100 usage; 111 it runs already, cannot be started, or ended at once.
Files: PIDFILE holds its pid; PIDFILE.log what it and its children write to descriptors 1 and 2.
Trusts: whoever starts it.

It becomes the program (the pid is that of qmail-send, once qmail-start has become that), so TERM to this pid is a
clean stop. It restarts nothing: a supervisor does, and is the better way to live.
"""

import os
import select

from qmailpy.disk.home import Home
from qmailpy.system import background, descriptors, identity, process
from qmailpy.verdict import PERM, TEMP, Die, words

SETTLED = 2.0  # seconds after which a program that still runs has found all that it needs at its start
_TAIL = 400  # bytes of its last words that are shown
_FILE_MODE = 0o644


def read_pid(path: bytes) -> int | None:
    """The pid in a pid file; None where there is no such file, or nothing of the kind in it."""
    try:
        with open(path, "rb") as file:
            text = file.read(32).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Die(TEMP, b"unable to read " + path + b": " + words(error)) from None
    return int(text) if text.isdigit() and len(text) < 10 else None


def is_alive(pid: int) -> bool:
    """Whether such a process runs; one that has ended and was not yet waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(b"/proc/%d/stat" % pid, "rb") as file:
            return not file.read().rpartition(b") ")[2].startswith((b"Z", b"X"))
    except OSError:  # no /proc here, or it has just gone: the pid file is not to be trusted with less
        return True


def write_pid(path: bytes) -> None:
    """Put our pid into the pid file, by rename.  Errors: OSError."""
    temporary = path + b".%d" % identity.my_pid()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
    try:
        descriptors.write_all(descriptor, b"%d\n" % identity.my_pid())
    finally:
        os.close(descriptor)
    os.rename(temporary, path)


def start(pid_file: bytes, path: bytes, argv: list[bytes]) -> int:
    """Start the program in a session of its own.  Result: its pid.  Errors: Die TEMP with its reason.

    It tells its pid, and why it could not become the program, on a pipe that ends when it did.
    """
    read_end, write_end = os.pipe()

    def become() -> int:
        descriptors.write_all(write_end, b"%d\n" % identity.my_pid())
        try:
            write_pid(pid_file)
            process.execute(path, argv, process.environment())
        except OSError as error:
            descriptors.write_all(write_end, b"unable to run " + path + b": " + words(error))
            return process.TEMP_EXIT

    def child() -> int:
        os.close(read_end)
        try:
            return background.detached(become, pid_file + b".log", (write_end,))
        except OSError as error:
            descriptors.write_all(write_end, b"\nunable to write " + pid_file + b".log: " + words(error))
            return process.TEMP_EXIT

    first = process.fork(child)
    os.close(write_end)
    told = descriptors.read_all(read_end, 4096)
    os.close(read_end)
    process.wait(first)
    pid, _, trouble = told.partition(b"\n")
    if trouble or not pid.isdigit():
        raise Die(TEMP, trouble or b"unable to detach from the terminal")
    return int(pid)


def ends_within(pid: int, seconds: float) -> bool:
    """Whether a process that is not our child ends in this time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def size_of(path: bytes) -> int:
    """A file's size; 0 where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def last_words(path: bytes, start: int) -> bytes:
    """The last line of a file, of what was added after the byte at start."""
    try:
        with open(path, "rb") as file:
            file.seek(max(start, os.fstat(file.fileno()).st_size - _TAIL))
            return file.read().strip().rpartition(b"\n")[2]
    except OSError:
        return b""


def main(argv: list[bytes], _home: Home) -> int:
    """Refuse a second one, start it, and look whether it stays."""
    if len(argv) < 3:
        raise Die(PERM, b"usage: qmail-detach pidfile program [arguments]")
    pid_file, name = argv[1], argv[2]
    if not pid_file.startswith(b"/"):
        pid_file = os.path.join(os.getcwdb(), pid_file)
    running = read_pid(pid_file)
    if running is not None and is_alive(running):
        raise Die(TEMP, b"it is running already: pid %d, says " % running + pid_file)
    path = process.find(name, process.environment().get(b"PATH", b""))
    if b"/" not in path or not os.access(path, os.X_OK):
        raise Die(TEMP, b"unable to find " + name)
    already_said = size_of(pid_file + b".log")
    pid = start(pid_file, os.path.abspath(path), argv[2:])
    if ends_within(pid, SETTLED):
        raise Die(TEMP, name + b" ended at once: " + last_words(pid_file + b".log", already_said))
    return 0
