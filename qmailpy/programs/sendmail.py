"""sendmail: the command line that every program knows, over qmail-inject.

    sendmail [-t] [-fsender] [-Fname] [-bp] [-bs] [recipient...]

and the options of all other sendmails: each acts or is accepted in silence (inject/faces). -i always is in effect.
Runs as: the caller, with no privilege of its own.
Descriptors: 0 the message; 2 one line if it fails.
Exit codes: those of sysexits: 0 queued, 64 usage, 65 qmail-inject says never (its 100), 69 not available here, 75 try
later (its 111). What an administrator has put in the place of qmail-inject may exit with a sysexits code of its own.
Control files: those of qmail-inject; environment: its own too, and PROTO for -bs.  Trusts: as qmail-inject.

One process does it all while bin/qmail-inject is our own launcher and QMAILEXEC is not set.
"""

from qmailpy.disk.home import Home
from qmailpy.inject import faces
from qmailpy.inject.running import run_as_ours
from qmailpy.programs import run
from qmailpy.rules.options import UsageError
from qmailpy.system import descriptors, process
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die

USAGE, DATA, UNAVAILABLE, TEMPORARY = 64, 65, 69, 75  # sysexits
_LAST_SYSEXIT = 78
_SYNOPSIS = b"sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]"
_SMTP_SESSION = {
    b"RELAYCLIENT": b"",
    b"DATABYTES": b"0",
    b"PROTO": b"TCP",
    b"TCPLOCALIP": b"127.0.0.1",
    b"TCPLOCALHOST": b"localhost",
    b"TCPREMOTEIP": b"127.0.0.1",
    b"TCPREMOTEHOST": b"localhost",
    b"TCPREMOTEINFO": b"sendmail-bs",
}


def _sysexit(code: int) -> int:
    """Of a program's exit code."""
    if code == EXIT[PERM]:
        return DATA
    return code if code == OK or USAGE <= code <= _LAST_SYSEXIT else TEMPORARY


def _do(name: str, words: list[bytes], home: Home) -> int:
    return _sysexit(run_as_ours(run, b"sendmail", name, words, home))


def _deliver(call: faces.Call, home: Home) -> int:
    for variable, value in call.environment().items():
        process.set_variable(variable, value)
    return _do("qmail-inject", call.injection(), home)


def _list(call: faces.Call, home: Home) -> int:  # noqa: ARG001 - one shape for all modes
    return _do("qmail-qread", [], home)


def _make_aliases(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    return _do("newaliases", [], home)


def _speak_smtp(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    path = home.program("qmail-smtpd")
    environment = process.environment()
    if b"PROTO" not in environment:
        environment.update(_SMTP_SESSION)
    try:
        process.execute(path, [b"qmail-smtpd"], environment)
    except FileNotFoundError:
        raise Die(PERM, b"-bs is not available: qmail-smtpd is not installed", UNAVAILABLE) from None
    except OSError:
        raise Die(TEMP, b"unable to run qmail-smtpd", TEMPORARY) from None


def _flush(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    """qmail-send looks at once for what is new; it needs no queue runs."""
    from qmailpy.disk.queue.entering import pull_trigger
    from qmailpy.disk.queue.paths import Paths

    pull_trigger(Paths(home))
    return OK


def _help(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    try:
        descriptors.write_all(1, b"usage: " + _SYNOPSIS + b"\n")
    except OSError:
        raise Die(TEMP, b"write error", TEMPORARY) from None
    return OK


def _refuse(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    reason = b"is not available"
    if call.what in (b"-bd", b"-bdf", b"-bl"):
        reason = b"is not for sendmail: qmail-start starts the daemons, tcpserver an SMTP server"
    raise Die(PERM, call.what + b" " + reason, UNAVAILABLE)


_ACTS = {
    faces.DELIVER: _deliver,
    faces.LIST: _list,
    faces.ALIASES: _make_aliases,
    faces.SMTP: _speak_smtp,
    faces.FLUSH: _flush,
    faces.HELP: _help,
    faces.ABSENT: _refuse,
}


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        call = faces.Call(argv[1:])
    except UsageError as error:
        name = argv[0].rpartition(b"/")[2]
        descriptors.say(name + b": " + error.text + b"\n" + name + b": usage: " + _SYNOPSIS)
        return USAGE
    return _ACTS[call.mode](call, home)
