"""Lines of the log as sentences, for a person at 3 a.m.  Pure.

A line that says nothing beyond what stands in another one of the same message is left out: its sentence is empty.
Whatever a peer or a user has chosen is printable in a sentence, and nothing else is.
"""

from qmailpy.rules import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Fields = dict[str, bytes]
    Clock = Callable[[int], bytes]

_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))
_OUTCOMES = {
    b"success": b"done: ",
    b"deferral": b"not now, it is tried again: ",
    b"failure": b"failed for good: ",
}
_WORDS = (  # a line's beginning, and what it means; the rest of the line follows behind what is marked
    (b"new msg ", b"came into the queue"),
    (b"end msg ", b"its end: nothing is left to do"),
    (b"triple bounce", b"not even the postmaster could be told: what was to be told is thrown away"),
)


def sentence(text: bytes, clock: "Clock") -> bytes:
    """What this line says; empty where another one says it.  clock: shows seconds since the epoch."""
    if text.startswith(trace.PREFIX):
        fields = trace.decode(text[len(trace.PREFIX) :])
        return b"" if fields is None else _of_trace(fields, clock).translate(_PRINTABLE)
    for beginning, words in _WORDS:
        if text.startswith(beginning):
            return words
    return _of_line(text).translate(_PRINTABLE)


def printable(text: bytes) -> bytes:
    """Without bytes that a terminal obeys."""
    return text.translate(_PRINTABLE)


def is_beginning(text: bytes) -> bool:
    """Whether this comes before everything else, though others may have been quicker to say theirs."""
    return text.startswith(trace.PREFIX) and (b" event=received " in text[:80] or b" event=accepted " in text[:80])


def delivery(text: bytes) -> bytes:
    """The number of the delivery that this line is about; empty where it is about none."""
    if text.startswith(trace.PREFIX):
        fields = trace.decode(text[len(trace.PREFIX) :]) or {}
        number = fields.get("delivery", b"")
    else:
        number = text.removeprefix(b"starting ").partition(b":")[0]
        number = number.removeprefix(b"delivery ") if number.startswith(b"delivery ") else b""
    return number if number.isdigit() else b""


def _of_line(text: bytes) -> bytes:
    """One of qmail's own lines, or of ours in its manner."""
    first, _, rest = text.partition(b" ")
    if first == b"info":
        size, _, behind = rest.partition(b": bytes ")[2].partition(b" from ")
        sender, _, qp = behind.rpartition(b" qp ")
        qp, _, uid = qp.partition(b" uid ")
        return b"%s bytes from %s, brought by uid %s (qp %s)" % (size, sender, uid, qp)
    if first == b"starting":
        number, _, behind = rest.removeprefix(b"delivery ").partition(b": msg ")
        return b"delivery %s begins: to %s" % (number, behind.partition(b" to ")[2])
    if first == b"delivery":
        number, _, behind = rest.partition(b": ")
        outcome, _, report = behind.partition(b": ")
        if outcome not in _OUTCOMES:
            return b"delivery %s: the spawner said what makes no sense; it is tried again" % number
        return b"delivery %s %s%s" % (number, _OUTCOMES[outcome], _readable(report))
    if first == b"bounce":
        return b"its sender is told, in the message with qp " + text.rpartition(b" ")[2]
    if first in (b"success", b"delay"):
        what = b"it got through" if first == b"success" else b"it is late"
        return b"its sender had asked for it, and is told that %s, in the message with qp %s" % (
            what,
            text.rpartition(b" ")[2],
        )
    if first == b"held":
        return b"waits: %s is in control/holddomains" % text.partition(b" to remote ")[2].partition(b": ")[0]
    if first == b"no":
        return b"nobody is told of the failure: the sender wants it so (%s)" % text.rpartition(b": ")[2]
    if first == b"order":
        return b"an administrator's order: " + text.partition(b": ")[2].replace(b"_", b" ")
    return text


def _readable(report: bytes) -> bytes:
    """What was said, with its blanks: the log shows them as _, and the end of a line as /.

    A / between two small letters is one, as in control/smtproutes: no line begins so behind a word.
    """
    parts = report.removesuffix(b"/").split(b"/")
    words = [parts[0]]
    for part in parts[1:]:
        is_own = words[-1][-1:].islower() and part[:1].islower()
        words += [b"/" if is_own else b" / ", part]
    return b"".join(words).replace(b"_", b" ")


def _of_trace(fields: "Fields", clock: "Clock") -> bytes:
    event = fields.get("event", b"")
    teller = _TELLERS.get((fields.get("by", b""), event))
    if teller is not None:
        return teller(_Known(fields), clock)
    words = [name.encode() + b"=" + value for name, value in fields.items() if name not in ("msg", "by", "event")]
    return b" ".join([fields.get("by", b"") + b": " + event, *words])


class _Known:
    """Fields, where one that is missing is empty."""

    __slots__ = ("_fields",)

    def __init__(self, fields: "Fields") -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> bytes:
        return self._fields.get(name, b"")

    def number(self, name: str) -> int:
        """A number that is bounded; 0 for what is none."""
        digits = self[name]
        return int(digits) if 0 < len(digits) < 16 and not digits.strip(b"0123456789") else 0


def _accepted(known: _Known, _: "Clock") -> bytes:
    role = b" (%s)" % known["role"] if known["role"] else b""
    name = b", Message-ID " + known["id"] if known["id"] else b""
    if not known.number("pid"):
        return b"the door took it from drop/, where uid %s had left it%s%s" % (known["uid"], role, name)
    return b"the door took it from uid %s%s, process %s%s" % (known["uid"], role, known["pid"], name)


def _received(known: _Known, _: "Clock") -> bytes:
    helo = b", which calls itself " + known["helo"] if known["helo"] else b""
    login = b", logged in as " + known["login"] if known["login"] else b""
    how = b"QMTP" if known["by"] == b"qmail-qmtpd" else b"SMTP"
    return b"came by %s from %s%s%s" % (how, known["client"] or b"this host", helo, login)


def _routed(known: _Known, _: "Clock") -> bytes:
    file, colon, line = known["rule"].partition(b":")
    rule = b"control/%s has %s" % (file, line or b"a line for everybody")
    if not colon:
        rule = b"neither control/locals nor control/virtualdomains has it"
    changed = b" as " + known["address"] if known["address"] != known["recipient"] else b""
    return b"%s is %s%s: %s" % (known["recipient"], known["channel"], changed, rule)


def _tried(known: _Known, _: "Clock") -> bytes:
    return b"  the last attempt: it is too old for another one" if known["last"] else b""


def _result(known: _Known, _: "Clock") -> bytes:
    expired = b", and it was too old to be tried again" if known["expired"] else b""
    if known["seconds"] in (b"", b"0.0") and not expired:
        return b""
    return b"  delivery %s took %s s%s" % (known["delivery"], known["seconds"], expired)


def _waits(known: _Known, clock: "Clock") -> bytes:
    return b"waits: the %s recipients are tried again at %s" % (known["channel"], clock(known.number("until")))


def _held(known: _Known, _: "Clock") -> bytes:
    if not known.number("limit"):
        return b""
    words = b"waits for room: %s deliveries at once to %s are all that control/concurrencydomain allows"
    return words % (known["limit"], known["domain"])


def _user(known: _Known, _: "Clock") -> bytes:
    where = b"among the accounts" if known["by-file"] == b"accounts" else b"by " + known["by-file"]
    return b"  user %s (uid %s, home %s), found %s" % (known["user"], known["uid"], known["home"], where)


def _dotqmail(known: _Known, _: "Clock") -> bytes:
    file = b"the default delivery" if known["file"] == b"default" else known["file"]
    return b"  his own process says: by %s: %s" % (file, known["went"] or b"nothing was begun")


def _executed(known: _Known, _: "Clock") -> bytes:
    return b"  %s is executed, which tells nothing of its own" % known["program"]


def _remote_route(known: _Known, _: "Clock") -> bytes:
    file, colon, line = known["rule"].partition(b":")
    if not colon:
        return b"  %s: no line of control/smtproutes is about it, so by its MX" % known["host"]
    where = b"its line for everything" if not line else b"its line for " + line
    return b"  %s: control/%s, %s: %s" % (known["host"], file, where, known["line"])


def _addresses(known: _Known, _: "Clock") -> bytes:
    return b"  %s to try, in this order: %s" % (known["count"], known["tried"])


def _skipped(known: _Known, _: "Clock") -> bytes:
    return b"  %s (%s) is left out: it timed out too often lately (qmail-tcpto)" % (known["address"], known["host"])


def _connected(known: _Known, _: "Clock") -> bytes:
    who = b"%s (%s)" % (known["address"], known["host"])
    if known["result"] == b"warm":
        return b"  goes on with the open connection to " + who
    return (
        b"  connected to " + who if known["result"] == b"new" else b"  no connection to %s: %s" % (who, known["result"])
    )


def _answered(known: _Known, _: "Clock") -> bytes:
    step = b"at the end" if known["step"] == b"done" else b"at " + known["step"]
    return b"  %s %s said: %s" % (known["address"], step, known["reply"])


def _dialogue(known: _Known, _: "Clock") -> bytes:
    who = b"we say: " if known["said"] else b"%s says: " % known["peer"] if known["heard"] else b""
    return b"    " + who + (known["said"] or known["heard"] or known["note"])


def _nothing(_: _Known, __: "Clock") -> bytes:
    return b""


_SEND, _REMOTE = b"qmail-send", b"qmail-remote"
_TELLERS: "dict[tuple[bytes, bytes], Callable[[_Known, Clock], bytes]]" = {
    (b"qmail-queued", b"accepted"): _accepted,
    (b"qmail-smtpd", b"received"): _received,
    (b"qmail-qmtpd", b"received"): _received,
    (_SEND, b"new"): _nothing,
    (_SEND, b"route"): _routed,
    (_SEND, b"try"): _tried,
    (_SEND, b"result"): _result,
    (_SEND, b"wait"): _waits,
    (_SEND, b"held"): _held,
    (_SEND, b"bounce"): _nothing,
    (_SEND, b"end"): _nothing,
    (b"qmail-lspawn", b"user"): _user,
    (b"qmail-local", b"dotqmail"): _dotqmail,
    (b"qmail-rspawn", b"execute"): _executed,
    (_REMOTE, b"route"): _remote_route,
    (_REMOTE, b"addresses"): _addresses,
    (_REMOTE, b"skip"): _skipped,
    (_REMOTE, b"connect"): _connected,
    (_REMOTE, b"tls"): lambda known, _: b"  by " + known["facts"],
    (_REMOTE, b"login"): lambda known, _: b"  logged in as " + known["user"],
    (_REMOTE, b"answer"): _answered,
    (_REMOTE, b"dialogue"): _dialogue,
}
