"""From a name to the ends that its aliases lead to: programs, files, addresses to forward to.

Pure: names are looked up and lists are read by functions that are given. No recursion, every name is followed once, and
so a loop ends. Used by skeletons/aliases for delivery, and for whatever explains or checks an address.
"""

from qmailpy.rules.aliasaddress import BadValueError
from qmailpy.rules.aliases import Entry, parse_list
from qmailpy.rules.aliasvalue import ADDRESS, INCLUDE, MAILBOX, NOTHING, REFUSE, Value
from qmailpy.verdict import PERM, TEMP, Die
from qmailpy.wire.envelope import MOST_RECIPIENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Find = Callable[[bytes, bytes], Entry | None]
    Read = Callable[[bytes], bytes]
    Tell = Callable[[int, bytes, bytes], None]

INCLUDE_DEPTH = 10  # lists within lists
OWNER = b"owner-"

# what tell() hears of: a name is followed, one that was followed before, a list is read, an end, what leads here
FOLLOWED, AGAIN, INCLUDED, HERE = b"alias", b"again", b"include", b"here"
END, OWNED = b"end", b"owner"


class Ends:
    """What is to be done.

    deliveries: programs and files, in their order; recipients: of one forward; is_here: the mailbox of whose delivery
    this is was among the ends; owner: the owner-NAME that bounces go to, empty where there is none.
    """

    __slots__ = ("deliveries", "is_here", "is_nothing", "owner", "recipients")

    def __init__(self) -> None:
        """Nothing yet."""
        self.deliveries: list[Value] = []
        self.recipients: list[bytes] = []
        self.is_here = False
        self.is_nothing = False  # /dev/null was among the ends
        self.owner = b""


class Ground:
    """What an expansion stands on.

    find(local, domain): an entry; read(path): an included list; own: addresses in lower case that are the one of this
    delivery; has_mailbox: it has a mailbox, and they mean that one whoever names them; domains: ours, in lower case;
    host: what a name that must come back later gets; tell(depth, word, text): hears of each step.
    """

    __slots__ = ("domains", "find", "has_mailbox", "host", "own", "read", "tell")

    def __init__(
        self,
        find: "Find",
        read: "Read",
        own: frozenset[bytes],
        domains: frozenset[bytes],
        host: bytes,
        tell: "Tell | None" = None,
        *,
        has_mailbox: bool,
    ) -> None:
        """As above."""
        self.find, self.read, self.own, self.domains, self.host = find, read, own, domains, host
        self.tell, self.has_mailbox = tell, has_mailbox


class Expansion:
    """One walk.  Errors of every method: Die, and whatever find and read raise."""

    def __init__(self, ground: Ground) -> None:
        """Nothing is followed yet."""
        self._ground = ground
        self._ends = Ends()
        self._seen: set[bytes] = set()  # names, lists
        self._recipients: set[bytes] = set()
        self._done: set[Value] = set()
        self._todo: list[tuple[Value, Entry | None, int, int]] = []  # value, of whom, depth, lists around it
        self._ended: list[bytes] = []  # names that have an end of their own
        self._named_by: dict[bytes, list[bytes]] = {}  # name -> the names that lead to it

    def of_entry(self, start: Entry) -> Ends:
        """Where an alias leads."""
        owner = self._owner_of(start)
        self._ends.owner = b"" if owner is None else owner.name
        self._follow(start, 0)
        self._run()
        self._refuse_circles()
        return self._ends

    def of_list(self, values: list[Value]) -> Ends:
        """Where the values of a .forward lead: no name is looked up."""
        self._push(values, None, 0, 0)
        self._run()
        return self._ends

    def _refuse_circles(self) -> None:
        """Every name that was followed must lead to some end: who it was meant for would get nothing, unnoticed."""
        reached: set[bytes] = set()
        todo = self._ended
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                todo += self._named_by.get(name, ())
        for name in self._named_by:
            if name not in reached:
                raise Die(TEMP, b"The alias %s leads to nobody but itself. (#4.3.5)" % name)

    def _run(self) -> None:
        while self._todo:
            value, entry, depth, lists = self._todo.pop()
            if entry is not None and value.kind not in (ADDRESS, MAILBOX):
                self._ended.append(entry.name)
            if value.kind in (ADDRESS, MAILBOX):
                self._address(value, entry, depth)
            elif value.kind == INCLUDE:
                self._include(value.argument, entry, depth, lists)
            elif lists:
                raise Die(TEMP, b"An included list may hold addresses only: " + value.argument + b". (#4.3.5)")
            elif value.kind == REFUSE:
                raise _refusal(value.argument)
            elif value.kind == NOTHING:
                self._tell(depth, END, value.kind + b" " + value.argument)
                self._ends.is_nothing = True
            else:
                self._tell(depth, END, value.kind + b" " + value.argument)
                if value not in self._done:
                    self._done.add(value)
                    self._ends.deliveries.append(value)

    def _address(self, value: Value, entry: Entry | None, depth: int) -> None:
        address = value.argument
        target = None if entry is None else self._target(value, entry)
        is_own = address.lower() in self._ground.own
        if is_own and (self._ground.has_mailbox or target is None):
            self._tell(depth, HERE, address)
            self._ends.is_here = True
        elif target is None or entry is None:
            self._forward(address, depth)
        elif target.name in self._seen:
            self._tell(depth, AGAIN, target.name)
            self._named_by[target.name].append(entry.name)
            return
        elif self._owner_of(target) is not None and not target.name.startswith(OWNER):
            # bounces of its members go to its own owner: it gets the message as a message of its own
            self._tell(depth, OWNED, target.name)
            self._forward(address if b"@" in address else address + b"@" + self._ground.host, depth)
        else:
            self._follow(target, depth)
            self._named_by[target.name].append(entry.name)
            return
        if entry is not None:
            self._ended.append(entry.name)

    def _target(self, value: Value, entry: Entry) -> Entry | None:
        """The alias that an address is; None for a mailbox: by a backslash, or because an alias names itself."""
        if value.kind == MAILBOX:
            return None
        box, at, domain = value.argument.rpartition(b"@")
        if not at:
            box, domain = domain, self._ground.host
        elif domain.lower() not in self._ground.domains:
            return None
        target = self._ground.find(box, domain)
        return None if target is None or target.name == entry.name else target

    def _owner_of(self, entry: Entry) -> Entry | None:
        """The entry for who looks after a list; of user+ext also the user's."""
        box, at, domain = entry.name.rpartition(b"@")
        if not at:
            box, domain = domain, self._ground.host
        found = self._ground.find(OWNER + box, domain) if box else None
        return found if found is not None and found.name.startswith(OWNER) else None

    def _follow(self, entry: Entry, depth: int) -> None:
        self._tell(depth, FOLLOWED, b"%s (%s line %d)" % (entry.name, entry.file, entry.line))
        if entry.problem:
            text = b"Unable to use %s line %d: %s. (#4.3.5)" % (entry.file, entry.line, entry.problem)
            raise Die(TEMP, text)
        self._seen.add(entry.name)
        self._named_by[entry.name] = []
        self._push(entry.values, entry, depth + 1, 0)

    def _include(self, path: bytes, entry: Entry | None, depth: int, lists: int) -> None:
        key = b":" + path  # no name begins so
        if key in self._seen:
            self._tell(depth, AGAIN, path)
            return
        if lists == INCLUDE_DEPTH:
            raise Die(TEMP, b"Too many lists within lists: " + path + b". (#4.3.5)")
        self._seen.add(key)
        self._tell(depth, INCLUDED, path)
        try:
            values = parse_list(self._ground.read(path))
        except BadValueError as bad:
            raise Die(TEMP, b"Unable to use " + path + b" " + bad.reason + b". (#4.3.5)") from None
        self._push(values, entry, depth + 1, lists + 1)

    def _push(self, values: list[Value], entry: Entry | None, depth: int, lists: int) -> None:
        self._todo += [(value, entry, depth, lists) for value in reversed(values)]

    def _forward(self, address: bytes, depth: int) -> None:
        self._tell(depth, END, ADDRESS + b" " + address)
        if address in self._recipients:
            return
        self._recipients.add(address)
        self._ends.recipients.append(address)
        if len(self._recipients) > MOST_RECIPIENTS:
            raise Die(TEMP, b"The aliases lead to more than %d addresses. (#4.3.5)" % MOST_RECIPIENTS)

    def _tell(self, depth: int, word: bytes, text: bytes) -> None:
        if self._ground.tell is not None:
            self._ground.tell(depth, word, text)


def _refusal(text: bytes) -> Die:
    """error:CODE text, as a verdict: a code that begins with 4 is temporary."""
    code, _, words = text.partition(b" ")
    if len(code) != 3 or code.strip(b"0123456789"):
        code, words = b"550", text
    verdict = TEMP if code.startswith(b"4") else PERM
    return Die(verdict, (words.strip() or b"This address is refused.") + b" (#%c.7.1)" % code[0])
