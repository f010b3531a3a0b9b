"""A connection that some server has accepted and given to a program of ours: what is known of it, and where its log is.

tcpserver, tcp-env and qmail-listen say it in the environment. systemd (Accept=yes) and a bare inetd do not: then the
kernel is asked, and the environment filled as tcp-env would. Used by programs that hold one conversation each.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.system import descriptors, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CONNECTION, _ERRORS = 0, 2  # descriptors


def describe() -> None:
    """Make sure that the environment says whose connection it is, if it is one by TCP."""
    if b"TCPREMOTEIP" in process.environment() or not _is_socket(_CONNECTION):
        return
    from qmailpy.skeletons import peers
    from qmailpy.system import accepted
    from qmailpy.verdict import Die

    try:
        local, remote = accepted.ends(_CONNECTION)
    except Die:  # a socket of another kind: whoever made it knows who is there
        return
    for name, value in (
        (b"PROTO", b"TCP"),
        (b"TCPLOCALIP", local.ip.encode()),
        (b"TCPLOCALPORT", b"%d" % local.port),
        (b"TCPREMOTEIP", remote.ip.encode()),
        (b"TCPREMOTEPORT", b"%d" % remote.port),
        (b"TCPREMOTEHOST", peers.host_name(remote.ip.encode(), paranoid=True)),
        (b"TCPREMOTEINFO", None),
    ):
        process.set_variable(name, value)


def log(name: bytes) -> "Callable[[bytes], None]":
    """What writes a line for the log: on descriptor 2, or to syslog where that is the client itself, as under inetd.

    name: the program's.  Descriptor 2 is no way to the client any more after this.
    """
    if not _is_same(_CONNECTION, _ERRORS):
        return lambda line: descriptors.say(line, _ERRORS)
    from qmailpy.system.syslog import INFO, Syslog

    nowhere = posix.open(b"/dev/null", posix.O_WRONLY)
    posix.dup2(nowhere, _ERRORS)
    posix.close(nowhere)
    syslog = Syslog(name)

    def note(line: bytes) -> None:
        syslog.send(INFO, line.removeprefix(name + b": "))

    return note


def _is_socket(descriptor: int) -> bool:
    try:
        return posix.fstat(descriptor).st_mode & 0o170000 == 0o140000
    except OSError:
        return False


def _is_same(one: int, other: int) -> bool:
    """Whether both are the same socket."""
    if not (_is_socket(one) and _is_socket(other)):
        return False
    status, others = posix.fstat(one), posix.fstat(other)
    return (status.st_dev, status.st_ino) == (others.st_dev, others.st_ino)


def refusal(home: Home) -> bytes | None:
    """Why no mail is taken from other hosts at all; None where it is."""
    if not home.direct:
        return None
    return home.control(b"direct") + b" is there: mail leaves without a queue, and none is taken from other hosts"
