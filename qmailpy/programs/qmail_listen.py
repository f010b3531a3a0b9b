"""qmail-listen: our own TCP server.  Runs a program for each connection, or serves our own protocol programs resident.

    qmail-listen [-1UXpPhHrRoOdDqQv46] [-c limit] [-x rules.cdb] [-B banner] [-g gid] [-u uid] [-b backlog]
                 [-l localname] [-t timeout] [-I interface] host port program [argument...]

Its command line is tcpserver's.  host may also be systemd, systemd:NAME or fd:NUMBER,...: sockets of somebody else's.
Runs as: root, until it listens; then as -u and -g (or -U) say.  Resident: the master stays root, its workers are who -u
says, or qmaild.  In an embedded home: its owner.
Descriptors: 0 and 1 are closed (-1: 1 gets the port first); 2 the log.
Signals: TERM ends listening, sessions go on; HUP: new workers, with what control files and certificates say now.
Exit codes: 0 after TERM; 100 usage; 111 it cannot listen, or start.
Control files: connectionsaddress, connectionsnetwork, listenworkers, and those of the program that is served.
Trusts: the administrator, for the program and the rules.  What a client says is only ever heard by a worker.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.receive.listener import crowds, lines, options, services
from qmailpy.receive.listener.executing import Executing
from qmailpy.receive.listener.options import Options
from qmailpy.receive.listener.renewing import Renewing
from qmailpy.rules.options import UsageError
from qmailpy.skeletons import connection
from qmailpy.system import descriptors, identity, launcher, listening, process, signals, title
from qmailpy.verdict import EXIT, PERM, TEMP, Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.listener.service import Maker

_MOST_WORKERS = 16  # as control/listenworkers may say; more than that leave no room for those of before
_FAMILIES = {options.ANY: 0, options.IPV4: 4, options.IPV6: 6}


def _listen(chosen: Options) -> list[listening.Listener]:
    """Errors: Die TEMP."""
    if listening.is_given(chosen.host):
        found = listening.given(chosen.host)
    else:
        port = listening.port_number(chosen.port)
        family = _FAMILIES[chosen.family]
        found = [listening.open_socket(chosen.host, port, family, chosen.interface, chosen.backlog)]
    if not chosen.delays:
        for one in found:
            listening.never_delay(one)
    return found


def _resident(program: list[bytes], home: Home) -> "Maker | None":
    """What serves it without an exec; None: it is not ours, or has been replaced, or everything is executed.

    Errors: Die TEMP where nothing may be served.
    """
    environment = process.environment()
    path = process.find(program[0], environment.get(b"PATH", process.DEFAULT_PATH))
    if environment.get(b"QMAILEXEC") or b"/" not in path:
        return None
    if not launcher.Launchers(launcher.library()).is_ours(path) or not launcher.is_current(home.path):
        return None
    make = services.maker(path.rpartition(b"/")[2])
    if make is not None and (refusal := connection.refusal(home)) is not None:
        raise Die(TEMP, refusal)
    return make


def _detach(chosen: Options, listeners: list[listening.Listener]) -> None:
    """Say the port if that is wanted, and leave descriptors 0 and 1."""
    if chosen.prints_port:
        descriptors.write_all(1, b"%d\n" % listeners[0].port)
    null = posix.open(b"/dev/null", posix.O_RDWR)
    for number in (0, 1):
        if all(one.descriptor != number for one in listeners):
            posix.dup2(null, number)
    posix.close(null)


def _become(chosen: Options) -> None:
    """As -u and -g say.  Errors: Die TEMP."""
    if chosen.uid is not None:
        identity.become(chosen.uid, identity.my_gid() if chosen.gid is None else chosen.gid)
    elif chosen.gid is not None:
        try:
            identity.group_only(chosen.gid)
        except OSError as error:
            raise Die(TEMP, b"unable to set gid: " + words(error)) from None


def _account(chosen: Options, home: Home) -> tuple[int, int]:
    """Who the workers are.  Errors: Die TEMP."""
    if chosen.uid is None and identity.is_root():
        account = home.roles.account("qmaild")
        return account.uid, account.gid if chosen.gid is None else chosen.gid
    gid = identity.my_gid() if chosen.gid is None else chosen.gid
    return identity.my_uid() if chosen.uid is None else chosen.uid, gid


def _serve(chosen: Options, listeners: list[listening.Listener], home: Home, make: "Maker", renewing: Renewing) -> int:
    from qmailpy.receive.listener.master import Master  # a process for each connection must not carry all that

    count = control.integer(home, "listenworkers", 0) or len(posix.sched_getaffinity(0))
    environment = process.environment()
    account = _account(chosen, home)
    master = Master(
        home,
        chosen,
        listeners,
        lambda renewing: make(home, chosen.program, environment, renewing=renewing),
        account,
        max(1, min(count, _MOST_WORKERS)),
        renewing,
    )
    return master.run()


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        chosen = options.read(argv[1:], process.environment())
    except UsageError as error:
        said = error.text if error.text == options.USAGE else error.text + b"\n" + lines.line(options.USAGE)
        descriptors.say(lines.line(said))
        return EXIT[PERM]
    try:
        signals.ignore(signals.SIGHUP)  # until there is something to read anew
        listeners = _listen(chosen)
        make = _resident(chosen.program, home)
        if make is None:
            _become(chosen)
        _detach(chosen, listeners)
        title.set_title("qmail-listen", b" ".join(chosen.program).decode("utf-8", "replace"))
        renewing = Renewing(home, argv, chosen, listeners)
        if make is not None:
            return _serve(chosen, listeners, home, make, renewing)
        return Executing(chosen, listeners, crowds.Crowds(*crowds.limits(home)), renewing).run()
    except Die:
        if chosen.verbosity:
            raise
        return EXIT[TEMP]
