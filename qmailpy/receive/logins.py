"""What the files say about logging in: read before a session or for all of them, never during one.

Kept apart from receive/auth, because most sessions only offer it. A listener reads it anew on HUP.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.verdict import Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# names of mechanisms, the strongest first; APOP is POP3's, and no mechanism of SASL
SCRAM, CRAM, PLAIN, LOGIN, APOP = b"SCRAM-SHA-256", b"CRAM-MD5", b"PLAIN", b"LOGIN", b"APOP"
CONCEALING = (SCRAM, CRAM, APOP)  # who listens in learns nothing that lets him log in
MECHANISMS = (SCRAM, CRAM, PLAIN, LOGIN)
_ANY_PROGRAM = (PLAIN, LOGIN)  # what every program with checkpassword's interface can verify


class Logins:
    """offered: what can be verified, by name; plain: whether passwords are taken in clear; command: a program with
    checkpassword's interface and its arguments, to be run in qmail-authd's place, or empty.
    """

    __slots__ = ("command", "offered", "plain")

    def __init__(self, offered: "Sequence[bytes]", *, plain: bool = False, command: "Sequence[bytes]" = ()) -> None:
        """As above."""
        self.offered, self.plain, self.command = tuple(offered), plain, tuple(command)


def read(home: Home, command: "Sequence[bytes]" = ()) -> Logins:
    """What the files say.  command: from the command line.  Errors: Die TEMP for a file that cannot be read.

    qmail-authd says in auth/mechanisms what its passwords can be used for; where it has never run nobody can log in.
    """
    plain = control.integer(home, "authplain", 0) > 0
    if command:
        return Logins(_ANY_PROGRAM, plain=plain, command=command)
    text = _read(home.at(b"auth", b"mechanisms"))
    if text is None and home.embedded:
        return Logins(_own(home), plain=plain)
    known = (*MECHANISMS, APOP)
    offered = control.first_line(text or b"").split()
    return Logins([name for name in known if name in offered], plain=plain)


def _read(path: bytes) -> bytes | None:
    """A file; None also where we may not look, as who runs sendmail -bs: he needs no login."""
    try:
        return control.read(path)
    except Die:
        return None


def _own(home: Home) -> "Sequence[bytes]":
    """What our own users/passwords can be used for, where one uid is everybody; check says what is wrong with it."""
    from qmailpy.disk import passwords

    try:
        text = passwords.read(home)
    except Die:
        return ()
    if text is None:
        return ()
    from qmailpy.rules.passwords import mechanisms

    return mechanisms(text)
