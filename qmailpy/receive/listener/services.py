"""Which of our programs are served resident, and how each begins.

A service is made in each new worker, while that still is who its master is: it reads control files, and keys that only
root may read. It then serves every session of that worker: nothing is read while clients wait.
"""

import posix

from qmailpy.disk.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Protocol

    from qmailpy.skeletons.dialog import Dialog

    Converse = Callable[[Dialog], Coroutine[None, object, int]]

    class Maker(Protocol):
        """Makes a service."""

        def __call__(
            self, home: Home, program: list[bytes], environment: dict[bytes, bytes], /, *, renewing: bool
        ) -> "Service":
            """program: its command line; renewing: there is such a service already, which can go on.  Errors: Die."""


class Service:
    """One protocol, as one command line asked for it.

    name: of the program; converse: holds a session to its end, last words and all; farewell: for who must go before the
    first word, empty where nothing can be said; patience: seconds that a client has for each thing.
    """

    __slots__ = ("converse", "farewell", "name", "patience")

    def __init__(self, name: bytes, converse: "Converse", *, farewell: bytes, patience: float) -> None:
        """As above."""
        self.name, self.converse, self.farewell, self.patience = name, converse, farewell, patience


_CERTIFICATES, _NAMED = (b"servercert.pem", b"serverkey.pem", b"servercerts"), b"servercerts"

# program -> function of receive/listener/protocols that makes its service
_MAKERS = {
    b"qmail-smtpd": "smtp",
    b"qmail-qmtpd": "qmtp",
    b"qmail-qmqpd": "qmqp",
}


def maker(name: bytes) -> "Maker | None":
    """What makes the service of this program; None: it has none, and is executed."""
    if name not in _MAKERS:
        return None
    from qmailpy.receive.listener import protocols  # what it serves is loaded by nobody else

    found: Maker = getattr(protocols, _MAKERS[name])
    return found


def look_at_files(home: Home) -> tuple[object, ...]:
    """Certificates, and what logins can be offered: where it differs from the last look, new workers are wanted."""
    paths = [home.at(b"auth", b"mechanisms"), *(home.control(name) for name in _CERTIFICATES)]
    try:
        paths += [home.control(_NAMED) + b"/" + name for name in sorted(posix.listdir(home.control(_NAMED)))]
    except OSError:
        pass
    found = []
    for path in paths:
        try:
            status = posix.stat(path)
        except OSError:
            continue
        found.append((path, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
