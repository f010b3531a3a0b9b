"""From an address to its user: users/cdb first, then the accounts of the machine (spec/03-pipes.md 5, 6).

Used by the child of qmail-lspawn that is qmailp, by qmail-getpw, and by whatever answers where an address goes.
From the user on to his .qmail file: skeletons/dotqmail. Nothing is remembered between two questions.
Errors: Die with qmail-lspawn's exit codes: 112 entry malformed, 115 home not to be reached now, 116 no alias account,
117 users/cdb unreadable, 118 the source of accounts fails.
"""

import posix

from qmailpy.disk.cdb import Cdb
from qmailpy.disk.home import Home
from qmailpy.rules import users
from qmailpy.system import identity
from qmailpy.verdict import TEMP, Die, is_temporary, words
from qmailpy.wire import getpw
from qmailpy.wire.getpw import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Tell = Callable[[bytes], None]

MALFORMED, HOME_UNREACHABLE, NO_ALIAS, BAD_CDB, NO_ACCOUNTS = 112, 115, 116, 117, 118
ALIAS = b"alias"  # the account that has what nobody else has


def find_user(home: Home, local: bytes, tell: "Tell | None" = None) -> User:
    """Whose the mail for this local part is.

    local: any bytes without NUL, not empty; tell: hears what was looked at, and what came of it.
    """
    return find_assigned(home, local, tell) or find_account(home, local, tell)


def find_assigned(home: Home, local: bytes, tell: "Tell | None" = None) -> User | None:
    """By users/cdb; None where it does not exist or has nothing for the address.

    The longest match wins, the whole address before any wildcard.
    """
    try:
        with Cdb(home.at(b"users", b"cdb")) as assignments:
            wildcards = assignments.get(users.WILDCARDS_KEY)
            if wildcards is None:
                raise Die(TEMP, b"Trouble reading users/cdb in qmail-lspawn.", BAD_CDB)
            for wanted in users.assigned_keys(local, wildcards):
                entry = assignments.get(wanted.key)
                if entry is not None:
                    if tell is not None:
                        tell(b"users/cdb has " + wanted.key.replace(b"\0", b""))
                    return _assigned_user(entry, wanted.rest)
    except FileNotFoundError:
        return None
    except OSError:
        raise Die(TEMP, b"Trouble reading users/cdb in qmail-lspawn.", BAD_CDB) from None
    return None


def _assigned_user(entry: bytes, rest: bytes) -> User:
    user = getpw.decode(users.entry_fields(entry, rest))
    if user is None:
        raise Die(TEMP, b"Internal qmail-lspawn bug.", MALFORMED)
    return user


def find_account(home: Home, local: bytes, tell: "Tell | None" = None) -> User:
    """By the rules of qmail-getpw: the longest account's name that begins the address, else alias.

    root never, nor an account whose home does not exist or is not its own. The embedded way knows one account, ours.
    """
    if home.embedded:
        return _embedded_user(home, local)
    for split in users.account_splits(local):
        account = _account(split.account)
        reason = _unfit(account)
        if tell is not None:
            tell(split.account + b" " + (reason or b"is an account"))
        if account is not None and not reason:
            name, uid, gid, folder = account
            return User(name, uid, gid, folder, split.dash, split.ext)
    account = _account(ALIAS)
    if account is None:
        raise Die(TEMP, b"Unable to find alias user!", NO_ALIAS)
    name, uid, gid, folder = account
    return User(name, uid, gid, folder, users.BREAK, local)


def _embedded_user(home: Home, local: bytes) -> User:
    name, uid, gid = identity.my_name(), identity.my_uid(), identity.my_gid()
    for split in users.account_splits(local):
        if split.account == name.lower():
            return User(name, uid, gid, home.at(b"home"), split.dash, split.ext)
        if split.account == ALIAS:  # an account as in the classic way: alias-shop in virtualdomains is alias' shop
            return User(ALIAS, uid, gid, home.at(b"alias"), split.dash, split.ext)
    return User(ALIAS, uid, gid, home.at(b"alias"), users.BREAK, local)


def _account(name: bytes) -> tuple[bytes, int, int, bytes] | None:
    from qmailpy.system import accounts  # with ctypes: not in qmail-lspawn itself, which is root

    try:
        return accounts.find_user(name)
    except OSError as error:
        text = b"unable to look up an account, see passwd in /etc/nsswitch.conf: " + words(error)
        raise Die(TEMP, text, NO_ACCOUNTS) from None
    except MemoryError:
        raise Die(TEMP, b"unable to look up an account: out of memory", NO_ACCOUNTS) from None


def _unfit(account: tuple[bytes, int, int, bytes] | None) -> bytes:
    """Why an account gets no mail; empty where it does."""
    if account is None:
        return b"is no account"
    if account[1] == 0:
        return b"has uid 0, and root gets no mail"
    return b"" if _owns_home(account[1], account[3]) else b"has no home of his own in " + account[3]


def _owns_home(uid: int, folder: bytes) -> bool:
    if not folder.startswith(b"/"):
        return False
    try:
        return posix.stat(folder).st_uid == uid
    except OSError as error:
        if is_temporary(error.errno):
            raise Die(TEMP, b"NFS failure in qmail-local.", HOME_UNREACHABLE) from None
        return False
