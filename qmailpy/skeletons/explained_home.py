"""What a delivery would do in a user's home, step by step, with nothing done: the part that runs as the user.

It asks the functions that deliver: skeletons/dotqmail, rules/instructions, skeletons/aliases, skeletons/dotforward.
Paths are relative to the working directory, which is the user's home. Used by skeletons/explanation.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.rules import environment, expansion, options
from qmailpy.rules.instructions import FORWARD, MAILDIR, MBOX, PROGRAM, REFUSE
from qmailpy.skeletons import aliases, dotforward, dotqmail
from qmailpy.system import identity
from qmailpy.verdict import PERM, TEMP, Die, words
from qmailpy.wire.getpw import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qmailpy.rules.instructions import Instruction

    Note = Callable[[int, bytes, bytes], None]

# the kinds of steps; the last seven are ends
FILE, LINE, SENDER, ALIAS, NOTE, FOLLOW = b"file", b"line", b"sender", b"alias", b"note", b"to"
DELIVER, RUN, NOTHING, BOUNCE, DEFER, UNKNOWN = b"delivers", b"runs", b"nothing", b"bounces", b"waits", b"unknown"
USUAL = b"default"
NEW_SENDER = b" is the sender of what is forwarded"  # after it, in the text of SENDER

NO_MAILBOX = b"Sorry, no mailbox here by that name. (#5.1.1)"
STICKY = b"Home directory is sticky: user is editing his .qmail file. (#4.2.1)"
_SHELL_BYTES = b"\"'\\$`;&|<>()*?[]{}~#!\n"  # a command with one of them is not only words
USUAL_WORDS = (
    b"what qmail-start was given for all who have no .qmail, most often ./Mailbox or ./Maildir/ in his home:"
    b" qmail does not run, or does not show it; tell it with -d"
)
_STOP = b"and the lines after this one are not for it"


class Visit:
    """One delivery to one user."""

    def __init__(self, user: User, local: bytes, domain: bytes, sender: bytes, home: Home, note: "Note") -> None:
        """note(depth, kind, text): hears each step; FOLLOW is an address that gets the message next."""
        self._user, self._home, self._note = user, home, note
        self._local, self._domain, self._sender = local, domain, sender
        self.line = 0  # of the file that holds the instructions, at this moment; 0: it is none of its lines
        names = (user.name, user.home, local, user.ext, domain, sender)
        self._variables = environment.variables(*names, 0)

    def explain(self, default: bytes | None) -> None:
        """Every step, as qmail-local takes them.  default: the default delivery; None: nobody said which it is."""
        tried: list[bytes] = []
        try:
            self._enter()
            found = dotqmail.find(self._user.dash, self._user.ext, tried.append)
            self._list(tried, found)
            if found is None and self._user.dash:
                self._note(0, BOUNCE, NO_MAILBOX)
                return
            sender = dotqmail.new_sender(self._sender, self._user.dash, self._user.ext, self._local, self._domain)
        except Die as death:
            self._list(tried, None, death.text)
            return
        if found is not None and found.default is not None:
            self._variables[environment.DEFAULT] = found.default
        if sender != self._sender:
            self._note(0, SENDER, sender + NEW_SENDER)
        if found is None or not found.text:
            self._note(0, NOTE, b"there is nothing in it: the default delivery" if found else b"the default delivery")
            if default is None:
                self._note(0, USUAL, USUAL_WORDS)
                return
        self._follow(dotqmail.steps(found, default or b""), is_file=found is not None and bool(found.text))

    def _enter(self) -> None:
        try:
            posix.chdir(self._user.home)
        except OSError as error:
            text = b"Unable to switch to " + self._user.home + b": " + words(error) + b". (#4.3.0)"
            raise Die(TEMP, text) from None
        if dotqmail.is_sticky_home():
            raise Die(TEMP, STICKY)

    def _list(self, tried: list[bytes], found: dotqmail.Found | None, trouble: bytes = b"") -> None:
        """The candidates: all but the last were not there."""
        for at, name in enumerate(tried):
            is_last = at == len(tried) - 1
            if is_last and found is not None:
                self._note(0, FILE, name + (b", forwards only" if found.forward_only else b""))
            elif is_last and trouble:
                self._note(0, FILE, name + b": unreadable")
            else:
                self._note(0, FILE, name + (b": no regular file" if _is_there(name) else b": absent"))
        if trouble:
            self._refuse(0, Die(TEMP, trouble))

    def _follow(self, steps: "Iterator[Instruction]", *, is_file: bool) -> None:
        did_anything = False
        for step in steps:
            did_anything = True
            self.line = step.line if is_file else 0
            text = step.argument
            if step.kind == REFUSE:
                self._note(0, DEFER, text)
                return
            if step.kind in (MAILDIR, MBOX):
                self._note(0, DELIVER, step.kind + b" " + text)
            elif step.kind == FORWARD:
                self._note(0, FOLLOW, text)
            elif step.kind == PROGRAM and not self._command(text):
                return
        if not did_anything:
            self._note(0, NOTHING, b"the message is thrown away")

    def _command(self, text: bytes) -> bool:
        """A program line; what ours would do is known.  Result: whether the lines after it hold."""
        argv = [] if any(byte in _SHELL_BYTES for byte in text) else text.split()
        name = argv[0].rpartition(b"/")[2] if argv else b""
        ours = {b"qmail-aliases": self._aliases, b"qmail-dotforward": self._dotforward, b"forward": self._forward}
        if name not in ours:
            self._note(0, RUN, text)
            return True
        self._note(0, LINE, b"|" + text)
        try:
            return ours[name](argv[1:])
        except options.UsageError as error:
            self._note(1, BOUNCE, error.text)
        except Die as death:
            self._refuse(1, death)
        return False

    def _forward(self, argv: list[bytes]) -> bool:
        for address in argv:
            self._note(1, FOLLOW, address)
        return True

    def _aliases(self, argv: list[bytes]) -> bool:
        letters, files = options.parse(argv, b"dDnNpP")
        passing = (b"p", b"") in letters
        name = aliases.wanted_name(self._variables, by_default=(b"d", b"") in letters) or b""
        known = aliases.Aliases(self._home, files or None)
        for complaint in known.complaints:
            self._note(1, NOTE, complaint)
        found = known.lookup(name, self._domain)
        if found is None:
            known.require_complete()
            if not passing:
                raise Die(PERM, NO_MAILBOX)
            self._note(1, NOTE, name + b" is no alias: the next line")
            return True
        own = aliases.own_addresses(self._home, [name, self._local], self._domain)
        ends = aliases.ends_of(found, known, self._home, self._domain, own, self._tell, has_mailbox=passing)
        if ends.owner:
            self._note(1, SENDER, ends.owner + NEW_SENDER)
        return self._pass_on(passing, ends.is_here)

    def _dotforward(self, argv: list[bytes]) -> bool:
        _, files = options.parse(argv, b"nN")
        found = dotforward.find(files, self._user.ext)
        if found is None:
            self._note(1, NOTE, b" ".join(files) + b" is absent, or says nothing: the next line")
            return True
        self._note(1, FILE, found.name)
        own = aliases.own_addresses(self._home, [self._user.name, self._local], self._domain)
        return self._pass_on(True, dotforward.ends_of(found, own, self._tell).is_here)

    def _pass_on(self, passing: bool, is_here: bool) -> bool:
        if passing:
            self._note(1, NOTE, b"his own mailbox too: the next line" if is_here else _STOP)
        return not passing or is_here

    def _tell(self, depth: int, word: bytes, text: bytes) -> None:
        """A step of an expansion."""
        kind, _, rest = text.partition(b" ")
        if word != expansion.END:
            self._note(depth + 1, ALIAS, _SAID.get(word, b"") + text)
        elif kind == FORWARD:
            self._note(depth + 1, FOLLOW, rest)
        elif kind == PROGRAM:
            self._note(depth + 1, RUN, rest)
        elif kind in (MAILDIR, MBOX):
            self._note(depth + 1, DELIVER, text)
        else:
            self._note(depth + 1, NOTHING, b"the message is thrown away: " + rest)

    def _refuse(self, depth: int, death: Die) -> None:
        """What stops it; or what stops us, who are not the user."""
        kind = DEFER if death.verdict == TEMP else BOUNCE
        if kind == DEFER and identity.my_uid() != self._user.uid:
            self._note(depth, UNKNOWN, death.text + b" Ask again as root, or as " + self._user.name + b".")
        else:
            self._note(depth, kind, death.text)


_SAID = {
    expansion.AGAIN: b"loop, or named twice, and followed once: ",
    expansion.INCLUDED: b"list ",
    expansion.HERE: b"this very mailbox: ",
    expansion.OWNED: b"has an owner of its own, so it gets a message of its own: ",
}


def _is_there(name: bytes) -> bool:
    try:
        posix.stat(name)
    except OSError:
        return False
    return True
