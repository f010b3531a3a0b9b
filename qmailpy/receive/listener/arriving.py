"""From accept to the first word, and from the last word to close: what is the same for every session of a worker.

Who it is: the kernel's word, names if they are asked for, the rules' variables. Whether it may stay: the rules and the
limits of an address and of a network. Then the program's own conversation; and a close that does not cut off what was
said last.
"""

import _socket

from qmailpy.receive.listener import crowds, lines
from qmailpy.receive.listener.connection import OURS, Surroundings
from qmailpy.receive.listener.executing import DENIED
from qmailpy.receive.listener.judging import Dropped, Rules
from qmailpy.receive.listener.owner import owner
from qmailpy.receive.listener.resident import Resident
from qmailpy.skeletons import alone, peers
from qmailpy.skeletons.alone import Alone
from qmailpy.skeletons.dialog import Gone, Silent
from qmailpy.system import descriptors, launcher, process, signals, title
from qmailpy.verdict import of_bug, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.receive.listener.serving import Serving
    from qmailpy.system.listening import Listener

_LAST_WORDS = 5.0  # seconds that a client has to take a refusal
_LINGER = 2.0  # seconds that we go on listening to a client that goes on talking
_LINGER_BYTES = 256 << 10
_KNOWN_FOR = 1.0  # seconds that we remember whether bin/qmail-queue is ours
_MOST_NAMES = 1000  # names of our own ends that are remembered


class Arriving:
    """The beginnings and ends of one worker's sessions."""

    def __init__(self, serving: "Serving") -> None:
        """Control files are read here.  Errors: Die."""
        options, home = serving.options, serving.home
        self._serving, self._options, self._service = serving, options, serving.service
        self._surroundings = Surroundings(options)
        self._rules = Rules(options.rules, may_be_missing=options.allows_without_rules)
        self._limits = crowds.limits(home)
        self._names: dict[bytes, bytes] = {}  # of our own ends
        self._asks = options.asks_name or options.asks_owner or options.local_name is None
        self._launchers = launcher.Launchers(launcher.library())
        self._queue_is_ours, self._looked = False, -_KNOWN_FOR

    def begin(self, listener: "Listener", descriptor: int, ip: bytes, port: int, serial: int) -> None:
        """A connection has been accepted.  Errors: OSError, it is gone."""
        serving = self._serving
        connection = listener.of_connection(descriptor)
        try:
            if self._options.banner:
                connection.send(self._options.banner, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
            environment = self._surroundings.of(listener, connection, ip, port)
            session = Resident(serving, connection, environment, self._service.patience)
            session.ip, session.serial = ip, serial
            serving.epoll.follow(descriptor)
        except OSError:
            connection.close()
            raise
        serving.loop.dispatch(descriptor, session.happened)
        serving.sessions.add(session)
        session.cells = serving.counters.cells(ip)
        serving.counters.add_of(serving.part, session.cells, 1)
        session.is_counted = True
        if self._options.is_verbose:
            serving.note(lines.status(serving.counters.total, self._options.limit))
            serving.note(lines.arrived(serving.who(session), ip))
        session.start(self._attend(session, connection))

    async def _attend(self, session: Resident, connection: "_socket.socket") -> int:
        """Result: exit code."""
        environment = session.environment
        if self._asks:
            await self._ask_names(session)
        try:
            ruling = self._rules.judge(session.ip, environment.get(b"TCPREMOTEHOST"), environment.get(b"TCPREMOTEINFO"))
        except Dropped as dropped:
            self._complain(dropped.reason)
            return process.TEMP_EXIT
        environment.update(ruling.variables)
        crowded = None
        if not ruling.denied:
            counters, most = self._serving.counters, self._options.limit
            crowded = counters.refusal(self._limits, session.ip, session.cells, environment, most)
        if self._options.is_verbose:
            denied = ruling.denied or crowded is not None
            self._serving.note(lines.judged(self._serving.who(session), environment, denied=denied))
        if ruling.denied:
            return DENIED
        if crowded is not None:
            await self._turn_away(session, crowded)
            return DENIED
        if self._needs_process(environment):
            return self._fork(session, connection)
        try:
            return await self._service.converse(session)
        except (Silent, Gone):
            return 1
        finally:
            session.until = session.now() + _LAST_WORDS
            await session.finish()
            if session.has_unread:
                await _linger(session, connection)

    async def _turn_away(self, session: Resident, reason: bytes) -> None:
        self._complain(reason)
        self._serving.uncount(session)  # or who is told to go would keep others out
        session.say(self._service.farewell)
        session.until = session.now() + _LAST_WORDS
        await session.finish()

    def _complain(self, reason: bytes) -> None:
        if self._options.verbosity:
            self._serving.note(lines.dropping(reason))

    # names

    async def _ask_names(self, session: Resident) -> None:
        environment, options = session.environment, self._options
        local = environment[b"TCPLOCALIP"]
        if options.local_name is None:
            if local not in self._names and len(self._names) < _MOST_NAMES:
                self._names[local] = await self._name(session, local, paranoid=False)
            _set(environment, b"TCPLOCALHOST", self._names.get(local))
        if options.asks_name:
            name = await self._name(session, session.ip, paranoid=options.paranoid)
            _set(environment, b"TCPREMOTEHOST", name)
        if options.asks_owner:
            _set(environment, b"TCPREMOTEINFO", await owner(self._serving, session, options.patience))

    @staticmethod
    async def _name(session: Resident, ip: bytes, *, paranoid: bool) -> bytes:
        try:
            return await session.ask(b"peer-name", (peers.PARANOID if paranoid else peers.CREDULOUS) + ip)
        except OSError:
            return b""

    # a process of its own

    def _needs_process(self, environment: dict[bytes, bytes]) -> bool:
        """Whether this session's messages go to a program, which would keep all others waiting."""
        return bool(environment.get(b"QMAILQUEUE")) or not self._is_door_enough()

    def _is_door_enough(self) -> bool:
        now = self._serving.loop.now
        if now - self._looked >= _KNOWN_FOR:
            home = self._serving.home
            self._looked = now
            self._queue_is_ours = not home.direct and self._launchers.is_ours(home.program("qmail-queue"))
        return self._queue_is_ours

    def _fork(self, session: Resident, connection: "_socket.socket") -> int:
        serving = self._serving
        try:
            pid = process.fork(lambda: self._alone(session, connection.fileno()))
        except OSError as error:
            self._complain(b"unable to fork: " + words(error))
            return process.TEMP_EXIT
        serving.children[pid] = session
        session.has_process = True
        return 0

    def _alone(self, session: Resident, descriptor: int) -> int:
        """In the child: the same conversation, as a program of its own would hold it."""
        process.arrange({0: descriptor, 1: descriptor})
        process.close_above(2)
        title.set_title(self._service.name.decode())
        self._serving.prepare_child()
        signals.as_for_a_new_program()
        signals.ignore(signals.SIGPIPE, signals.SIGXFSZ)
        for name in OURS:
            process.set_variable(name, None)
        process.set_variables(session.environment)
        try:
            dialog = Alone(self._serving.home, self._service.patience, alone.note_on(2))
            return alone.hold(self._service.converse(dialog))
        except Exception as error:
            descriptors.say(lines.line(b"warning: a session failed: " + of_bug(error)))
            raise


async def _linger(session: Resident, connection: "_socket.socket") -> None:
    """Let the client take what was said last: closing over unread bytes would take it away again."""
    try:
        connection.shutdown(_socket.SHUT_WR)
    except OSError:
        return
    session.until = session.now() + _LINGER
    heard = 0
    try:
        while heard < _LINGER_BYTES and (piece := await session.hear()):
            heard += len(piece)
    except (Silent, Gone):
        return


def _set(environment: dict[bytes, bytes], name: bytes, value: bytes | None) -> None:
    if value:
        environment[name] = value
