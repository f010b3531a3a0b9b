"""qmail-qmqpc: hands a message to a server by QMQP while the caller waits; like qmail-queue, without a queue.

By QMAILQUEUE for one caller, or as bin/qmail-queue for a host. No daemon runs, nothing is written to disk.
Runs as: the caller, with no privilege of its own.
Descriptors: 0 the message, to its end; 1 the envelope, as for qmail-queue; 2 one line if it fails.
Exit codes: 0 a server has taken it. 31 refused for good, 71 for now. 51 no memory, 52 a day has passed, 54 read error,
55 no server in control/qmqpservers, 56 no socket, 61 home, 72 connecting took too long, 73 no connection, 74 the server
went away or fell silent, 91 envelope format, or cut off. What failed was delivered to nobody, unless it is 74.
Control files: qmqpservers.  Trusts: the servers.
"""

import errno
import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules.qmqp_servers import server
from qmailpy.skeletons import queue_face
from qmailpy.system import descriptors, stream
from qmailpy.verdict import PERM, TEMP, Die, words
from qmailpy.wire import envelope, netstring, qmqp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.envelope import Envelope

_MESSAGE, _ENVELOPE = 0, 1  # descriptors
_MEMORY, _READ, _NO_SERVER, _NO_SOCKET = 51, 54, 55, 56  # exit codes
_CONNECT_TIMEOUT, _REFUSED, _BROKEN = 72, 73, 74
_EXIT = {b"K": 0, b"Z": 71, b"D": 31}  # by the server's letter
_CONNECTING, _TALKING = 10.0, 60.0  # seconds; the second for each thing that is awaited
_PRINTABLE = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))
_NO_SOCKETS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def _read(descriptor: int, what: bytes) -> bytes:
    """A piece.  Errors: Die 54."""
    try:
        return posix.read(descriptor, descriptors.READ_SIZE)
    except OSError as error:
        raise Die(TEMP, b"unable to read the %s: " % what + words(error), _READ) from None


def _message() -> list[bytes]:
    """All of it, in pieces.  Errors: Die."""
    pieces, size = [], 0
    while piece := _read(_MESSAGE, b"message"):
        pieces.append(piece)
        size += len(piece)
        if size > netstring.LONGEST:
            raise Die(PERM, b"the message is larger than QMQP can carry: 200 MB", _EXIT[b"D"])
    return pieces


def _envelope() -> "Envelope":
    """Errors: Die."""
    reader = envelope.Reader()
    try:
        while not reader.done and (piece := _read(_ENVELOPE, b"envelope")):
            reader.feed(piece)
            if reader.size > netstring.LONGEST:
                raise Die(PERM, b"the envelope is larger than QMQP can carry: 200 MB", _EXIT[b"D"])
        return reader.result()
    except envelope.EnvelopeError as error:
        code = envelope.FORMAT_EXIT if error.code == envelope.CUT_OFF_EXIT else error.code
        raise Die(TEMP, error.text, code) from None


def _answer(line: stream.Stream, request: list[bytes]) -> bytes:
    """What the server says to all this, up to its end, or as much as can be read.  Errors: OSError before a verdict."""
    for piece in request:
        line.await_anew()
        line.send(piece)
    heard = b""
    while True:
        line.await_anew()
        try:
            piece = line.receive()
        except OSError:
            if not qmqp.verdict(heard):
                raise
            return heard
        heard += piece
        is_whole = heard.endswith(b",") and qmqp.verdict(heard)
        if is_whole or not piece or len(heard) > qmqp.ANSWER_LIMIT:
            return heard


def _ask(host: bytes, port: int, request: list[bytes]) -> int:
    """The exit code that this server's verdict means.  Errors: Die 72, 73, 56: the next one may be asked; Die 74."""
    try:
        line = stream.connect_tcp(host, port, _CONNECTING)
    except stream.SilentPeer:
        raise Die(TEMP, host + b" does not answer", _CONNECT_TIMEOUT) from None
    except OSError as error:
        code = _NO_SOCKET if error.errno in _NO_SOCKETS else _REFUSED
        raise Die(TEMP, b"unable to connect to " + host + b": " + words(error), code) from None
    try:
        line.have_patience(_TALKING)
        heard = _answer(line, request)
    except OSError as error:
        raise Die(TEMP, b"lost the connection to " + host + b": " + words(error), _BROKEN) from None
    finally:
        line.close()
    verdict = qmqp.verdict(heard)
    if not verdict:
        raise Die(TEMP, host + b" has hung up without an answer", _BROKEN)
    if verdict != b"K":
        text = heard.partition(verdict)[2].removesuffix(b",").translate(_PRINTABLE)
        raise Die(TEMP, host + b" says: " + text, _EXIT[verdict])
    return _EXIT[verdict]


def _servers(home: Home) -> list[bytes]:
    """Errors: Die 55."""
    try:
        lines = control.listing(home, "qmqpservers")
    except Die as death:
        raise Die(TEMP, death.text, _NO_SERVER) from None
    return lines or []


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no arguments, as qmail-queue
    """See the head of this file."""
    queue_face.begin(home)
    try:
        message = _message()
        asked = _envelope()
        before, behind = qmqp.frame(sum(map(len, message)), asked.sender, asked.recipients)
        request = [before, *message, behind]
        last = Die(TEMP, b"no server in control/qmqpservers", _NO_SERVER)
        for found in map(server, _servers(home)):
            if found is None:
                continue
            try:
                return _ask(*found, request)
            except Die as death:
                if death.code not in (_CONNECT_TIMEOUT, _REFUSED):
                    raise
                last = death
        raise last
    except MemoryError:
        raise Die(TEMP, b"out of memory", _MEMORY) from None
