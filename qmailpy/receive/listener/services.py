"""Which of our programs are served resident, and how each begins.

A service is made in each new worker, while that still is who its master is: it reads control files, and keys that only
root may read. It then serves every session of that worker: nothing is read while clients wait.
"""

import posix

from qmailpy.disk.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.listener.service import Maker

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
