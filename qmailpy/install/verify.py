"""What is wrong with a home: every owner, mode, type and file, one clear line for each fault.

Notes are things that are allowed and yet worth a look: they do not make a home wrong.
"""

import os
import stat

from qmailpy.disk import control, secret
from qmailpy.disk.control_kinds import KINDS, claimed_twice
from qmailpy.disk.layout import Entry
from qmailpy.install import commands, interpreter, library, placed, reception, secrets, tree
from qmailpy.install.owners import Owners
from qmailpy.skeletons.control_doubts import doubts
from qmailpy.verdict import Die, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFLNK: "a link",
    stat.S_IFSOCK: "a socket",
}
_IMPORTS = (
    b"import sys; sys.path.insert(0, sys.argv[1]); import qmailpy.programs, setproctitle, dns.name, daemon, cdblib"
)
_MARK = b"# Starts "  # how the second line of a launcher begins


class Findings:
    """faults: the home is wrong; notes: worth knowing."""

    __slots__ = ("faults", "notes")

    def __init__(self) -> None:
        """Nothing found."""
        self.faults: list[str] = []
        self.notes: list[str] = []


class Verifier:
    """Looks at one home and changes nothing.

    programs: name -> mode; owners: who should own what; others_run: whether other users run the programs, too.
    """

    def __init__(self, home: bytes, owners: Owners, programs: "Mapping[str, int]", *, others_run: bool = True) -> None:
        """home: absolute."""
        self._home, self._owners, self._programs, self._others_run = home, owners, programs, others_run
        self.found = Findings()

    def everything(self, expected: bytes | None = None) -> Findings:
        """All checks.  expected: the name of the library that this checkout would install."""
        if not os.path.isdir(self._home):
            self.found.faults.append(f"{os.fsdecode(self._home)} does not exist (make setup)")
            return self.found
        self.parents()
        for entry in tree.entries():
            self.entry(entry)
        self.record()
        self.programs()
        self.library(expected)
        self.socket()
        self.controls()
        self.logins()
        self.secrets()
        self.found.notes += reception.notes(self._home)
        return self.found

    def _fault(self, text: str) -> None:
        self.found.faults.append(text)

    def _look(self, path: bytes, *, follow: bool = False) -> os.stat_result | None:
        """Lstat; what cannot be looked at is a fault, and None."""
        try:
            return os.stat(path) if follow else os.lstat(path)
        except FileNotFoundError:
            self._fault(f"{os.fsdecode(path)} does not exist (make setup)")
        except OSError as error:
            self._fault(f"{os.fsdecode(path)} cannot be looked at: {words(error).decode()} (check needs root)")
        return None

    def _owner_and_mode(self, path: bytes, status: os.stat_result, uid: int, gid: int, mode: int) -> None:
        shown = os.fsdecode(path)
        if (status.st_uid, status.st_gid) != (uid, gid):
            what = "owner" if status.st_uid != uid else "group"
            self._fault(
                f"{shown} has wrong {what}: is {status.st_uid}:{status.st_gid}, should be {uid}:{gid} "
                f"(chown {uid}:{gid} {shown})"
            )
        if stat.S_IMODE(status.st_mode) != mode:
            # with fewer than five digits chmod leaves a directory's set-gid bit as it is
            digits = f"{mode:05o}" if stat.S_ISDIR(status.st_mode) else f"{mode:04o}"
            self._fault(
                f"{shown} has wrong mode: is {stat.S_IMODE(status.st_mode):04o}, should be {mode:04o} "
                f"(chmod {digits} {shown})"
            )

    def parents(self) -> None:
        """Whoever can write in a directory above the home can put another home in its place."""
        path = os.path.realpath(self._home)
        while path != b"/":
            path = os.path.dirname(path)
            mode = os.stat(path).st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                self._fault(f"{os.fsdecode(path)} can be written by everybody (chmod o-w {os.fsdecode(path)})")

    def entry(self, entry: Entry) -> None:
        """One line of the layout's tables."""
        path = tree.where(self._home, entry.path)
        status = self._look(path)
        if status is not None and stat.S_ISLNK(status.st_mode) and entry.kind == "dir":
            status = self._look(path, follow=True)
        if status is None:
            return
        shown = os.fsdecode(path)
        kind = stat.S_IFMT(status.st_mode)
        if kind != tree.KINDS[entry.kind]:
            is_now = _KINDS.get(kind, "something else")
            self._fault(
                f"{shown} has wrong type: is {is_now}, should be {tree.WORDS[entry.kind]} (move it away; make setup)"
            )
            return
        uid, gid = self._owners.uid[entry.owner], self._owners.gid[entry.group]
        self._owner_and_mode(path, status, uid, gid, entry.mode)
        if entry.kind == "file" and status.st_size < entry.size:
            self._fault(f"{shown} has wrong size: is {status.st_size}, should be {entry.size} (make setup)")

    def record(self) -> None:
        """What setup placed outside lib/, as lib/installed remembers it."""
        record = placed.read_record(self._home)
        if not record:
            self._fault(f"{os.fsdecode(self._home)}/lib/installed does not exist (make setup)")
        for path, wrote in sorted(record.items()):
            self._placed(self._home + b"/" + os.fsencode(path), path, wrote)
        for name in sorted(set(self._programs) - {path.rpartition("/")[2] for path in record}):
            self._fault(f"{os.fsdecode(self._home)}/bin/{name} does not exist (make setup)")

    def _placed(self, whole: bytes, path: str, wrote: placed.Wrote) -> None:
        status = self._look(whole)
        if status is None:
            return
        shown = os.fsdecode(whole)
        try:
            now = placed.state(whole, wrote)
        except OSError as error:
            self._fault(f"{shown} cannot be read: {words(error).decode()} (check needs root)")
            return
        if now == placed.OLDER:
            self._fault(f"{shown} is of an older version (make setup)")
        elif now == placed.CHANGED:
            self._changed(whole, path, status)
            return
        self._owner_and_mode(whole, status, self._owners.uid["root"], self._owners.gid["qmail"], wrote.mode)

    def _changed(self, whole: bytes, path: str, status: os.stat_result) -> None:
        """Somebody's own version: a wrapper is welcome, a damaged launcher is not."""
        shown = os.fsdecode(whole)
        again = f"make setup FORCE={path.rpartition('/')[2]}"
        if not path.startswith("bin/"):
            self.found.notes.append(f"{shown} was changed by somebody; setup leaves it ({again} restores it)")
            return
        content = placed.content_at(os.path.realpath(whole))
        if content is None or not os.stat(whole).st_mode & 0o111:
            self._fault(f"{shown} is no program ({again})")
        elif not content or content.partition(b"\n")[2].startswith(_MARK):
            self._fault(f"{shown} has wrong content: a launcher that setup did not write ({again})")
        else:
            self.found.notes.append(f"{shown} is not ours and is really executed ({again} restores ours)")
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o022:
            self._fault(f"{shown} can be written by others (chmod go-w {shown})")

    def programs(self) -> None:
        """That the interpreter in the launchers' first line runs, is of the right kind, and loads the library."""
        lines = set()
        for name in self._programs:
            try:
                content = placed.content_at(self._home + b"/bin/" + name.encode()) or b""
            except OSError:  # said already
                continue
            line, _, rest = content.partition(b"\n")
            if rest.startswith(_MARK):
                lines.add(line)
        for line in sorted(lines):
            self._interpreter(line)

    def _interpreter(self, line: bytes) -> None:
        path = interpreter.of_line(line)
        if path is None:
            self._fault(f"bin/: '{os.fsdecode(line)}' is not an interpreter line of ours (make setup)")
            return
        shown = os.fsdecode(path)
        kind = interpreter.kind_of(path)
        if kind is None:
            self._fault(f"{shown} does not run: all mail waits until it does (install it, or make setup)")
            return
        if kind != interpreter.our_kind():
            self._fault(f"{shown} is {kind}, but the library was made for {interpreter.our_kind()} (make setup)")
            return
        closed = interpreter.closed_at(path)
        if closed is not None and self._others_run:
            self._fault(f"{shown} cannot be run by other users: {os.fsdecode(closed)} is closed to them (make setup)")
        ending, said = commands.output_of([path, interpreter.OPTIONS, b"-c", _IMPORTS, self._home + b"/lib/current"])
        if ending.code or ending.signal:
            last = said.strip().rpartition(b"\n")[2].decode("ascii", "replace")
            self._fault(f"{shown} cannot load {os.fsdecode(self._home)}/lib/current: {last} (make setup)")

    def library(self, expected: bytes | None) -> None:
        """That lib/current leads to a whole library, the one that this checkout makes."""
        current = self._home + b"/lib/current"
        status = self._look(current)
        if status is None:
            return
        shown = os.fsdecode(current)
        if not stat.S_ISLNK(status.st_mode):
            self._fault(f"{shown} is not a link (move it away; make setup)")
            return
        target = os.readlink(current)
        if os.path.dirname(target) != self._home + b"/lib":
            self._fault(f"{shown} leads to {os.fsdecode(target)}, not into {os.fsdecode(self._home)}/lib (make setup)")
            return
        self.found.faults += library.faults(target, self._owners, deep=True)
        if expected is not None and os.path.basename(target) != expected:
            self._fault(
                f"{shown} is another version than this checkout: {expected.decode()} is not installed (make setup)"
            )

    def socket(self) -> None:
        """The door's socket, while there is one."""
        path = self._home + b"/door/socket"
        try:
            status = os.lstat(path)
        except OSError:  # the door is closed, or (said already) cannot be looked at
            return
        if not stat.S_ISSOCK(status.st_mode) or stat.S_IMODE(status.st_mode) != 0o666:
            shown = os.fsdecode(path)
            self._fault(f"{shown} is not a socket that everybody may connect to (stop the door; rm {shown})")

    def logins(self) -> None:
        """control/smtpauth, if it is there, is qmailr's and nobody else's to read: else no login in it is used."""
        path = self._home + b"/control/smtpauth"
        try:
            status = os.lstat(path)
        except OSError:
            return
        shown, uid = os.fsdecode(path), self._owners.uid["qmailr"]
        if not stat.S_ISREG(status.st_mode):
            self._fault(f"{shown} is not a file: the logins in it are not used")
        elif status.st_uid != uid or status.st_mode & secret.OTHERS:
            who, mode = status.st_uid, stat.S_IMODE(status.st_mode)
            self._fault(
                f"{shown} has wrong owner or mode: is {who} {mode:04o}, should be {uid} 0400; no login in it is used "
                f"(chown {uid} {shown}; chmod 0400 {shown})"
            )

    def secrets(self) -> None:
        """users/passwords and the server's certificates, where they are."""
        faults, notes = secrets.look(self._home, self._owners)
        self.found.faults += faults
        self.found.notes += notes

    def controls(self) -> None:
        """control/me is the only file that must be there, once mail is to move; what is there should mean what it says.

        What a file says is its administrator's affair: notes, no faults.
        """
        shown = f"{os.fsdecode(self._home)}/control"
        if not os.path.exists(self._home + b"/control/me"):
            self.found.notes.append(f"{shown}/me does not exist yet (bin/config-fast your.host.name)")
        lists: dict[bytes, list[bytes]] = {}
        for name in KINDS:
            try:
                text = control.read(self._home + b"/control/" + name)
            except Die as death:
                self._fault(death.text.decode("ascii", "replace"))
                continue
            if text is None:
                continue
            lists[name] = control.entries(text)
            self.found.notes += [f"{shown}/{name.decode()}: {said.decode()}" for said in doubts(name, text)]
        for domain in claimed_twice(lists.get(b"locals", []), lists.get(b"virtualdomains", [])):
            self.found.notes.append(f"{shown}/virtualdomains: locals has {os.fsdecode(domain)} too, and wins")
