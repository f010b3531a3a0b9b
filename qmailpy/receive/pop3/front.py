"""TLS for a POP3 client, in a process of its own that is not root's: it keeps the key, and never sees an account.

On one side the client's connection, on the other a socket whose far end qmail-popup, and later qmail-pop3d, take for
the client: they speak in clear. Whoever of both ends first ends the other.
"""

import _socket
import errno
import posix
import select

from qmailpy.disk.home import Home
from qmailpy.receive import certificates
from qmailpy.rules.logline import safe
from qmailpy.skeletons.dialog import TlsFailed
from qmailpy.system import descriptors, identity, process
from qmailpy.verdict import EXIT, OK, TEMP, Die
from qmailpy.wire import pop3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from qmailpy.system.tls_server import Contexts, Secret

_IN, _OUT = 0, 1  # descriptors: the client's
_PIECE = 65536  # bytes
_SURE = 4096  # bytes that do not block where poll says that writing is possible
_PATIENCE = 1200  # seconds that either side may be silent, or take nothing: those behind us say so before
_READY = b"."


def stand_before(home: Home, note: "Callable[[bytes], None]", *, speaks_first: bool) -> bool:
    """Put such a process between us and the client: from now on descriptors 0 and 1 are its other end.

    speaks_first: the client waits for a word in clear that TLS may begin (STLS).  Result: whether there is TLS; if not,
    all is as it was.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        process.fork(lambda: _serve(home, note, ours, theirs))
        theirs.close()
        if posix.read(ours.fileno(), 1) != _READY:
            return False
        if speaks_first:
            descriptors.write_all(_OUT, pop3.ok())
        process.arrange({_IN: ours.fileno(), _OUT: ours.fileno()})
    finally:
        ours.close()
    return True


def _serve(home: Home, note: "Callable[[bytes], None]", far: "_socket.socket", inner: "_socket.socket") -> int:
    """The life of the process in between."""
    far.close()
    try:
        contexts = certificates.read(home, note, pop3=True)
        contexts.load_all()
        account = home.roles.account("qmaild")
        identity.become(account.uid, account.gid)
        descriptors.write_all(inner.fileno(), _READY)
    except Die as death:
        note(b"qmail-popup: warning: no TLS: " + death.text)
        return EXIT[TEMP]
    try:
        _Relay(contexts, inner, note).run()
    except TlsFailed as failure:
        note(b"qmail-popup: warning: TLS: " + failure.text)
    except OSError:  # one of both has gone
        pass
    return EXIT[OK]


class _Relay:
    """Both directions.  Errors: TlsFailed; OSError, TimeoutError among them."""

    __slots__ = ("_inner", "_note", "_secret")

    def __init__(self, contexts: "Contexts", inner: "_socket.socket", note: "Callable[[bytes], None]") -> None:
        self._secret: Secret = contexts.secret()
        self._inner, self._note = inner, note

    def run(self) -> None:
        """From the first byte to the last."""
        try:
            self._shake_hands()
        finally:
            self._send()
        remote = process.environment().get(b"TCPREMOTEIP", b"unknown")
        self._note(b"qmail-popup: tls %b %b" % (safe(remote), self._secret.facts))
        self._take(b"")
        poll = select.poll()
        poll.register(_IN, select.POLLIN)
        inner = self._inner.fileno()
        poll.register(inner, select.POLLIN)
        while True:
            ready = poll.poll(_PATIENCE * 1000)
            if not ready:
                return
            for descriptor, _ in ready:
                if descriptor == _IN and not self._take(_read(_IN)):
                    poll.unregister(_IN)
                    self._inner.shutdown(_socket.SHUT_WR)
                if descriptor == inner and not self._give(_read(inner)):
                    return

    def _shake_hands(self) -> None:
        came = b""
        while not self._secret.shake(came):
            self._send()
            came = _read(_IN)
            if not came:
                raise OSError(errno.ECONNRESET, "the client has gone")

    def _take(self, came: bytes) -> bool:
        """What the client says, to whom is behind us; whether more may come."""
        try:
            clear = self._secret.open(came)
        except EOFError:
            clear, came = b"", b""
        self._send()
        if clear:
            _write(self._inner.fileno(), clear)
        elif not came:
            return False
        return True

    def _give(self, content: bytes) -> bool:
        """What is said to the client; whether more may come."""
        if content:
            self._secret.close(content)
        else:
            self._secret.farewell()
        self._send()
        return bool(content)

    def _send(self) -> None:
        _write(_OUT, self._secret.output())


def _read(descriptor: int) -> bytes:
    _await(descriptor, select.POLLIN)
    return posix.read(descriptor, _PIECE)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        _await(descriptor, select.POLLOUT)
        view = view[posix.write(descriptor, view[:_SURE]) :]


def _await(descriptor: int, events: int) -> None:
    poll = select.poll()
    poll.register(descriptor, events)
    if not poll.poll(_PATIENCE * 1000):
        raise TimeoutError
