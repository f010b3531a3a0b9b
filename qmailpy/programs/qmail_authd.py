"""qmail-authd: answers whether a client has proven who it is, for sessions that may read no password.

Runs as: root, or the owner of an embedded home (which needs it only for its count of failures).
Started by: a supervisor, as a service of its own.  Arguments: none; `--inherit SOCKET LOCK` only from an older version.
Descriptors: 2 the log: a line for each login, and warnings.
Signals: TERM and INT end it, HUP reads the control files again.
Exit codes: 0 told to end; 111 it cannot start, above all because another one runs.
Control files: authprogram (a program with checkpassword's interface and its arguments; default qmail-checkpassword).
Files: auth/socket, auth/lock; writes auth/mechanisms.
Trusts: the kernel, about who asks: root and qmaild only. Not what they ask; not the program's words.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.receive.authd import daemon
from qmailpy.system import door, identity, limits, signals, title
from qmailpy.verdict import TEMP, Die, words

_MOST_FILES = 1024  # conversations, and two pipes for each check


def _inherited(words: list[bytes]) -> tuple[int, int]:
    """Socket and lock from the process that we were before.  Errors: Die TEMP."""
    if len(words) != 2 or not all(word.isdigit() and len(word) < 5 for word in words):
        raise Die(TEMP, b"nothing to inherit; say qmail-authd")
    socket, lock = map(int, words)
    return socket, lock


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    posix.umask(0o022)
    try:
        posix.chdir(home.path)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir to " + home.path + b": " + words(error)) from None
    if not home.embedded:
        if not identity.is_root():
            raise Die(TEMP, b"only root can check the passwords of others")
        daemon.refuse_unsafe(home)
    title.set_title("qmail-authd")
    signals.unblock_all()
    limits.open_files(_MOST_FILES)
    if argv[1:2] == [daemon.INHERIT]:
        socket, lock = _inherited(argv[2:])
        try:
            posix.set_inheritable(lock, False)
            listener = door.inherited(socket)
        except OSError as error:
            raise Die(TEMP, b"nothing to inherit: " + words(error)) from None
        return daemon.Daemon(home, lock, listener).run()
    return daemon.Daemon(home, daemon.lock(home), None).run()
