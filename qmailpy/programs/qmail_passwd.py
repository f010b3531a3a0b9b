"""qmail-passwd: changes users/passwords: who may log in to send mail, or to fetch it.

    qmail-passwd [-s | -c] login [home uid gid]    the password is typed, or is the first line of descriptor 0
    qmail-passwd -a login                          the password of the account of this name counts; login *: of all
    qmail-passwd -d login                          removes it
    qmail-passwd -l                                lists the logins

-s: kept by scrypt, the dearest to guess; then SCRAM-SHA-256 cannot be used. -c: kept in clear, for CRAM-MD5 and APOP.
Runs as: root, or the owner of an embedded home.  Descriptors: 0 the password; 1 the list; 2 questions and errors.
Exit codes: 0; 100 wrong arguments, or such a login or password cannot be; 111 users/passwords is as it was.
Trusts: whoever runs it. A password is never an argument, and never shown.
"""

import posix

from qmailpy.disk import passwords as file
from qmailpy.disk.home import Home
from qmailpy.rules import passwords
from qmailpy.skeletons.ownership import become_owner
from qmailpy.system import descriptors, terminals
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, words
from qmailpy.wire.sasl_server import LONGEST_LOGIN, LONGEST_PASSWORD

_USAGE = (
    b"usage: qmail-passwd [-s | -c] login [home uid gid], qmail-passwd -a login, qmail-passwd -d login, qmail-passwd -l"
)
_KINDS = (
    (b"{SCRAM-SHA-256}", b"SCRAM-SHA-256"),
    (b"$scrypt$", b"scrypt"),
    (b"$pbkdf2-sha256$", b"pbkdf2-sha256"),
    (b"{PLAIN", b"in clear"),
    (passwords.ACCOUNTS, b"the account's"),
    (b"$", b"crypt(3)"),
)


def _check_login(login: bytes) -> None:
    if not 0 < len(login) <= LONGEST_LOGIN or login.startswith((b"#", b"-")):
        raise Die(PERM, b"a login has 1 to %d bytes and does not begin with # or -" % LONGEST_LOGIN)
    if any(byte <= 32 or byte == 127 for byte in login) or b":" in login:
        raise Die(PERM, b"a login has no blank, no colon and no control character")


def _read_password() -> bytes:
    """Typed twice, or from a pipe.  Errors: Die."""
    try:
        if terminals.is_one(0):
            password = terminals.ask_secretly(b"Password: ", LONGEST_PASSWORD)
            if terminals.ask_secretly(b"Again: ", LONGEST_PASSWORD) != password:
                raise Die(PERM, b"these were two different passwords: nothing was changed")
        else:
            password = descriptors.read_all(0, LONGEST_PASSWORD + 2).partition(b"\n")[0]
    except EOFError:
        password = b""
    except OSError as error:
        raise Die(TEMP, b"unable to read the password: " + words(error)) from None
    if not 0 < len(password) <= LONGEST_PASSWORD or b"\0" in password or b"\r" in password:
        raise Die(PERM, b"a password has 1 to %d bytes, and neither NUL nor CR" % LONGEST_PASSWORD)
    return password


def _keep(option: bytes, password: bytes) -> bytes:
    """What stands for the password."""
    if option == b"-c":
        return passwords.keep_plain(password)
    salt = posix.urandom(passwords.SALT)
    return passwords.keep_scrypt(password, salt) if option == b"-s" else passwords.keep_scram(password, salt)


def _owner(arguments: list[bytes]) -> tuple[bytes, tuple[int, int]]:
    """Home, uid and gid from the command line.  Errors: Die PERM."""
    folder, *numbers = arguments
    uid, gid = (passwords.number(word, passwords.LARGEST_ID) for word in numbers)
    if not folder.startswith(b"/") or b":" in folder or b"\n" in folder or not uid or gid is None:
        raise Die(PERM, b"home is a path from /, uid and gid are numbers, and uid is not root's")
    return folder, (uid, gid)


def _list(home: Home) -> None:
    lines = []
    for at, entry in passwords.entries(file.read(home) or b""):
        if isinstance(entry, passwords.BadEntry):
            lines.append(b"line %d: %s" % (at, entry.text))
            continue
        kind = next((name for start, name in _KINDS if entry.kept.startswith(start)), b"unknown kind")
        owner = b"" if entry.owner is None else b", %s of %d:%d" % (entry.home, *entry.owner)
        lines.append(b"%s: %s%s" % (entry.login, kind, owner))
    descriptors.write_all(1, b"".join(line + b"\n" for line in lines))


def _change(home: Home, login: bytes, entry: passwords.Entry | None) -> None:
    """Put it in the place of the login's old one, or remove that.  Errors: Die."""
    offers: list[tuple[bytes, ...]] = []

    def to(old: bytes | None) -> bytes:
        new = passwords.changed(old, login, entry, posix.urandom(32))
        if new is None:
            raise Die(PERM, b"users/passwords has no such login")
        offers.extend(passwords.mechanisms(text) for text in (old or b"", new))
        return new

    file.change(home, to)
    if offers[0] != offers[1]:
        now = b" ".join(offers[1])
        descriptors.say(b"qmail-passwd: what clients can be offered is now: %s; servers see it within 10 s" % now)


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    option = argv[1] if argv[1:2] and argv[1] in (b"-s", b"-c", b"-a", b"-d", b"-l") else b""
    arguments = argv[2:] if option else argv[1:]
    most = {b"-l": (0,), b"-a": (1,), b"-d": (1,)}.get(option, (1, 4))
    if len(arguments) not in most:
        raise Die(PERM, _USAGE)
    try:
        become_owner(home)
    except OSError as error:
        raise Die(TEMP, b"unable to become the owner of " + home.path + b": " + words(error)) from None
    if option == b"-l":
        _list(home)
        return EXIT[OK]
    login = arguments[0]
    _check_login(login)
    if option == b"-d":
        _change(home, login, None)
        return EXIT[OK]
    if login == passwords.EVERYBODY and option != b"-a":
        raise Die(PERM, b"the login * stands for everybody, and goes with -a only")
    folder, owner = _owner(arguments[1:]) if len(arguments) > 1 else (b"", None)
    kept = passwords.ACCOUNTS if option == b"-a" else _keep(option, _read_password())
    _change(home, login, passwords.Entry(login, kept, folder, owner))
    return EXIT[OK]
