"""qmail-queuectl: lists messages in the queue; holds, releases, deletes, fails, retries or moves them.

qmail-queuectl [ -ajnH ] [ -s sender ] [ -r recipient ] [ -o age ] [ -y age ] [ -t text ] [ -q queue ] command
[ number ... ]
Commands: list, show, cat, hold, release, delete, bounce, retry, move. -s, -r: patterns with *; -o, -y: older, younger
than 90, 15m, 2h, 3d or 1w; -H: held; -a: all messages; -n: say what would be done; -j: JSON; -q: where to move them, a
queue program or the home of another qmail. Long forms: --sender=, --recipient=, --older=, --younger=, --text=,
--queue=, --held, --all, --dry-run, --json, --show.
Runs as: root, who becomes qmails for good; the owner of an embedded home.
Descriptors: 1 what was found or done; 2 one line if it fails.
Exit codes: 0 done; 1 no such message, or not all could be done; 100 usage; 111 the queue cannot be read, or qmail-send
does not answer.
Files: queue/, read only; what is ordered qmail-send does, and where it does not run, at its next start.
Trusts: what is in the queue, except that it is shown in printable bytes.
"""

from itertools import islice

from qmailpy.disk.home import Home
from qmailpy.disk.queue import entries, orders
from qmailpy.disk.queue.claiming import take_mutex
from qmailpy.disk.queue.entries import Entry
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.rules.date import date822
from qmailpy.skeletons import asking, elsewhere, json_words
from qmailpy.skeletons.ownership import become_owner
from qmailpy.skeletons.queue_choosing import ORDERS, Call
from qmailpy.skeletons.queue_words import as_json
from qmailpy.system import clock, descriptors, identity
from qmailpy.verdict import EXIT, OK, TEMP, Die, words
from qmailpy.wire import asking as question

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_ALL = 1  # exit code
_PAST = {
    b"hold": b"held",
    b"release": b"released",
    b"delete": b"deleted",
    b"bounce": b"failed",
    b"retry": b"retried",
    b"move": b"on its way",
}
_MARKS = {  # order -> as JSON says it, and the list
    orders.HOLD: ("hold", b"held"),
    orders.DELETE: ("delete", b"to be deleted"),
    orders.FAIL: ("bounce", b"to be bounced"),
    orders.MOVE: ("move", b"to be moved"),
}
_WAITS_FOR = {
    question.RUNNING: b"being tried",
    question.HELD: b"when its domain is no longer held (control/holddomains)",
    question.BUSY: b"when its domain has room (control/concurrencydomain)",
}
_LATER = b"later, when what is under way has ended"
_AT_START = b"at the next start of qmail-send"
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def _become_sender(home: Home) -> None:
    """Errors: Die TEMP for a stranger."""
    owner = become_owner(home)
    if owner is not None:
        if identity.my_uid() != owner:
            raise Die(TEMP, b"this home is uid %d's: only he or root may do that" % owner)
        return
    account = home.roles.account("qmails")
    if identity.is_root():
        identity.become(account.uid, account.gid)
    elif identity.my_uid() != account.uid:
        raise Die(TEMP, b"only root may do that; mailq shows everybody his own messages")


class _Control:
    """One run."""

    def __init__(self, home: Home, call: Call) -> None:
        """Nothing is read yet."""
        self._home, self._call, self._paths = home, call, Paths(home)
        self._ordered = orders.letters(self._paths)

    def chosen(self) -> "Iterator[Entry]":
        """The messages that are meant.  Errors: Trouble."""
        choice, now = self._call.choice, clock.now()
        if choice.numbers:
            found = filter(None, (entries.entry(self._paths, number) for number in sorted(choice.numbers)))
        else:
            found = filter(None, entries.entries(self._paths))
        for entry in found:
            if choice.fits(entry, now, held=self._ordered.get(entry.number) == orders.HOLD):
                yield entry

    # list, show, cat

    def show(self) -> int:
        """Result: exit code."""
        count, missing = 0, set(self._call.choice.numbers)
        for some in _in_parts(self.chosen()):
            count += len(some)
            missing -= {entry.number for entry in some}
            states = self._states(some)
            for entry in some:
                self._show(entry, states.get(entry.number, []))
        if not (self._call.json or self._call.choice.numbers):
            descriptors.write_all(1, b"messages: %d\n" % count)
        for number in sorted(missing):
            descriptors.say(b"#%d  no such message" % number)
        return EXIT[OK] if (count or self._call.choice.is_empty) and not missing else NOT_ALL

    def _show(self, entry: Entry, waits: list[bytes]) -> None:
        if self._call.command == b"cat":
            self._cat(entry)
        elif self._call.json:
            json_words.write({**as_json(entry), **self._more(entry, waits)})
        else:
            shown = self._lines(entry, waits, whole=self._call.command == b"show")
            text = (b"\t".join(column.translate(_PRINTABLE) for column in line) + b"\n" for line in shown)
            descriptors.write_all(1, b"".join(text))

    def _states(self, some: list[Entry]) -> dict[int, list[bytes]]:
        """What qmail-send says of these messages; nothing where it does not."""
        numbers = [entry.number for entry in some]
        try:
            answers = list(asking.ask(self._home, question.STATE, question.ANYBODY, numbers))
        except asking.Silent:
            return {}
        return {number: said.split(b" ")[:2] for number, said in answers}

    def _more(self, entry: Entry, waits: list[bytes]) -> dict[str, object]:
        order = self._ordered.get(entry.number)
        told: dict[str, object] = {
            "held": order == orders.HOLD,
            "ordered": None if order is None else _MARKS[order][0],
            "path": self._path(entry).decode(),
        }
        for channel, word in zip(("local", "remote"), waits, strict=False):
            told[f"next_{channel}"] = int(word) if word.isdigit() else word.decode() if word != b"-" else None
        return told

    def _path(self, entry: Entry) -> bytes:
        return self._paths.mess(entry.number)

    def _lines(self, entry: Entry, waits: list[bytes], *, whole: bool) -> "Iterator[tuple[bytes, ...]]":
        """Each line's columns."""
        order = self._ordered.get(entry.number)
        marks = [b"new"] * entry.is_new + ([] if order is None else [_MARKS[order][1]]) + [b"bouncing"] * entry.bouncing
        head = [_date(entry.birth), b"#%d" % entry.number, b"%d" % entry.size, b"<" + entry.sender + b">", *marks]
        yield (b"  ".join(head),)
        if entry.error is not None:
            yield b"", b"warning", words(entry.error)
        for done, channel, address in entry.recipients:
            yield b"  done" if done else b"", channel or b"todo", address
        for channel, word in zip((b"local", b"remote"), waits, strict=False):
            if word.isdigit():
                yield b"", b"next", channel, _date(int(word))
            elif word in _WAITS_FOR:
                yield b"", b"next", channel, _WAITS_FOR[word]
        if whole:
            yield b"", b"file", self._path(entry)

    def _cat(self, entry: Entry) -> None:
        import posix

        try:
            descriptor = posix.open(self._path(entry), posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError as error:
            raise Die(TEMP, b"unable to read #%d: %s" % (entry.number, words(error))) from None
        while piece := posix.read(descriptor, descriptors.READ_SIZE):
            descriptors.write_all(1, piece)
        posix.close(descriptor)

    # hold, release, delete, bounce, retry

    def order(self) -> int:
        """Result: exit code.  Errors: Die TEMP."""
        if self._call.command == b"move" and (fault := elsewhere.fault_of(self._call.text)):
            raise Die(TEMP, fault + b"; nothing was done")
        chosen = list(self.chosen())
        missing = self._call.choice.numbers - {entry.number for entry in chosen}
        results = [(entry.number, b"would be " + _PAST[self._call.command]) for entry in chosen]
        if not self._call.dry:
            results = [(number, self._word(said)) for number, said in self._have_done(chosen)]
        results += [(number, b"no such message") for number in sorted(missing)]
        self._tell(results)
        good = (_PAST[self._call.command], _LATER, _AT_START)
        return EXIT[OK] if results and (self._call.dry or all(word in good for _, word in results)) else NOT_ALL

    def _have_done(self, chosen: list[Entry]) -> "Iterator[tuple[int, bytes]]":
        """Each number, and qmail-send's word.  Errors: Die TEMP."""
        verb = ORDERS[self._call.command]
        try:
            if verb == question.NOW:
                yield from asking.ask(self._home, verb, question.ANYBODY, [entry.number for entry in chosen])
            else:
                pairs = [(entry.number, entry.key) for entry in chosen]
                yield from asking.order(self._home, verb, pairs, self._call.text)
        except asking.Silent as error:
            yield from self._leave_orders(chosen, verb, error.reason)

    def _leave_orders(self, chosen: list[Entry], verb: bytes, reason: bytes) -> "Iterator[tuple[int, bytes]]":
        """Where qmail-send does not run, and as long as it cannot start: what it will find.  Errors: Die TEMP."""
        mutex = take_mutex(self._paths)
        if mutex is None and not reason.startswith(b"qmail-send cannot"):
            reason = b"qmail-send runs, but takes no orders: is it of another version, or C's"
        if mutex is None or verb == question.NOW:
            raise Die(TEMP, reason + b"; nothing was done")
        for entry in chosen:
            if verb != question.RELEASE:
                orders.write(self._paths, entry.number, orders.Order(verb, entry.key, self._call.text))
                yield entry.number, question.DONE if verb == question.HOLD else _AT_START
            elif self._ordered.get(entry.number) in (orders.HOLD, orders.MOVE):
                orders.remove(self._paths, entry.number)
                yield entry.number, question.DONE
            else:
                yield entry.number, question.NOT_HELD
        orders.sync(self._paths)

    def _word(self, said: bytes) -> bytes:
        """What is told of a message.  said: by qmail-send."""
        if ORDERS[self._call.command] == question.NOW:
            return b"retried" if said else b"does not wait: it is held, being tried, or gone"
        if said.startswith(question.FAILED):
            return b"not done: " + said.removeprefix(question.FAILED)
        return {
            question.DONE: _PAST[self._call.command],
            question.LATER: _LATER,
            question.ENDING: b"not done: it is ending by itself",
            question.NOT_HELD: b"was not held",
            b"": b"has gone meanwhile",
        }.get(said, said)

    def _tell(self, results: list[tuple[int, bytes]]) -> None:
        counts: dict[bytes, int] = {}
        for _, word in results:
            counts[word] = counts.get(word, 0) + 1
        if self._call.json:
            told = [{"id": number, "result": word.translate(_PRINTABLE).decode()} for number, word in results]
            json_words.write({"command": self._call.command.decode(), "dry_run": self._call.dry, "messages": told})
            return
        lines = [b"#%d  %s\n" % (number, word.translate(_PRINTABLE)) for number, word in results]
        lines += [b"%s: %d\n" % (word.translate(_PRINTABLE), count) for word, count in counts.items()]
        descriptors.write_all(1, b"".join(lines) or b"no message fits\n")


def _in_parts(found: "Iterator[Entry]") -> "Iterator[list[Entry]]":
    """As many at once as may be asked about."""
    while some := list(islice(found, question.MOST)):
        yield some


def _date(when: int) -> bytes:
    return date822(when).replace(b" -0000\n", b" GMT")


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    import posix

    call = Call(argv)
    _become_sender(home)
    posix.umask(0o077)
    try:
        control = _Control(home, call)
        return control.order() if call.command in ORDERS else control.show()
    except Trouble as trouble:
        text = b"unable to %s %s: %s" % (trouble.what.encode(), trouble.name, words(trouble.error))
        raise Die(TEMP, text) from None
