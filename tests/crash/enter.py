"""Enters one message in a process of its own under strace: enter.py LIBRARY HOME [STRACE'S OPTIONS].

Everything is imported and looked up before, and strace sees and counts nothing but the entering itself.
Says "accepted" or "refused CODE" on descriptor 1.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)  # strace is no ancestor of what it looks at


def enter(home_path: str) -> None:
    """In a child that has stopped until strace looks at it."""
    from qmailpy.disk.home import Home
    from qmailpy.disk.queue.entering import Names
    from qmailpy.skeletons.entry import Entry
    from qmailpy.verdict import Die

    home = Home(os.fsencode(home_path))
    assert home.roles.uid["qmailq"] == os.geteuid()
    os.umask(0o033)
    entry = Entry(home, Names(os.getpid(), 1), 1000, 77)
    entry._received()
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        entry.store(b"Subject: crash\n\n")
        entry.store(b"body\n")
        entry.accept(b"end\n", b"Fme@here.example\0Tyou@there.example\0")
    except Die as death:
        os.write(1, b"refused %d\n" % death.code)
    else:
        os.write(1, b"accepted\n")


def main(library: str, home: str, *options: str) -> None:
    sys.path.insert(0, library)
    child = os.fork()
    if child == 0:
        try:
            enter(home)
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
