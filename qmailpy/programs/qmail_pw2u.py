"""qmail-pw2u: makes lines for users/assign of the machine's accounts.

qmail-pw2u [-/ohHuUC] [-cCHAR] < /etc/passwd

Runs as: caller.  Descriptors: 0 accounts, as lines of passwd; 1 assignments; 2 errors.
Exit codes: 0; 100 unknown option; 111 something is missing or cannot be read: what was printed has no last line, and
qmail-newu will not take it.
Files: users/include, exclude, mailnames, subusers, append (spec/08-control.md 4).
Trusts: its input, as /etc/passwd is trusted.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import options, passwd
from qmailpy.rules.assign import END, LINE_LIMIT
from qmailpy.rules.users import BREAK
from qmailpy.system import descriptors, lines
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die, is_temporary, words

USAGE = b"usage: qmail-pw2u [ -/ohHuUC ] [ -cCHAR ]"
_SKIP, _STOP, _BELIEVE = b"o", b"h", b"H"  # what to do about a home that is not there
_FULL = 65536  # bytes that are written at once


class Wishes:
    """What the command line asks for."""

    __slots__ = ("capitals", "homes", "style")

    def __init__(self, argv: list[bytes]) -> None:
        """Errors: options.UsageError."""
        self.homes, self.capitals, delimiter, slash = _SKIP, False, BREAK, False
        for letter, value in options.parse(argv[1:], b"/ohHuUCc:")[0]:
            if letter in (_SKIP, _STOP, _BELIEVE):
                self.homes = letter
            elif letter in (b"u", b"U"):
                self.capitals = letter == b"u"
            elif letter == b"/":
                slash = True
            elif letter == b"C":
                delimiter = b""
            elif len(value) != 1 or value in b":\n":
                raise options.UsageError(b"a delimiter is one character, and no colon")
            else:
                delimiter = value
        self.style = passwd.Style(delimiter, slash=slash)


class Tables:
    """What the files in users/ say; each may be missing."""

    __slots__ = ("_exclude", "_include", "_mailnames", "append", "subusers")

    def __init__(self) -> None:
        """From the working directory.  Errors: Die TEMP with the file and the reason."""
        self._include, self._exclude = _names(b"users/include"), _names(b"users/exclude") or frozenset()
        self._mailnames = control.mapping(control.entries(control.read(b"users/mailnames") or b""))
        self.subusers = _subusers(b"users/subusers")
        self.append = control.read(b"users/append") or b""

    def wants(self, name: bytes) -> bool:
        """Whether this account is to have mail."""
        folded = name.lower()
        return (self._include is None or folded in self._include) and folded not in self._exclude

    def addresses(self, name: bytes) -> list[bytes]:
        """What stands before the @ in mail for this account."""
        names = self._mailnames.get(name.lower())
        return [name] if names is None else [each for each in names.split(b":") if each]


def _names(path: bytes) -> frozenset[bytes] | None:
    text = control.read(path)
    return None if text is None else frozenset(name.lower() for name in control.entries(text))


def _subusers(path: bytes) -> list[tuple[bytes, bytes, bytes]]:
    found = []
    for number, line in enumerate((control.read(path) or b"").split(b"\n"), 1):
        if line and not line.startswith(b"#"):
            subuser = passwd.read_subuser(line)
            if subuser is None:
                raise Die(TEMP, b"bad format in %s: line %d" % (path, number))
            found.append(subuser)
    return found


class Output:
    """Descriptor 1, some lines at a time."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        """Nothing is written yet."""
        self._pieces: list[bytes] = []
        self._size = 0

    def put(self, text: bytes) -> None:
        """Errors: descriptors.OutputError."""
        self._pieces.append(text)
        self._size += len(text)
        if self._size >= _FULL:
            self.flush()

    def flush(self) -> None:
        """Errors: descriptors.OutputError."""
        descriptors.write_all(1, b"".join(self._pieces))
        self._pieces, self._size = [], 0


def _has_home(account: passwd.Account, homes: bytes) -> bool:
    """Whether the account's home is its own.

    Errors: Die TEMP where it cannot be said now: a file server that is away must not turn users into strangers.
    """
    if homes == _BELIEVE:
        return True
    try:
        return posix.stat(account.home).st_uid == account.uid
    except OSError as error:
        if homes == _STOP or is_temporary(error.errno):
            raise Die(TEMP, b"unable to stat " + account.home + b": " + words(error)) from None
        return False


def _put_accounts(tables: Tables, wishes: Wishes, output: Output) -> dict[bytes, bytes]:
    """Write the lines of all accounts.  Result: name -> fields, of those that subusers and alias need."""
    needed = {user for _, user, _ in tables.subusers} | {passwd.ALIAS}
    found: dict[bytes, bytes] = {}
    try:
        for line, _ in lines.read_lines(0, LINE_LIMIT):
            account = passwd.read_account(line) if len(line) <= LINE_LIMIT else None
            if account is None or not tables.wants(account.name):
                continue
            if (wishes.capitals or not passwd.has_capitals(account.name)) and _has_home(account, wishes.homes):
                output.put(wishes.style.of_account(account, tables.addresses(account.name)))
                if account.name in needed:
                    found.setdefault(account.name, account.fields)
    except descriptors.OutputError:
        raise
    except OSError as error:
        raise Die(TEMP, b"unable to read input: " + words(error)) from None
    return found


def main(argv: list[bytes], home: Home) -> int:
    """Accounts, subusers, what is appended, and the line that says that this was all."""
    try:
        wishes = Wishes(argv)
    except options.UsageError as error:
        descriptors.say(b"qmail-pw2u: %s\nqmail-pw2u: %s" % (error.text, USAGE))
        return EXIT[PERM]
    try:
        posix.chdir(home.path)
    except OSError as error:
        raise Die(TEMP, b"unable to chdir: " + words(error)) from None
    tables, output = Tables(), Output()
    found = _put_accounts(tables, wishes, output)
    if passwd.ALIAS not in found:
        output.flush()
        raise Die(TEMP, b"unable to find alias user")
    for name, user, before in tables.subusers:
        if user not in found:
            output.flush()
            raise Die(TEMP, b"unable to find " + user + b" user for subuser")
        output.put(wishes.style.of_subuser(name, found[user], before))
    output.put(tables.append)
    if tables.append and not tables.append.endswith(b"\n"):
        output.put(b"\n")
    output.put(END + b"\n")
    output.flush()
    return EXIT[OK]
