"""What is wrong in a queue, and what is to be done about it: qmail-queuecheck's rules (spec/02 1, 2, 6).

Nothing that may be mail is deleted: what makes no sense goes to aside/. Stages are done one after the other, and all
is looked at anew after each:
  REPAIR  aside/, the right directory, owner, mode, a torn end; so that there is nothing in anybody's way
  PART    files that are one on the disk under two names get each their own
  NUMBER  messages whose file has another inode than their name says (checking_numbers)
"""

import stat

from qmailpy.disk.layout import OSSIFIED
from qmailpy.disk.queue import checking_contents as contents
from qmailpy.disk.queue.checking import (
    ASIDE,
    BOUNCE,
    INFO,
    INTD,
    LOCAL,
    MESS,
    ORDERS,
    PID,
    REMOTE,
    SIDES,
    TODO,
    Folders,
    Inventory,
    Item,
    Label,
    home_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

REPAIR, PART, NUMBER = range(3)  # stages
_WHAT = {stat.S_IFDIR: b"a directory", stat.S_IFLNK: b"a symbolic link", stat.S_IFIFO: b"a named pipe"}
_OF_QUEUE = frozenset((MESS, INTD, TODO))  # qmailq's, the others are qmails'
_MODES = {True: 0o644, False: 0o600}  # by the same


class Owners:
    """Whose the files of the queue are: uids of qmailq and qmails, gid of qmail."""

    __slots__ = ("gid", "queue", "sender")

    def __init__(self, queue: int, sender: int, gid: int) -> None:
        """As numbers."""
        self.queue, self.sender, self.gid = queue, sender, gid

    def of(self, kind: bytes) -> tuple[int, int]:
        """Owner and mode of a file of this kind."""
        of_queue = kind in _OF_QUEUE
        return self.queue if of_queue else self.sender, _MODES[of_queue]


class Action:
    """One thing to do.  verb: b"aside", b"move", b"own", b"cut", b"part", b"rmdir"; folder, name: where to."""

    __slots__ = ("folder", "item", "name", "size", "verb")

    def __init__(self, verb: bytes, item: Item | None, folder: bytes = b"", name: bytes = b"", size: int = 0) -> None:
        """size: to which a torn file is cut."""
        self.verb, self.item, self.folder, self.name, self.size = verb, item, folder, name, size


class Finding:
    """Something that is wrong.  kind: a word; text, cure: sentences without a full stop."""

    __slots__ = ("actions", "cure", "kind", "stage", "text")

    def __init__(self, kind: bytes, text: bytes, cure: bytes, actions: "Iterable[Action]", stage: int = REPAIR) -> None:
        """actions: empty for NUMBER."""
        self.kind, self.text, self.cure = kind, text, cure
        self.actions, self.stage = list(actions), stage


class Message:
    """A message that is there, and what there is besides it."""

    __slots__ = ("item", "label", "sides")

    def __init__(self, label: Label, item: Item) -> None:
        """item: of mess/."""
        self.label, self.item = label, item
        self.sides: dict[bytes, tuple[Label, Item]] = {}

    @property
    def number(self) -> int:
        """The one that it must have."""
        return self.item.inode

    @property
    def is_right(self) -> bool:
        """Whether that is its name."""
        return not self.label.new and self.label.number == self.number

    @property
    def is_under_way(self) -> bool:
        """Whether it has left its old name for good."""
        return self.label.new == self.number

    @property
    def files(self) -> list[Item]:
        """All of it."""
        return [self.item, *(item for _, item in self.sides.values())]


class Judgement:
    """findings: what is wrong; notes: what is worth knowing; messages: those that are there."""

    def __init__(self, folders: Folders, inventory: Inventory, owners: Owners, now: int) -> None:
        """now: seconds since the epoch.  Errors: OSError."""
        self._folders, self._owners, self._now = folders, owners, now
        self.findings: list[Finding] = []
        self.notes: list[bytes] = []
        self._plain: dict[int, Message] = {}  # by the number in its name
        self._under_way: dict[int, Message] = {}  # by its old number
        self._judge_strays(inventory)
        self._gather(inventory)
        self.messages = [*self._plain.values(), *self._under_way.values()]
        for message in self.messages:
            self._judge(message)
        self._judge_links(inventory)

    def _find(self, kind: bytes, text: bytes, cure: bytes, *actions: Action, stage: int = REPAIR) -> None:
        self.findings.append(Finding(kind, text, cure, actions, stage))

    def _set_aside(self, kind: bytes, text: bytes, items: "Iterable[Item]") -> None:
        listed = list(items)
        cure = b"set aside: " + b", ".join(item.path for item in listed)
        self._find(kind, text, cure, *(Action(b"aside", item) for item in listed))

    # what is no file of a message

    def _judge_strays(self, inventory: Inventory) -> None:
        for item in inventory.strays:
            what = b"no name of a message" if item.is_file else _WHAT.get(stat.S_IFMT(item.mode), b"no file")
            self._set_aside(b"stray", b"%s is %s" % (item.path, what), [item])
        for path in inventory.empty:
            cure = b"remove the empty directory"
            self._find(b"layout", path + b" is a directory of another layout", cure, Action(b"rmdir", None, path))
        self.notes += [b"queue/%s is nothing of ours; it is left alone" % name for name in inventory.foreign]
        if inventory.aside:
            self.notes.append(b"aside/ has %d files that were set aside: look at them" % inventory.aside)

    # who belongs to whom

    def _gather(self, inventory: Inventory) -> None:
        for label, item in sorted(inventory.files[MESS], key=_rank):
            table = self._under_way if label.new else self._plain
            if label.number in table:
                text = b"%s claims the number of %s" % (item.path, table[label.number].item.path)
                self._set_aside(b"double", text, [item])
            else:
                table[label.number] = Message(label, item)
        self._arriving = {each.number: each for each in self._under_way.values() if each.is_under_way}
        orphans: dict[bytes, list[Item]] = {}
        for kind in SIDES:
            for label, item in sorted(inventory.files[kind], key=_rank):
                message = self._owner_of(label)
                if message is None:
                    orphans.setdefault(label.name, []).append(item)
                elif kind in message.sides:
                    text = b"%s is there besides %s" % (item.path, message.sides[kind][1].path)
                    self._set_aside(b"double", text, [item])
                else:
                    message.sides[kind] = label, item
        for name, items in orphans.items():
            kinds = {item.kind for item in items}
            envelope = kinds & {TODO, INFO}
            text = (
                b"message %s has lost its text: there is no such file in mess/" % name
                if envelope
                else (b"%s belongs to no message" % items[0].path)
            )
            self._set_aside(b"lost" if envelope else b"litter", text, items)

    def _owner_of(self, label: Label) -> Message | None:
        plain = self._plain.get(label.number)
        if not label.new:
            return plain or self._arriving.get(label.number)
        if label.number in self._under_way:
            return self._under_way[label.number]
        if plain is not None and not plain.is_right:
            return plain
        target = self._plain.get(label.new)
        return target if target is not None and target.is_right else None

    # one message

    def _judge(self, message: Message) -> None:
        if not self._is_sound(message):
            return
        for item in message.files:
            self._judge_owner(item)
        settled = message.is_right or message.is_under_way
        for label, item in ((message.label, message.item), *message.sides.values()):
            where = home_of(item.kind, label.new or label.number)
            if settled and item.folder != where:
                action = Action(b"move", item, where, item.name)
                self._find(b"folder", item.path + b" is in the wrong directory", b"move it to " + where, action)
        if message.is_under_way or any(label.new for label, _ in message.sides.values()):
            text = b"message %s is half way to number %d" % (message.label.name, message.number)
            self._find(b"number", text, b"finish what was begun", stage=NUMBER)
        elif not message.is_right:
            text = b"%s has inode %d, which must be its number" % (message.item.path, message.number)
            self._find(b"number", text, b"rename all of it to %d" % message.number, stage=NUMBER)

    def _is_sound(self, message: Message) -> bool:
        """False where all of it is set aside."""
        sides = {kind: item for kind, (_, item) in message.sides.items()}
        fault = self._fault_of(sides)
        if fault:
            self._set_aside(b"envelope", b"message %s: %s" % (message.label.name, fault), message.files)
            return False
        for kind in (LOCAL, REMOTE) if TODO not in sides else ():
            if kind in sides:
                whole = contents.channel(self._folders, sides[kind]).whole
                if whole < sides[kind].size:
                    cure = b"keep a copy in aside/ and cut off the torn recipient"
                    action = Action(b"cut", sides[kind], size=whole)
                    self._find(b"torn", sides[kind].path + b" ends in the middle of a recipient", cure, action)
        for kind in (BOUNCE,) if TODO in sides else (ORDERS,) if INFO not in sides else ():
            if kind in sides:
                del message.sides[kind]
                self._set_aside(b"litter", sides[kind].path + b" belongs to no message", [sides[kind]])
        if not {TODO, INFO} & set(sides) and self._now > message.item.when + OSSIFIED:
            text = b"%s was never accepted, or is finished: left to qmail-send, which removes it" % message.item.path
            self.notes.append(text)
        return True

    def _fault_of(self, sides: dict[bytes, Item]) -> bytes:
        """Why nobody can deliver it; empty where somebody can."""
        if TODO in sides:  # what else there is will be made anew
            return b"" if contents.is_todo(self._folders, sides[TODO]) else b"its envelope in todo/ is torn"
        if INFO in sides:
            if not contents.is_info(self._folders, sides[INFO]):
                return b"its sender in info/ is torn"
        elif {LOCAL, REMOTE, BOUNCE} & set(sides):
            return b"its sender is lost: there is nothing in info/"
        for kind in (LOCAL, REMOTE):
            if kind in sides and not contents.channel(self._folders, sides[kind]).sound:
                return b"its recipients in %s/ make no sense" % kind
        return b""

    def _judge_owner(self, item: Item) -> None:
        uid, mode = self._owners.of(item.kind)
        now = stat.S_IMODE(item.mode)
        if (item.uid, now) == (uid, mode):
            return
        text = b"%s belongs to uid %d with mode %04o" % (item.path, item.uid, now)
        if item.uid != uid and item.links > 1 and item.uid not in (self._owners.queue, self._owners.sender):
            self._set_aside(b"owner", text + b", and is somewhere else too", [item])  # it might be any file of his
            return
        self._find(b"owner", text, b"make it uid %d, mode %04o" % (uid, mode), Action(b"own", item))

    # one file under two names

    def _judge_links(self, inventory: Inventory) -> None:
        for items in inventory.names.values():
            listed = [item for item in items if item.folder not in (PID, ASIDE)]
            listed.sort(key=lambda item: (item.name != b"%d" % item.inode, item.path))
            kept = listed[:1]
            for item in listed[1:]:
                if {item.kind, kept[0].kind} == {INTD, TODO} and item.name == kept[0].name:
                    continue
                text = b"%s and %s are one file" % (item.path, kept[0].path)
                self._find(b"links", text, b"make it two", Action(b"part", item), stage=PART)


def _rank(entry: tuple[Label, Item]) -> tuple[bool, bool, bool, bytes]:
    """Who comes first of those that claim one place."""
    label, item = entry
    number = label.new or label.number
    is_other = item.kind == MESS and item.inode != number
    return not label.new, is_other, item.folder != home_of(item.kind, number), item.path
