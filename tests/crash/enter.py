"""Enters messages in a process of its own under strace: enter.py LIBRARY HOME COUNT [STRACE'S OPTIONS].

Everything is imported and looked up before, and strace sees and counts nothing but the entering itself.
COUNT 1: one message that comes in three pieces; more: a batch of so many, numbered from 1 in Subject and recipient.
Says on descriptor 1, for each, "accepted" or "refused CODE", in a batch with its number before that.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qmailpy.skeletons.entry import Entry

PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)  # strace is no ancestor of what it looks at


def enter(home_path: str, count: int) -> None:
    """In a child that has stopped until strace looks at it."""
    from qmailpy.disk.home import Home
    from qmailpy.disk.queue.entering import Names
    from qmailpy.skeletons.entry import Entry

    home = Home(os.fsencode(home_path))
    assert home.roles.uid["qmailq"] == os.geteuid()
    os.umask(0o033)
    names = Names(os.getpid(), 1)
    entries = [Entry(home, names, 1000, 77 + number) for number in range(count)]
    entries[0]._received()
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    if count == 1:
        enter_alone(entries[0])
    else:
        enter_together(entries)


def enter_alone(entry: "Entry") -> None:
    from qmailpy.verdict import Die

    try:
        entry.store(b"Subject: crash\n\n")
        entry.store(b"body\n")
        entry.accept(b"end\n", b"Fme@here.example\0Tyou@there.example\0")
    except Die as death:
        os.write(1, b"refused %d\n" % death.code)
    else:
        os.write(1, b"accepted\n")


def enter_together(entries: "list[Entry]") -> None:
    from qmailpy.skeletons.entry import accept_together, reason

    batch = [
        (entry, b"Subject: %d\n\nbody\n" % number, b"Fme@here.example\0T%d@there.example\0" % number)
        for number, entry in enumerate(entries, 1)
    ]
    for number, error in enumerate(accept_together(batch), 1):
        said = b"accepted" if error is None else b"refused %d" % reason(error)[0]
        os.write(1, b"%d %s\n" % (number, said))


def main(library: str, home: str, count: str, *options: str) -> None:
    sys.path.insert(0, library)
    child = os.fork()
    if child == 0:
        try:
            enter(home, int(count))
        finally:
            os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    strace = subprocess.Popen(["strace", "-qq", *options, "-p", str(child)]) if options else None
    while strace is not None and strace.poll() is None:
        with open(f"/proc/{child}/status", encoding="ascii") as status:
            if "TracerPid:\t0\n" not in status.read():
                break
        time.sleep(0.001)
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    if strace is not None:
        strace.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
