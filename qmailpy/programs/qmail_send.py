"""qmail-send: the heart. Decides what is tried when, and tells the spawners.

Runs as: qmails.  Started by qmail-start, which becomes it: the other daemons are its children.
Descriptors: 0 log; 1 commands to qmail-lspawn, 2 its reports; 3 and 4 the same for qmail-rspawn; 5 commands to
qmail-clean, 6 its answers.  Arguments: `wide` if the spawners were asked for the wide
notation, `watch=PID,...` the door and the logger, `traces=NAME,...` who of them tells stories; 8 is the door's.
Signals: TERM and INT finish what is under way and leave; ALRM try everything now; HUP reread the controls.
Control files: bouncebudget bouncecontent bounceformat bouncefrom bouncehost concurrencydomain concurrencylocal
concurrencyremote delaywarning doublebouncehost doublebounceto envnoathost holddomains locals localtime me percenthack
queuelifetime smtproutes trace virtualdomains.  $QMAILQUEUE: what bounces are injected with.
Exit codes: 0 left in order, 111 could not start, or a bug; nothing is lost: the queue is on disk.
Trusts: queue/ as qmailq and itself wrote it.  Reports of deliveries are text from outside.
"""

import gc
import posix

from qmailpy.disk.home import Home
from qmailpy.disk.queue.claiming import take_mutex
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.rules import logline
from qmailpy.send.controls import Controls
from qmailpy.send.heart import Heart
from qmailpy.send.log import Log
from qmailpy.skeletons import renewal
from qmailpy.skeletons.renewal import RESUMED
from qmailpy.system import signals
from qmailpy.system.loop import Loop
from qmailpy.verdict import EXIT, OK, TEMP, Die, of_bug

LOG, DOOR = 0, 8  # descriptors: the log, and where the door tells what it has taken
WATCH = b"watch="  # qmail-start's word for whose end is the end of all
TRACES = b"traces="  # and for who can be asked for the story of a message: local, remote, door
GARBAGE = (20000, 50, 100)  # few cycles are made here, and a collection looks at every waiting message


def _enter(directory: bytes, alert: bytes) -> None:
    try:
        posix.chdir(directory)
    except OSError:
        raise Die(TEMP, alert) from None


def _controls(home: Home) -> Controls:
    try:
        return Controls(home)
    except Die:
        raise Die(TEMP, logline.START_CONTROLS) from None


def _be_the_only_one(home: Home) -> None:
    try:
        mutex = take_mutex(Paths(home))
    except Trouble:
        raise Die(TEMP, logline.START_MUTEX) from None
    if mutex is None:
        raise Die(TEMP, logline.START_RUNNING)


def _watched(argv: list[bytes]) -> frozenset[int]:
    """The daemons that no pipe tells of: watch=PID,PID among the arguments."""
    return frozenset(int(pid) for pid in _words(argv, WATCH) if pid.isdigit())


def _words(argv: list[bytes], prefix: bytes) -> list[bytes]:
    words = [word.removeprefix(prefix) for word in argv[1:] if word.startswith(prefix)]
    return [part for word in words for part in word.split(b",")]


def _serve(argv: list[bytes], home: Home, loop: Loop, log: Log) -> list[bytes] | None:
    """Be the heart.  Result: None at its end; what a new version must know if it is to go on in our place."""
    _enter(home.path, logline.START_HOME)
    controls = _controls(home)
    _enter(home.queue, logline.START_QUEUE)
    signals.ignore(signals.SIGPIPE)
    posix.umask(0o077)
    _be_the_only_one(home)
    log.trace.meet(_words(argv, TRACES), loop, DOOR)
    heart = Heart(loop, log, home, controls, _watched(argv), wide=b"wide" in argv[1:])
    heart.catch_signals()
    if RESUMED in argv:
        heart.resume(argv[argv.index(RESUMED) + 1 :])
    if not heart.hear_spawners():
        raise Die(TEMP, logline.START_SPAWN)
    gc.set_threshold(*GARBAGE)
    heart.load(gc.freeze)  # what lives as long as we do need not be looked at again
    heart.run()
    return heart.notes if heart.renewing else None


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    loop = Loop()
    loop.on_signal(signals.SIGTERM, lambda: None)  # from here on one is kept until there is a heart that hears it
    signals.unblock_all()
    log = Log(loop, LOG)
    code = OK
    try:
        notes = _serve(argv, home, loop, log)
        if notes is not None:
            log.finish()
            renewal.exchange(home, argv, notes)
            log.alert(logline.NO_NEW_VERSION)
            code = EXIT[TEMP]
    except Die as death:
        log.alert(death.text)
        code = death.code
    except Exception as error:  # noqa: BLE001 - a bug: one line, and the queue is as it was
        log.say(logline.internal_error(of_bug(error)))
        code = EXIT[TEMP]
    log.finish()
    return code
