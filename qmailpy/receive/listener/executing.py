"""Any program, served as tcpserver does it: one process for each connection, which looks up names, obeys the rules, and
becomes the program with the client on its descriptors 0 and 1.

Nothing of a client's is read here. Who waits for a name or a reply waits in a process of his own.
"""

import posix

from qmailpy.receive.listener import lines
from qmailpy.receive.listener.connection import Surroundings
from qmailpy.receive.listener.judging import Dropped, Rules
from qmailpy.receive.listener.options import Options
from qmailpy.receive.listener.renewing import CHORES, Renewing
from qmailpy.skeletons import peers
from qmailpy.system import clock, descriptors, identity, process, signals
from qmailpy.system.loop import Loop
from qmailpy.verdict import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.listener.crowds import Crowds
    from qmailpy.system.listening import Listener

DENIED = 100  # what such a process exits with
_AT_ONCE = 16  # connections taken before those that have ended are looked at
_PAUSE = 1.0  # seconds without accepting when the system has no more descriptors or processes


class Executing:
    """A server for one program."""

    def __init__(self, options: Options, listeners: "list[Listener]", crowds: "Crowds", renewing: Renewing) -> None:
        """crowds: counts the connections of each address and network."""
        self._options, self._listeners, self._crowds, self._renewing = options, listeners, crowds, renewing
        self._surroundings = Surroundings(options)
        self._rules = Rules(options.rules, may_be_missing=options.allows_without_rules)
        self._loop = Loop()
        self._children: dict[int, bytes] = {}  # pid -> address
        self._accepting = False
        self._paused_until = 0.0
        self._running = True

    def run(self) -> int:
        """Until TERM; connections go on without us."""
        signals.unblock_all()
        signals.ignore(signals.SIGPIPE, signals.SIGHUP)
        signals.default(signals.SIGINT)
        self._loop.on_signal(signals.SIGCHLD, self._reap)
        self._loop.on_signal(signals.SIGTERM, self._end)
        self._say_status()
        self._watch()
        self._loop.after(CHORES, self._do_chores)
        while self._running:
            self._loop.turn()
        return 0

    def _do_chores(self) -> None:
        self._loop.after(CHORES, self._do_chores)
        if self._renewing.is_due:
            self._renewing.exchange()
            self._loop.catch_signals()
            signals.ignore(signals.SIGPIPE, signals.SIGHUP)

    def _end(self) -> None:
        self._running = False

    def _watch(self) -> None:
        """Accept while there is room."""
        wanted = len(self._children) < self._options.limit and clock.monotonic() >= self._paused_until
        if wanted != self._accepting:
            self._accepting = wanted
            for one in self._listeners:
                self._loop.on_read(one.descriptor, (lambda one=one: self._accept(one)) if wanted else None)  # type: ignore[misc]

    def _accept(self, listener: "Listener") -> None:
        for _ in range(_AT_ONCE):
            if len(self._children) >= self._options.limit:
                break
            try:
                accepted = listener.accept()
            except OSError as error:
                self._pause(b"unable to accept: " + words(error))
                return
            if accepted is None:
                break
            self._serve(listener, *accepted)
        self._watch()

    def _pause(self, reason: bytes) -> None:
        self._complain(reason)
        self._paused_until = clock.monotonic() + _PAUSE
        self._loop.after(_PAUSE + 0.01, self._watch)
        self._watch()

    def _serve(self, listener: "Listener", descriptor: int, ip: bytes, port: int) -> None:
        self._crowds.enter(ip)
        self._say_status(1)
        try:
            pid = process.fork(lambda: self._child(listener, descriptor, ip, port))
        except OSError as error:
            self._complain(b"unable to fork: " + words(error))
            self._crowds.leave(ip)
            self._say_status()
            pid = 0
        posix.close(descriptor)
        if pid:
            self._children[pid] = ip

    def _reap(self) -> None:
        while (ended := process.reap()) is not None:
            pid, ending = ended
            ip = self._children.pop(pid, None)
            if ip is None:
                continue
            self._crowds.leave(ip)
            if self._options.is_verbose:
                descriptors.say(lines.ended(b"%d" % pid, ending.status))
            self._say_status()
        self._watch()

    def _say_status(self, more: int = 0) -> None:
        if self._options.is_verbose:
            descriptors.say(lines.status(len(self._children) + more, self._options.limit))

    def _complain(self, reason: bytes) -> None:
        if self._options.verbosity:
            descriptors.say(lines.dropping(reason))

    # in the child

    def _child(self, listener: "Listener", descriptor: int, ip: bytes, port: int) -> int:
        """From the fork to the program.  Result: exit code where it does not come to that."""
        options = self._options
        who = b"%d" % identity.my_pid()
        if options.is_verbose:
            descriptors.say(lines.arrived(who, ip))
        try:
            environment = self._environment(listener, descriptor, ip, port)
            ruling = self._rules.judge(ip, environment.get(b"TCPREMOTEHOST"), environment.get(b"TCPREMOTEINFO"))
        except Dropped as dropped:
            self._complain(dropped.reason)
            return process.TEMP_EXIT
        except OSError as error:
            self._complain(b"unable to talk to the client: " + words(error))
            return process.TEMP_EXIT
        environment.update(ruling.variables)
        room = len(self._children) + 1, options.limit  # as they were at the fork, and this one
        crowded = self._crowds.refusal(ip, environment, room)
        if options.is_verbose:
            descriptors.say(lines.judged(who, environment, denied=ruling.denied or crowded is not None))
        if crowded is not None:
            self._complain(crowded)
        if ruling.denied or crowded is not None:
            return DENIED
        process.arrange({0: descriptor, 1: descriptor})
        try:
            process.execute_found(options.program, environment)
        except OSError as error:
            self._complain(b"unable to run " + options.program[0] + b": " + words(error))
        return process.TEMP_EXIT

    def _environment(self, listener: "Listener", descriptor: int, ip: bytes, port: int) -> dict[bytes, bytes]:
        """All that can be known.  Errors: OSError, the client is gone."""
        options = self._options
        connection = listener.of_connection(descriptor)
        connection.setblocking(True)
        try:
            if options.banner:
                connection.sendall(options.banner)
            environment = self._surroundings.of(listener, connection, ip, port)
        finally:
            connection.detach()
        here = environment[b"TCPLOCALIP"], int(environment[b"TCPLOCALPORT"])
        found = {b"TCPLOCALHOST": environment.get(b"TCPLOCALHOST")}
        if options.local_name is None:
            found[b"TCPLOCALHOST"] = peers.host_name(here[0], paranoid=False)
        if options.asks_name:
            found[b"TCPREMOTEHOST"] = peers.host_name(ip, paranoid=options.paranoid)
        if options.asks_owner:
            found[b"TCPREMOTEINFO"] = peers.owner(here, (ip, port), options.patience)
        environment.update({name: value for name, value in found.items() if value is not None})
        return environment
