"""qmail-checkpassword: says whether a password is right, with checkpassword's interface.

    qmail-checkpassword program [argument...]    becomes the user, in his home, and runs program: for POP3
    qmail-checkpassword --verify METHOD          only says so: for qmail-authd, for SMTP
    qmail-checkpassword --mechanisms             what every login can use

Runs as: root, or the owner of an embedded home.
Descriptors: 3 login, NUL, password or digest, NUL, challenge, NUL; 1 is program's; of --verify the login and more.
Exit codes: program's; 0 it is right; 1 it is not; 2 misused; 111 nobody knows now (fd 2 says why).
Files: users/passwords; without it the accounts of this machine, by PAM's rules for the service qmail.
Environment: sets USER, HOME, SHELL for program. TCPREMOTEIP for the system's log.
Trusts: nobody; descriptor 3 is a stranger's.
"""

import errno
import posix

from qmailpy.disk.home import Home
from qmailpy.receive.passwords import METHODS, Proven, Store
from qmailpy.system import descriptors, identity, process
from qmailpy.verdict import EXIT, OK, TEMP, Die, words
from qmailpy.wire import authd

_FD = 3
_LIMIT = 12288  # bytes: more than SMTP lets a client say
_REFUSED, _MISUSED = 1, 2
_SHELL = b"/bin/sh"


def _fields() -> tuple[bytes, bytes, bytes] | None:
    """Login, secret and challenge; None: descriptor 3 does not hold them.  Errors: Die TEMP."""
    try:
        content = descriptors.read_all(_FD, _LIMIT)
    except OSError as error:
        if error.errno == errno.EBADF:
            return None
        raise Die(TEMP, b"unable to read descriptor 3: " + words(error)) from None
    finally:
        descriptors.close(_FD)
    parts = content.split(b"\0")
    if len(parts) < 3 or len(content) > _LIMIT:
        return None
    return parts[0], parts[1], parts[2] if len(parts) > 3 else b""


def _whose(home: Home, proven: Proven) -> tuple[int, int, bytes]:
    """Uid, gid and home of the user; his entry tells, or his account.  Errors: Die TEMP."""
    entry = proven.entry
    if entry is not None and entry.owner is not None:
        return *entry.owner, entry.home
    if home.embedded:
        return identity.my_uid(), identity.my_gid(), process.environment().get(b"HOME", home.path)
    from qmailpy.system import accounts  # ctypes costs 10 ms

    try:
        account = accounts.find_user(proven.login)
    except OSError:
        raise Die(TEMP, b"the accounts of this machine cannot be looked up") from None
    if account is None:
        raise Die(TEMP, b"users/passwords tells no home, uid and gid of a login that is no account")
    _, uid, gid, folder = account
    return uid, gid, folder


def _go_on_as(home: Home, proven: Proven, argv: list[bytes]) -> int:
    """Become the user, and the program; returns only with a refusal.  Errors: Die TEMP."""
    uid, gid, folder = _whose(home, proven)
    if uid == 0:
        descriptors.say(b"qmail-checkpassword: refused: root reads no mail by way of the network")
        return _REFUSED
    identity.become(uid, gid)
    try:
        posix.chdir(folder)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir to " + folder + b": " + words(error)) from None
    environment = process.environment() | {b"USER": proven.login, b"HOME": folder, b"SHELL": _SHELL}
    try:
        process.execute_found(argv, environment)
    except OSError as error:
        raise Die(TEMP, b"unable to run " + argv[0] + b": " + words(error)) from None


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    if argv[1:] == [b"--mechanisms"]:
        descriptors.write_all(1, b" ".join(Store(home).mechanisms()) + b"\n")
        return EXIT[OK]
    only_verifies = argv[1:2] == [b"--verify"]
    if len(argv) < 2 or (only_verifies and (len(argv) != 3 or argv[2] not in METHODS)):
        descriptors.say(b"qmail-checkpassword: usage: qmail-checkpassword program [argument...]")
        return _MISUSED
    fields = _fields()
    if fields is None:
        descriptors.say(b"qmail-checkpassword: descriptor 3 does not say login and password")
        return _MISUSED
    store = Store(home, process.environment().get(b"TCPREMOTEIP", b""))
    if only_verifies:
        proven = store.verify(argv[2], *fields)
        if proven is not None:
            descriptors.write_all(1, authd.said(proven.login, proven.data))
            return EXIT[OK]
    else:
        proven = store.classic(*fields)
        if proven is not None:
            return _go_on_as(home, proven, argv[1:])
    return _REFUSED
