"""Whether a client has proven who it is: asked of qmail-authd, or of a program with checkpassword's interface.

Sessions run as qmaild, who may read no password; qmail-authd may, and listens where only our roles can come. A program
that was named on the session's command line is run here, as whoever we are. An embedded home has one uid and needs no
qmail-authd. Used by receive/auth, through skeletons/questions.
"""

import errno

from qmailpy.disk.home import Home
from qmailpy.skeletons import checking
from qmailpy.system import clock, door, identity, process
from qmailpy.verdict import Die
from qmailpy.wire import authd, netstring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE = 45.0  # seconds until qmail-authd has answered: a check, and the others before it
_HOLD = 2  # seconds for which a refusal is held back where no qmail-authd counts them
_CLOSED = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)


def encode(question: authd.Question, command: "Sequence[bytes]" = ()) -> bytes:
    """The request.  command: a program and its arguments, to be run in qmail-authd's place."""
    return netstring.pack((question.encode(), *command))


def authenticate(home: Home, request: bytes) -> bytes:
    """The answer, as wire/authd encodes it.  Errors: OSError where nobody could be asked."""
    try:
        asked, *command = netstring.unpack(request)
        question = authd.decode_question(asked)
    except (netstring.NetstringError, authd.AuthdError, ValueError):
        question, command = None, []
    if question is None:
        raise OSError(errno.EINVAL, "malformed question")
    if command:
        return _run(command, question, process.environment() | checking.environment_for(home, question), ours=False)
    try:
        line = door.Line(home.auth_socket)
    except Die:  # its path is too long for a socket
        raise OSError(errno.ENAMETOOLONG, "the path of qmail-authd's socket is too long") from None
    except OSError as error:
        if error.errno not in _CLOSED or not home.embedded:
            raise
        argv = checking.our_argv(home, question.method)
        return _run(argv, question, checking.environment_for(home, question), ours=True)
    return _ask(home, line, question)


def _ask(home: Home, line: door.Line, question: authd.Question) -> bytes:
    """Of qmail-authd.  Who else listens there must not hear a password.  Errors: OSError."""
    try:
        if line.peer.uid not in (0, identity.my_uid() if home.embedded else 0):
            raise OSError(errno.EPERM, "who listens there is not qmail-authd")
        end = clock.monotonic() + _PATIENCE
        line.send(question.encode(), _PATIENCE)
        received = b""
        while authd.decode_answer(received) is None:
            piece = line.receive(max(0.1, end - clock.monotonic()))
            received += piece
            if not piece or clock.monotonic() > end:
                raise OSError(errno.ECONNRESET, "qmail-authd has hung up")
    except authd.AuthdError:
        raise OSError(errno.EPROTO, "qmail-authd is of another version") from None
    finally:
        line.close()
    return received


def _run(argv: list[bytes], question: authd.Question, environment: dict[bytes, bytes], *, ours: bool) -> bytes:
    pid, descriptor = checking.start(argv, question.for_program, environment, ours=ours)
    ending = process.wait_for_leader(pid, checking.SECONDS)
    verdict, why = checking.verdict(ending)
    words = checking.said(descriptor)
    hold = _HOLD if verdict == authd.NO else 0
    return authd.Answer(verdict, hold, words if verdict == authd.YES else why).encode()
