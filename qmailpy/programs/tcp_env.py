"""tcp-env: puts what is known of a TCP connection into the environment, and becomes another program.

    tcp-env [-rR] [-tseconds] program [argument...]

-R does not ask the client's host whose connection it is, -r does (as if said), -t within so many seconds a step.
Runs as: whoever inetd says.
Descriptors: 0 the connection; 2 one line if it fails.
Exit codes: 111; else those of the program.
Sets PROTO TCPLOCALIP TCPLOCALPORT TCPLOCALHOST TCPREMOTEIP TCPREMOTEPORT TCPREMOTEHOST TCPREMOTEINFO (spec/01 2); does
nothing where PROTO is TCP already.  Trusts: the kernel's word about addresses; names are hearsay.
"""

from qmailpy.disk.home import Home
from qmailpy.rules.options import UsageError, parse
from qmailpy.system import accepted, process
from qmailpy.verdict import TEMP, Die, words
from qmailpy.wire import ident

_CONNECTION = 0  # descriptor
_PATIENCE = 30  # seconds for each step of asking whose connection it is
_LONGEST = 9  # digits of -t
_USAGE = b"usage: tcp-env [-rR] [-tseconds] program [argument...]"


def _name(end: accepted.End) -> bytes | None:
    try:
        name = accepted.name_of(end)
    except accepted.NobodyKnows:
        return b"softdnserror"
    return None if name is None else name.encode("utf-8", "surrogateescape").lower()


def _describe(asks: bool, patience: int) -> None:
    """Fill the environment.  Errors: Die TEMP."""
    local, remote = accepted.ends(_CONNECTION)
    person = None
    if asks:
        question = ident.query(remote.port, local.port)
        person = ident.user(accepted.ask(local, remote, ident.PORT, question, (patience, ident.REPLY_LIMIT)))
    for name, value in (
        (b"PROTO", b"TCP"),
        (b"TCPLOCALIP", local.ip.encode()),
        (b"TCPLOCALPORT", b"%d" % local.port),
        (b"TCPLOCALHOST", _name(local)),
        (b"TCPREMOTEIP", remote.ip.encode()),
        (b"TCPREMOTEPORT", b"%d" % remote.port),
        (b"TCPREMOTEHOST", _name(remote)),
        (b"TCPREMOTEINFO", person),
    ):
        process.set_variable(name, value)


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it needs no home
    """See the head of this file."""
    try:
        options, program = parse(argv[1:], b"rRt:")
    except UsageError as error:
        raise Die(TEMP, error.text + b"\n" + _USAGE) from None
    if not program:
        raise Die(TEMP, _USAGE)
    asks, patience = True, _PATIENCE
    for letter, value in options:
        if letter == b"t":
            patience = int(value) if value.isdigit() and len(value) <= _LONGEST else _PATIENCE
        else:
            asks = letter == b"r"
    environment = process.environment()
    if environment.get(b"PROTO") != b"TCP":
        _describe(asks, max(patience, 1))
        environment = process.environment()
    try:
        process.execute_found(program, environment)
    except OSError as error:
        raise Die(TEMP, b"unable to run " + program[0] + b": " + words(error)) from None
