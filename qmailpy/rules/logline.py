"""qmail-send's log: every line it can write, byte for byte (spec/04 8).

Operators and log analysers read these; all else goes elsewhere. Addresses and reports are made safe first, so that
nobody outside can forge a line. Each function gives a whole line with its LF.
"""

from qmailpy.wire.delivery import CHANNELS

_SAFE = bytes(
    ord("/") if byte == 10 else byte if 33 <= byte <= 126 and byte != ord("%") else ord("_") for byte in range(256)
)


def safe(text: bytes) -> bytes:
    """Text from outside as the log shows it: LF is /, and % and everything outside 33..126 is _."""
    return text.translate(_SAFE)


def new_message(number: int) -> bytes:
    """Preprocessing begins."""
    return b"new msg %d\n" % number


def message(number: int, size: int, sender: bytes, qp: int, uid: int) -> bytes:
    """size: bytes of the mess file; sender: raw, in its VERP form."""
    return b"info msg %d: bytes %d from <%s> qp %d uid %d\n" % (number, size, sender.translate(_SAFE), qp, uid)


def starting(delivery: int, number: int, channel: int, recipient: bytes) -> bytes:
    """delivery: counted from 1 in this process."""
    return b"starting delivery %d: msg %d to %s %s\n" % (
        delivery,
        number,
        CHANNELS[channel],
        recipient.translate(_SAFE),
    )


def status(local: int, local_limit: int, remote: int, remote_limit: int, *, exiting: bool) -> bytes:
    """How many deliveries run, of how many that may."""
    return b"status: local %d/%d remote %d/%d%s\n" % (
        local,
        local_limit,
        remote,
        remote_limit,
        b" exitasap" if exiting else b"",
    )


VERDICTS = {b"K": b"success", b"D": b"failure", b"Z": b"deferral"}


def verdict(delivery: int, letter: bytes, text: bytes) -> bytes:
    """How a delivery ended.  letter: K, Z, D, or something mangled, which is said."""
    word = VERDICTS.get(letter)
    if word is None:
        return b"delivery %d: report mangled, will defer\n" % delivery
    return b"delivery %d: %s: %s\n" % (delivery, word, text.translate(_SAFE))


def bounced(number: int, qp: int) -> bytes:
    """A bounce message is in the queue.  qp: as in its own info line."""
    return b"bounce msg %d qp %d\n" % (number, qp)


def unwanted_bounce(number: int, recipient: bytes, notify: bytes) -> bytes:
    """A failure that the sender does not want to hear of; ours.  recipient: as in the line of his delivery."""
    return b"no bounce for msg %d to %s: NOTIFY=%s\n" % (number, recipient.translate(_SAFE), notify)


def reported(number: int, action: bytes, qp: int) -> bytes:
    """The sender was told what he asked to be told; ours.  action: delivered, relayed, delayed."""
    return b"%s report msg %d qp %d\n" % (b"delay" if action == b"delayed" else b"success", number, qp)


def over_budget(sender: bytes, limit: int) -> bytes:
    """One sender gets no more bounces of his own in this hour; ours."""
    return b"bounce budget of %d in an hour used up: further bounces to <%s> are collected\n" % (
        limit,
        sender.translate(_SAFE),
    )


def no_more_reports(sender: bytes, limit: int) -> bytes:
    """One sender gets no more reports that he asked for, in this hour; ours."""
    return b"bounce budget of %d in an hour used up: further reports to <%s> are left out\n" % (
        limit,
        sender.translate(_SAFE),
    )


def held_domain(number: int, domain: bytes) -> bytes:
    """Recipients of a message wait until an administrator wishes otherwise; ours."""
    return b"held msg %d to remote %s: this domain is held\n" % (number, domain.translate(_SAFE))


def busy_domain(domain: bytes, limit: int) -> bytes:
    """Mail begins to wait because of control/concurrencydomain; ours."""
    return b"busy domain %s: %d deliveries at once, further mail waits\n" % (domain.translate(_SAFE), limit)


def ordered(number: int, word: bytes, reason: bytes = b"") -> bytes:
    """An administrator's order is being done; ours.  word: hold, release, delete, bounce, move...; reason: if any."""
    return b"order for msg %d: %s\n" % (number, word + b": " + reason.translate(_SAFE) if reason else word)


def triple_bounce(number: int) -> bytes:
    """A bounce of a bounce of a bounce goes nowhere."""
    return b"triple bounce: discarding bounce/%d\n" % number


def end(number: int) -> bytes:
    """Nothing is left to do for this message."""
    return b"end msg %d\n" % number


EXITING = b"status: exiting\n"

# Appended to the text of a temporary failure that is the last one.
TOO_LONG = b"I'm not going to try again; this message has been in the queue too long.\n"


# Alerts: something an administrator must see to.

START_HOME = b"cannot start: unable to switch to home directory"
START_CONTROLS = b"cannot start: unable to read controls"
START_QUEUE = b"cannot start: unable to switch to queue directory"
START_MUTEX = b"cannot start: unable to open mutex"
START_RUNNING = b"cannot start: qmail-send is already running"
START_SPAWN = b"cannot start: hath the daemon spawn no fire?"
LOST_CLEAN = b"oh no! lost qmail-clean connection! dying..."
LOST_SPAWN = b"oh no! lost spawn connection! dying..."
LOST_CHILD = b"oh no! lost one of the daemons! dying..."  # ours: the door or the logger has ended
NO_NEW_VERSION = b"oh no! unable to run the new version! dying..."  # ours: its launcher cannot be executed
APPEND = b"unable to append to bounce message; HELP! sleeping..."
REREAD = b"unable to reread control/%s"  # the name; locals and virtualdomains are qmail's, the others ours
START_NONSENSE = b"%s; it counts as missing"  # ours
REREAD_NONSENSE = b"%s; the old control files stay in use, all of them"  # ours
REREAD_HOME = b"unable to reread controls: unable to switch to home directory"


def alert(text: bytes) -> bytes:
    """text: one of the constants above."""
    return b"alert: %s\n" % text


def alert_directory(name: bytes) -> bytes:
    """A directory of the queue cannot be listed.  name: relative to the queue."""
    return b"alert: unable to opendir %s, sleeping...\n" % name


def internal_error(words: bytes) -> bytes:
    """A bug.  words: its kind and place, nothing of its content."""
    return b"alert: internal error %s\n" % words


# Warnings: something is later than it could be. What went wrong -> the words around the file's name.

WARNINGS = {
    "clean": b"qmail-clean unable to clean up %s",
    "stat": b"unable to stat %s",
    "stat later": b"unable to stat %s; will try again later",
    "utime": b"unable to utime %s; message will be retried too soon",
    "unlink": b"unable to unlink %s",
    "unlink later": b"unable to unlink %s; will try again later",
    "mark": b"trouble marking %s; message will be delivered twice!",
    "open": b"unable to open %s",
    "open later": b"trouble opening %s; will try again later",
    "read": b"trouble reading %s",
    "read later": b"trouble reading %s; will try again later",
    "record": b"unknown record type in %s",
    "record later": b"unknown record type in %s!",
    "create": b"unable to create %s",
    "write": b"trouble writing to %s",
    "fsync": b"trouble fsyncing %s",
    "listen": b"unable to listen on %s; users cannot be told to whom their mail still goes",  # ours
}
NO_QUEUE_PROGRAM = b"warning: unable to start qmail-queue, will try later\n"
NO_BOUNCE = b"warning: trouble injecting bounce message, will try later\n"
OUT_OF_RANGE = b"warning: internal error: delivery report out of range\n"


def login_refused(relay: bytes) -> bytes:
    """A relay does not take what control/smtpauth has; ours.  relay: as rules/report.waiting_for."""
    name = safe(relay.removesuffix(b".")).replace(b"_port_", b" port ")
    return b"warning: the relay %s refuses our login; its mail waits: mend control/smtpauth\n" % name


def set_back(seconds: int) -> bytes:
    """Somebody has set the clock back; ours."""
    return b"warning: the clock was set back by %d seconds; mail that waits is due as much earlier\n" % seconds


def warning(what: str, name: bytes) -> bytes:
    """what: a key of WARNINGS; name: of the file, relative to the queue."""
    return b"warning: %s\n" % (WARNINGS[what] % name)
