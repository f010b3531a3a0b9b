"""qmail-popup: asks a POP3 client for name and password, and hands both to a program that knows whether they are right.

    qmail-popup hostname program [argument...]

as in: qmail-popup mx.example.org qmail-checkpassword qmail-pop3d Maildir
Runs as: root, because that program becomes the user. It parses nothing but the command lines before the login.
Started by tcpserver, qmail-listen, tcp-env under inetd, systemd; port 110, or 995 with $POP3S.
Descriptors: 0 and 1 the client; 2 the log (never where 2 is the client: then syslog); the program gets, on 3, name NUL
password or digest NUL timestamp NUL.
Exit codes: 1, however it ends, as ever.
Environment: POP3S: TLS from the first byte on; tcpserver's TCPREMOTEIP.
Control files: servercert.pem and servercerts: STLS is offered; authplain.
Trusts: the program. TLS is spoken by a child that has become qmaild for good.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.receive import certificates
from qmailpy.receive.pop3 import front
from qmailpy.receive.pop3.authorization import ENDED, Surroundings, converse
from qmailpy.rules import authline
from qmailpy.skeletons import connection
from qmailpy.skeletons.alone import Alone, hold
from qmailpy.system import clock, descriptors, identity, process
from qmailpy.verdict import EXIT, TEMP, Die, words
from qmailpy.wire import authd, pop3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CLIENT = 1  # descriptor
_SECRETS = 3  # descriptor of the program
_PATIENCE = 1200.0  # seconds for all of it
_USAGE = b"usage: popup hostname subprogram"
_FAILED, _CRASHED = b"authorization failed", b"aack, child crashed"
_IMPLICIT = b"POP3S"
_METHODS = {b"PASS": b"password", b"APOP": b"apop"}  # as they are called where passwords are checked


class _Verifier:
    """Runs the program."""

    __slots__ = ("_argv", "_note", "_stamp")

    def __init__(self, argv: list[bytes], stamp: bytes, note: "Callable[[bytes], None]") -> None:
        """argv: the program's."""
        self._argv, self._stamp, self._note = argv, stamp, note

    def run(self, method: bytes, user: bytes, secret: bytes) -> bytes:
        """The user's whole session; what is to be said after it.  method: PASS or APOP."""
        try:
            read_end, write_end = posix.pipe2(posix.O_CLOEXEC)
        except OSError:
            return b"unable to open pipe"
        try:
            pid = process.fork(lambda: self._become(read_end))
        except OSError:
            posix.close(write_end)
            return b"unable to fork"
        finally:
            posix.close(read_end)
        try:
            descriptors.write_all(write_end, b"".join([one + b"\0" for one in (user, secret, self._stamp)]))
        except OSError:  # it did not want to know: its exit code tells more
            pass
        finally:
            posix.close(write_end)
        ending = process.wait(pid)
        if not (ending.signal or ending.code):
            return b""
        self._log(method, user, authline.TROUBLE if ending.signal or ending.code == EXIT[TEMP] else authline.PASSWORD)
        return _CRASHED if ending.signal else _FAILED

    def _log(self, method: bytes, user: bytes, rule: bytes) -> None:
        """A line that fail2ban can read."""
        environment = process.environment()
        remote = environment.get(b"TCPREMOTEIP", b"").partition(b"%")[0]
        try:
            asked = authd.Question(_METHODS[method], user, b"", b"", remote, environment.get(b"TCPLOCALPORT", b""))
        except authd.AuthdError:  # a name longer than any
            asked = authd.Question(_METHODS[method], b"?", b"", b"")
        self._note(authline.line(b"qmail-popup", asked, method, rule))

    def _become(self, read_end: int) -> int:
        process.arrange({_SECRETS: read_end})
        try:
            process.execute_found(self._argv, process.environment())
        except OSError as error:
            self._note(b"qmail-popup: warning: unable to run " + self._argv[0] + b": " + words(error))
            return EXIT[TEMP]


def _serve(argv: list[bytes], home: Home, note: "Callable[[bytes], None]") -> int:
    has_tls = certificates.are_there(home)
    is_implicit = _IMPLICIT in process.environment()
    if is_implicit and not front.stand_before(home, note, speaks_first=False):
        return ENDED
    stamp = b"<%d.%d@%b>" % (identity.my_pid(), clock.now(), argv[1])
    around = Surroundings(
        stamp,
        _Verifier(argv[2:], stamp, note).run,
        (lambda: front.stand_before(home, note, speaks_first=True)) if has_tls else None,
        is_clear=not is_implicit,
        takes_clear=not has_tls or control.integer(home, "authplain", 0) > 0,
    )
    return hold(converse(Alone(home, _PATIENCE, note), around))


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    note = connection.log(b"qmail-popup")
    if len(argv) < len((b"qmail-popup", b"hostname", b"program")):
        descriptors.write_all(_CLIENT, pop3.error(_USAGE))
        return ENDED
    try:
        return _serve(argv, home, note)
    except (Die, OSError) as error:
        note(b"qmail-popup: fatal: " + (error.text if isinstance(error, Die) else words(error)))
        return ENDED
