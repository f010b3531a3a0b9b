"""qmail-authd's life: who may ask, what is checked and what is not, the log, the chores, a new version."""

import _socket
import posix

from qmailpy.disk import control, passwords
from qmailpy.disk.home import Home
from qmailpy.receive.authd.checks import Checks
from qmailpy.receive.authd.conversation import Conversation
from qmailpy.rules import authline
from qmailpy.rules.throttle import NETWORK, Throttle
from qmailpy.skeletons import checking, renewal
from qmailpy.system import clock, descriptors, door, identity, launcher, process, signals
from qmailpy.system.loop import Loop
from qmailpy.system.outlet import Outlet
from qmailpy.verdict import TEMP, Die, words
from qmailpy.wire import authd

NAME = b"qmail-authd"
INHERIT = b"--inherit"  # followed by the numbers of the listening socket and of the lock
MECHANISMS = b"mechanisms"  # the file in auth/ that says what can be offered
_MOST = 512  # conversations
_AT_ONCE = 64  # let in before those inside are heard again
_CHORES = 5.0  # seconds between two looks at users/passwords and the version
_PAUSE = 1.0  # seconds without accepting when there are no more descriptors
_LAST_LINES = 1.0  # seconds that the log has to take what is left when we end
_SCRAM_FIRST, _SCRAM_FINAL = b"scram-first", b"scram-final"  # the first asks, and proves nothing
_RULES = {True: authline.NETWORK, False: authline.LOGIN}


class Daemon:
    """State of one qmail-authd."""

    def __init__(self, home: Home, lock: int, listener: _socket.socket | None) -> None:
        """lock: ours for life; listener: from the older version that became us."""
        self._home, self._lock, self._listener = home, lock, listener
        self._loop = Loop()
        self._outlet = Outlet(NAME, self._loop.after)
        self._throttle = Throttle()
        self._checks = Checks(self._loop, home)
        self._open: set[Conversation] = set()
        self._heard = frozenset((0, home.roles.uid["qmaild"]))
        self._stamp: object = ()
        self._stopping = False
        # where the link does not lead to us even now, we would execute ourselves for ever
        self._may_renew = listener is None or launcher.is_current(home.path)

    def run(self) -> int:
        """Serve until told to end.  Result: exit code 0.  Errors: Die where the socket cannot be put in place."""
        signals.ignore(signals.SIGPIPE)
        for number, call in (
            (signals.SIGTERM, self._stop),
            (signals.SIGINT, self._stop),
            (signals.SIGHUP, self._read_controls),
            (signals.SIGCHLD, self._checks.reap),
        ):
            self._loop.on_signal(number, call)
        self._read_controls()
        if self._listener is None:
            path = self._home.auth_socket
            try:
                self._listener = door.listen(path)
            except OSError as error:
                raise Die(TEMP, b"unable to listen on " + path + b": " + words(error)) from None
        self._listen()
        self._loop.after(_CHORES, self._do_chores)
        while not self._stopping:
            self._loop.turn()
        self._checks.kill_all()
        for conversation in list(self._open):
            conversation.close()
        self._outlet.finish(_LAST_LINES)
        return 0

    def _stop(self) -> None:
        self._stopping = True
        try:
            posix.unlink(self._home.auth_socket)
        except OSError:
            return

    def _warn(self, text: bytes) -> None:
        self._outlet.say(NAME + b": warning: " + authline.printable(text))

    # what can be offered

    def _read_controls(self) -> None:
        try:
            self._checks.program = (control.line(self._home, "authprogram") or b"").split()
        except Die as death:
            self._warn(death.text)
        self._publish()

    def _publish(self) -> None:
        """Tell sessions, which may not look themselves, what the passwords can be used for."""
        self._stamp = passwords.stamp(self._home)
        if self._checks.program:
            self._write_mechanisms(authd.Answer(authd.YES, 0, b"PLAIN LOGIN\n"))
        else:
            self._checks.begin(None, self._write_mechanisms)

    def _write_mechanisms(self, answer: authd.Answer) -> None:
        content = answer.said
        if answer.verdict != authd.YES:
            self._warn(b"what can be offered to clients stays as it is: " + content)
            return
        path = self._home.at(b"auth", MECHANISMS)
        draft = path + b".tmp"
        try:
            if control.read(path) == content:
                return
            descriptor = posix.open(draft, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_CLOEXEC, 0o644)
            try:
                descriptors.write_all(descriptor, content)
            finally:
                posix.close(descriptor)
            posix.rename(draft, path)
        except (OSError, Die):
            self._warn(b"unable to write " + path)

    # questions

    def _listen(self) -> None:
        if self._listener is not None:
            self._loop.on_read(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(_AT_ONCE):
            try:
                connection = door.accept(self._listener)
                if connection is None:
                    return
                uid = door.peer_of(connection).uid
            except OSError as error:  # above all: no descriptor is free
                self._warn(b"unable to accept: " + words(error))
                self._loop.on_read(self._listener.fileno(), None)
                self._loop.after(_PAUSE, self._listen)
                return
            if uid not in self._heard or len(self._open) >= _MOST:
                connection.close()
                continue
            self._open.add(Conversation(self._loop, connection, self._judge, self._open.discard))

    def _judge(self, conversation: Conversation, question: authd.Question) -> None:
        why = self._throttle.refuses(question.remote, question.login, clock.monotonic())
        if why is None:
            self._checks.begin(question, lambda answer: self._tell(conversation, question, answer))
            return
        rule = _RULES[why == NETWORK]
        self._outlet.say(authline.line(NAME, question, question.method, rule))
        conversation.answer(authd.Answer(authd.LATER, 0, b"not checked: " + rule))

    def _tell(self, conversation: Conversation, question: authd.Question, answer: authd.Answer) -> None:
        now = clock.monotonic()
        rule: bytes | None = None
        if question.method == _SCRAM_FINAL:
            self._throttle.finished(question.remote, now)
        if answer.verdict == authd.NO:
            answer.hold = self._throttle.failed(question.remote, question.login, now)
            rule = authline.PASSWORD
        elif answer.verdict == authd.LATER:
            self._warn(answer.said)
            rule = authline.TROUBLE
        elif question.method == _SCRAM_FIRST:
            self._throttle.begun(question.remote, now)
        else:
            self._throttle.succeeded(question.remote, question.login, now)
        if rule is not None or question.method != _SCRAM_FIRST:
            self._outlet.say(authline.line(NAME, question, question.method, rule))
        conversation.answer(answer)

    # chores

    def _do_chores(self) -> None:
        self._loop.after(_CHORES, self._do_chores)
        if not self._checks.program and passwords.stamp(self._home) != self._stamp:
            self._publish()
        quiet = self._checks.idle and not self._open
        if self._may_renew and quiet and renewal.is_due(self._home, [NAME]):
            self._become_new_version()

    def _become_new_version(self) -> None:
        assert self._listener is not None
        self._may_renew = False
        numbers = (self._listener.fileno(), self._lock)
        for number in numbers:
            posix.set_inheritable(number, True)
        argv = [NAME, INHERIT, *(b"%d" % number for number in numbers)]
        try:
            process.execute(
                self._home.program(NAME.decode()), argv, process.environment() | {b"QMAILHOME": self._home.path}
            )
        except OSError as error:
            self._warn(b"unable to run the new version, going on with the old one: " + words(error))
        for number in numbers:
            posix.set_inheritable(number, False)
        signals.ignore(signals.SIGPIPE)
        self._loop.catch_signals()


def lock(home: Home) -> int:
    """The right to be the one qmail-authd of this home.  Errors: Die TEMP."""
    path = home.at(b"auth", b"lock")
    try:
        found = door.lock(path)
    except OSError as error:
        raise Die(TEMP, b"unable to lock " + path + b": " + words(error)) from None
    if found is None:
        raise Die(TEMP, b"another qmail-authd is running: it holds " + path)
    return found


def refuse_unsafe(home: Home) -> None:
    """Root runs nothing that others can write.  Errors: Die TEMP."""
    if not identity.is_root():
        return
    names = (b"bin", b"lib", b"control", b"users", b"auth", b"bin/" + checking.OURS.encode(), b"control/authprogram")
    try:
        found = [path for path in (home.path, *map(home.at, names)) if launcher.others_can_write(path)]
        unsafe = found[0] if found else launcher.first_writable(home.at(b"lib", b"current"))
    except FileNotFoundError:  # there is no library: we run from elsewhere
        return
    except OSError as error:
        raise Die(TEMP, b"unable to look through " + home.path + b": " + words(error)) from None
    if unsafe is not None:
        raise Die(TEMP, b"others can write " + unsafe + b"; say chown root, chmod go-w")
