"""From a machine's accounts to the lines of users/assign (spec/08-control.md 4).

Pure; qmail-pw2u reads the files and looks at the homes. Names are bytes as the files have them.
"""

from qmailpy.rules.users import BREAK

ALIAS = b"alias"  # the account that has what nobody else has
_COLONS = 6  # name, password, uid, gid, gecos, home, shell
_DIGITS = b"0123456789"
_ID_DIGITS = 10
_DASH, _DASH_SLASH = b"-", b"-/"
_CAPITALS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Account:
    """One line of passwd that mail can be delivered to.

    uid: > 0; fields: name, uid, gid and home as they stand in an assignment.
    """

    __slots__ = ("fields", "home", "name", "uid")

    def __init__(self, name: bytes, uid: int, gid: int, home: bytes) -> None:
        """home: absolute."""
        self.name, self.uid, self.home = name, uid, home
        self.fields = b"%s:%d:%d:%s" % (name, uid, gid, home)


def read_account(line: bytes) -> Account | None:
    """The account of a line of passwd, without its LF.

    None for root, for a line that is no account's, and for an account whose home is no absolute path.
    """
    fields = line.split(b":")
    if len(fields) <= _COLONS or b"\0" in line:
        return None
    name, _, uid, gid, _, home = fields[:_COLONS]
    if not name or not _is_id(uid) or not _is_id(gid) or not int(uid) or not home.startswith(b"/"):
        return None
    return Account(name, int(uid), int(gid), home)


def _is_id(text: bytes) -> bool:
    return 1 <= len(text) <= _ID_DIGITS and not text.strip(_DIGITS)


def has_capitals(name: bytes) -> bool:
    """Whether an account's name can never be found: addresses are compared in lower case."""
    return not _CAPITALS.isdisjoint(name)


class Style:
    """How assignments are written.

    delimiter: between address and extension, one byte; empty: no lines for extensions. dash: what begins the
    extension's part of a .qmail file's name.
    """

    __slots__ = ("dash", "delimiter")

    def __init__(self, delimiter: bytes = BREAK, *, slash: bool = False) -> None:
        """slash: extensions are files in a directory, ~/.qmail-/ext."""
        self.delimiter = delimiter
        self.dash = _DASH_SLASH if slash else _DASH

    def of_account(self, account: Account, names: list[bytes]) -> bytes:
        """The lines of one account.  names: the addresses it is reached by."""
        lines = []
        if account.name == ALIAS:
            lines.append(b"+:%s:%s::\n" % (account.fields, self.dash))
        for name in names:
            lines.append(b"=%s:%s:::\n" % (name, account.fields))
            if self.delimiter:
                lines.append(b"+%s%s:%s:%s::\n" % (name, self.delimiter, account.fields, self.dash))
        return b"".join(lines)

    def of_subuser(self, name: bytes, fields: bytes, before: bytes) -> bytes:
        """The lines of an address that is a part of an account.

        fields: the account's; before: what every extension begins with.
        """
        lines = [b"=%s:%s:%s:%s:\n" % (name, fields, self.dash, before)]
        if self.delimiter:
            lines.append(b"+%s%s:%s:%s:%s-:\n" % (name, self.delimiter, fields, self.dash, before))
        return b"".join(lines)


def read_subuser(line: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Address, account and beginning of the extension, of a line sub:user:pre: of users/subusers; None for no such."""
    fields = line.split(b":")
    if len(fields) < 4 or not fields[0] or not fields[1] or b"\0" in line:
        return None
    return fields[0], fields[1], fields[2]
