"""qmail-queuecheck: finds what is wrong in the queue, and mends it.

qmail-queuecheck [ -jnv ] [ --mend ]
Without --mend, or with -n (--dry-run), nothing is changed; it says what is wrong and what would be done. -j, --json:
one JSON object. -v: all of it, where many things of a kind are wrong.
Runs as: root, or the owner of an embedded home.
Descriptors: 1 what was found; 2 how far it is, and one line if it fails.
Exit codes: 0 nothing is wrong (any more); 1 something is; 100 usage; 111 it could not look, or not mend.
Files: queue/; what makes no sense goes to aside/ in it, and nothing is deleted. door/lock, drop/.
Trusts: nobody; the queue's directories belong to roles that root does not trust, and no link in them is followed.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.disk.layout import HOME, QUEUE
from qmailpy.disk.queue import checking, checking_mending
from qmailpy.disk.queue.checking_rules import NUMBER, Finding, Judgement, Owners
from qmailpy.disk.queue.holder import holder
from qmailpy.disk.queue.paths import Paths
from qmailpy.disk.queue.recipients import Trouble
from qmailpy.install import owners as ownership
from qmailpy.install.tree import Tree
from qmailpy.install.verify import Verifier
from qmailpy.rules import options
from qmailpy.skeletons import json_words
from qmailpy.skeletons.ownership import become_owner
from qmailpy.system import clock, descriptors, door, identity
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, words

USAGE = b"usage: qmail-queuecheck [ -jnv ] [ --mend ]"
WRONG = 1  # exit code
_SHOWN = 20  # findings of one kind
_ROUNDS = 20  # looks and repairs; eight are needed at most
_DOOR = ("door", "door/lock", "drop", "drop/aside")


def _say(line: bytes) -> None:
    descriptors.say(b"qmail-queuecheck: " + line)


def _let_go(locks: list[int]) -> None:
    for descriptor in locks:
        posix.close(descriptor)


class _Check:
    """One run."""

    def __init__(self, home: Home, owners: ownership.Owners, *, json: bool, verbose: bool) -> None:
        """json, verbose: how it is shown."""
        self._home, self._all, self._json, self._verbose = home, owners, json, verbose
        self._owners = Owners(owners.uid["qmailq"], owners.uid["qmails"], owners.gid["qmail"])
        self._tree = Tree(home.path, owners, lambda line: _say(line.encode()))
        self._folders = checking.Folders(self._open())
        self._layout = [entry for entry in HOME if entry.path in _DOOR] + QUEUE
        if checking_mending.is_shut(self._folders):
            self._layout = [entry for entry in self._layout if not entry.path.endswith("/sendmutex")]

    def _open(self) -> int:
        try:
            return self._tree.open_folder("queue")
        except OSError as error:
            raise Die(TEMP, b"unable to open " + self._home.queue + b": " + words(error)) from None

    def look(self) -> Judgement:
        """Errors: OSError."""
        inventory = checking.Inventory(self._folders, _say)
        return Judgement(self._folders, inventory, self._owners, clock.now())

    def _faults(self) -> list[Finding]:
        """Of the directories, and that a mending was interrupted."""
        verifier = Verifier(self._home.path, self._all, {})
        for entry in self._layout:
            verifier.entry(entry)
        found = [Finding(b"layout", fault.encode(), b"make it so", ()) for fault in verifier.found.faults]
        if checking_mending.is_shut(self._folders):
            text = b"qmail-queuecheck --mend was interrupted, and qmail-send cannot start"
            found.append(Finding(b"number", text, b"finish what was begun", ()))
        return found

    def report(self) -> int:
        """Change nothing.  Result: exit code."""
        faults, judgement = self._faults(), self.look()
        if judgement.findings:  # somebody may be at work: what is wrong looks wrong twice
            seen = {finding.text for finding in judgement.findings}
            judgement = self.look()
            judgement.findings = [finding for finding in judgement.findings if finding.text in seen]
        findings = faults + judgement.findings
        pid = holder(Paths(self._home))
        if pid:
            judgement.notes.append(b"qmail-send runs (pid %d)" % pid)
        self._show(findings, judgement)
        if findings and not self._json:
            text = b"%d things are wrong; nothing was changed (qmail-queuecheck --mend mends)\n" % len(findings)
            descriptors.write_all(1, text)
        return WRONG if findings else EXIT[OK]

    def mend(self) -> int:
        """Result: exit code.  Errors: Die, Trouble, OSError."""
        _let_go(self._stop_others())
        found = self._faults()
        self._tree.make(self._layout)
        held = self._stop_others()  # the files of the locks may have been made just now
        stamp = clock.utc_digits(clock.now())
        mending = checking_mending.Mending(self._folders, self._owners, stamp, _say)
        shown: set[bytes] = set()
        try:
            judgement = self._mend(mending, found, shown)
        finally:
            _let_go(held)
        self._show(found, judgement, mended=True)
        if found and not self._json:
            descriptors.write_all(1, b"%d things were wrong and are mended\n" % len(found))
        return EXIT[OK]

    def _mend(self, mending: checking_mending.Mending, found: list[Finding], shown: set[bytes]) -> Judgement:
        renaming = False  # then messages are half way by our own doing
        for _ in range(_ROUNDS):
            judgement = self.look()
            fresh = [finding for finding in judgement.findings if finding.text not in shown]
            found += [finding for finding in fresh if not (renaming and finding.kind == b"number")]
            shown |= {finding.text for finding in fresh}
            stage = checking_mending.stage_of(judgement.findings)
            if stage is None:
                mending.reopen()
                return judgement
            before = mending.done
            if stage == NUMBER:
                renaming = True
                mending.shut()
                mending.number(judgement.messages)
            else:
                mending.repair([finding for finding in judgement.findings if finding.stage == stage])
            if mending.done == before:
                break
        raise Die(TEMP, b"this cannot be mended: " + judgement.findings[0].text)

    def _stop_others(self) -> list[int]:
        """Hold both locks.  Errors: Die TEMP where somebody works here."""
        path = self._home.at(b"door", b"lock")
        try:
            lock = door.lock(path)
        except FileNotFoundError:  # without its directory there is no door
            lock = -1
        if lock is None:
            text = b"qmail-queued runs, and takes messages: stop it first (it holds " + path + b")"
            raise Die(TEMP, text)
        held = checking_mending.hold(self._folders)
        if held is None:
            _let_go([lock] if lock >= 0 else [])
            pid = holder(Paths(self._home))
            raise Die(TEMP, b"qmail-send runs%s: stop it first" % (b" (pid %d)" % pid if pid else b""))
        return [*([lock] if lock >= 0 else []), *held]

    def _show(self, findings: list[Finding], judgement: Judgement, *, mended: bool = False) -> None:
        if self._json:
            self._show_json(findings, judgement, mended=mended)
            return
        lines, counts = [], dict.fromkeys((finding.kind for finding in findings), 0)
        for finding in findings:
            counts[finding.kind] += 1
            if self._verbose or counts[finding.kind] <= _SHOWN:
                lines.append(finding.text + b": " + finding.cure)
        if not self._verbose:
            more = ((kind, count - _SHOWN) for kind, count in counts.items() if count > _SHOWN)
            lines += [b"... and %d more like it (%s; -v shows all)" % (count, kind) for kind, count in more]
        lines += [b"note: " + note for note in (*judgement.notes, *self._waiting())]
        lines.append(b"messages: %d" % len(judgement.messages))
        descriptors.write_all(1, b"".join(line.translate(_PRINTABLE) + b"\n" for line in lines))

    def _waiting(self) -> list[bytes]:
        """Notes about drop/: it is the door's."""
        notes = []
        for path, text in ((b"drop", b"wait in drop/ for the door"), (b"drop/aside", b"were set aside by the door")):
            try:
                names = posix.listdir(self._home.at(path))
            except OSError:
                continue
            count = sum(1 for name in names if not name.startswith(b".") and name != b"aside")
            if count:
                notes.append(b"%d files %s" % (count, text))
        return notes

    def _show_json(self, findings: list[Finding], judgement: Judgement, *, mended: bool) -> None:
        def word(text: bytes) -> str:
            return text.translate(_PRINTABLE).decode()

        told: dict[str, object] = {
            "findings": [
                {"kind": word(each.kind), "text": word(each.text), "cure": word(each.cure)} for each in findings
            ],
            "notes": [word(note) for note in (*judgement.notes, *self._waiting())],
            "messages": len(judgement.messages),
            "mended": mended,
        }
        json_words.write(told)


_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def _owners(home: Home) -> ownership.Owners:
    """Who should own what, once we are who may look.  Errors: Die TEMP for a stranger."""
    owner = become_owner(home)
    if owner is not None:
        if identity.my_uid() != owner:
            raise Die(TEMP, b"this home is uid %d's: only he or root may look into the queue" % owner)
        return ownership.embedded(owner, identity.my_gid())
    if not identity.is_root():
        raise Die(TEMP, b"only root may look into all of the queue")
    return ownership.classic()


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        found, others = options.parse(argv[1:], b"jmnv-;")
    except options.UsageError as error:
        raise Die(PERM, error.text + b"\n" + USAGE) from None
    letters = {letter for letter, _ in found}
    longs = {value for letter, value in found if letter == b"-"}
    if others or longs - {b"json", b"mend", b"dry-run"}:
        raise Die(PERM, USAGE)
    posix.umask(0o077)
    check = _Check(home, _owners(home), json=b"j" in letters or b"json" in longs, verbose=b"v" in letters)
    try:
        if (b"m" in letters or b"mend" in longs) and not (b"n" in letters or b"dry-run" in longs):
            return check.mend()
        return check.report()
    except Trouble as trouble:
        raise Die(TEMP, b"unable to mend " + trouble.name + b": " + words(trouble.error)) from None
    except OSError as error:
        raise Die(TEMP, b"unable to look into the queue: " + words(error)) from None
