"""sendmail: the command line that every program knows, over qmail-inject.

    sendmail [-t] [-fsender] [-Fname] [-bp] [-bs] [recipient...]

and the options of all other sendmails: each acts or is accepted in silence (inject/faces). -i always is in effect.
Also send-mail, which is the same, and the names of single modes: runq is -q, hoststat -bh, purgestat -bH.
Runs as: the caller, with no privilege of its own.
Descriptors: 0 the message; 1 lists and explanations; 2 one line if it fails.
Exit codes: those of sysexits: 0 queued, 64 usage, 65 qmail-inject says never (its 100), 67 an address that is explained
would bounce, 69 not available here, 75 try later (its 111). What an administrator has put in the place of qmail-inject
may exit with a sysexits code of its own. Where mail leaves without a queue (qmail-direct): 0 the relay has it, 1 not.
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

USAGE, DATA, NO_USER, UNAVAILABLE, TEMPORARY = 64, 65, 67, 69, 75  # sysexits
FAILED = 1  # of mail that leaves without a queue, whatever the reason
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


_NAMES = {b"runq": faces.FLUSH, b"hoststat": faces.HOSTS, b"purgestat": faces.PURGE}  # all others: faces.DELIVER
_LONGEST_LIST = 1 << 20  # bytes of addresses on descriptor 0


def _sysexit(code: int, never: int = DATA) -> int:
    """Of a program's exit code.  never: of 100."""
    if code == EXIT[PERM]:
        return never
    return code if code == OK or USAGE <= code <= _LAST_SYSEXIT else TEMPORARY


def _do(name: str, words: list[bytes], home: Home, never: int = DATA) -> int:
    return _sysexit(run_as_ours(run, b"sendmail", name, words, home), never)


def _deliver(call: faces.Call, home: Home) -> int:
    if not (call.recipients or call.uses_header):
        raise Die(PERM, b"no recipients: name them after the options, or use -t to take them from the header", USAGE)
    for variable, value in call.environment(process.environment()).items():
        process.set_variable(variable, value)
    code = _do("qmail-inject", call.injection(), home)
    return FAILED if code != OK and _is_direct(home) else code


def _is_direct(home: Home) -> bool:
    """Whether mail leaves at once or not at all: then there is one failure, and it is final."""
    return home.direct or process.environment().get(b"QMAILQUEUE", b"").rpartition(b"/")[2] == b"qmail-direct"


def _list(call: faces.Call, home: Home) -> int:
    if home.direct:
        descriptors.write_all(1, b"0\n" if call.what == faces.COUNT else b"Mail queue is empty\n")
        return OK
    return _do("mailq", [call.what] if call.what == faces.COUNT else [], home)


def _make_aliases(call: faces.Call, home: Home) -> int:  # noqa: ARG001 - one shape for all modes
    return _do("newaliases", [], home)


def _explain(call: faces.Call, home: Home) -> int:
    """Of the arguments, or of a line each on descriptor 0."""
    addresses = call.recipients or [line.strip() for line in descriptors.read_all(0, _LONGEST_LIST).split(b"\n")]
    addresses = [address for address in addresses if address]
    if not addresses:
        raise Die(PERM, call.what + b": whose address?", USAGE)
    sender = [] if call.sender is None else [b"-f", call.sender]
    return _do("qmail-explain", [*sender, b"-n", b"--", *addresses], home, NO_USER)


def _show_hosts(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    return _do("qmail-tcpto", [], home)


def _purge_hosts(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    return _do("qmail-tcpok", [], home)


def _show_configuration(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    return _do("qmail-showctl", [], home)


def _speak_smtp(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    if home.direct:
        raise Die(PERM, b"-bs is not available: control/direct says that mail leaves without a queue", UNAVAILABLE)
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


def _flush(call: faces.Call, home: Home) -> int:
    """Root: everything is tried now, or what -qI, -qR or -qS names, and no host is spared because it was silent.

    Everybody else: his own messages are tried.
    """
    if home.direct:
        return OK
    from qmailpy.disk.queue.entering import pull_trigger
    from qmailpy.disk.queue.holder import holder
    from qmailpy.disk.queue.paths import Paths
    from qmailpy.skeletons import mail_list
    from qmailpy.system.signals import SIGALRM

    if not mail_list.may_read(home):
        try:
            mail_list.ask_for_another_try(home)
        except Die as death:
            raise Die(TEMP, death.text, TEMPORARY) from None
        return OK
    paths = Paths(home)
    sender = holder(paths)
    code = OK
    if sender:
        code = _do("qmail-tcpok", [], home)
        try:
            if not mail_list.try_some(home, call.what[2:]):
                process.kill(sender, SIGALRM)
        except PermissionError:  # who may look at the lock, and no more
            return OK
    pull_trigger(paths)
    return code


def _meet_daemon(call: faces.Call, home: Home) -> int:
    """What starts a daemon at boot is content if there is one."""
    from qmailpy.system import door

    try:
        door.Line(home.socket).close()
    except BlockingIOError:
        return OK
    except OSError:
        reason = b": qmail is not running here: qmail-start starts it, under a supervisor (INSTALL)"
        raise Die(PERM, call.what + reason, UNAVAILABLE) from None
    return OK


def _help(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    descriptors.write_all(1, b"usage: " + _SYNOPSIS + b"\n")
    return OK


def _refuse(call: faces.Call, home: Home) -> int:  # noqa: ARG001
    raise Die(PERM, call.what + b" is not available: Exim has it, and nobody else", UNAVAILABLE)


_ACTS = {
    faces.DELIVER: _deliver,
    faces.LIST: _list,
    faces.ALIASES: _make_aliases,
    faces.SMTP: _speak_smtp,
    faces.FLUSH: _flush,
    faces.EXPLAIN: _explain,
    faces.DAEMON: _meet_daemon,
    faces.HOSTS: _show_hosts,
    faces.PURGE: _purge_hosts,
    faces.CONFIGURATION: _show_configuration,
    faces.HELP: _help,
    faces.ABSENT: _refuse,
}


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    name = argv[0].rpartition(b"/")[2]
    try:
        call = faces.Call(argv[1:], _NAMES.get(name, faces.DELIVER))
    except UsageError as error:
        descriptors.say(name + b": " + error.text + b"\n" + name + b": usage: " + _SYNOPSIS)
        return USAGE
    return _ACTS[call.mode](call, home)
