"""The question whether a recipient exists (questions.PLACES), answered by the functions that deliver and explain.

What can be said: known, unknown, refused (an alias says so, with a text), later (the source of accounts fails),
unclear. Only what delivery would certainly refuse is unknown: where a home, a .qmail file or a list cannot be looked at
by who asks, where root asks (who must not look into homes), and wherever the mail would wait for somebody to mend
something, the answer is unclear, and the mail is taken.

In this order: users/recipients.cdb, for domains whose list is complete; for mail that leaves again the next host, if
control/callout wants that; for mail that stays the user (users/cdb, accounts), then his .qmail file, if the address has
an extension, and in that file the aliases, up to the first line that does something.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.rules import rewrite
from qmailpy.rules.existing import KNOWN, LATER, REFUSED, UNCLEAR, UNKNOWN
from qmailpy.skeletons import address, domains
from qmailpy.skeletons.recipient_table import Table
from qmailpy.system import identity
from qmailpy.verdict import Die
from qmailpy.wire.delivery import REMOTE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.getpw import User

CALLOUT = "callout"


class _Decided(Exception):
    """It does something."""


def recipient(home: Home, asked: bytes) -> bytes:
    """asked: an address as it would stand in an envelope.  Result: a letter of rules/existing, and a text for REFUSED.

    Errors: none but what is beyond us (memory).
    """
    try:
        return _look(home, asked.partition(b"\0")[0])
    except (Die, OSError):  # a control file, or the table: mail is still taken, and qmail-send says what is wrong
        return UNCLEAR


def _look(home: Home, asked: bytes) -> bytes:
    known = domains.read(home, control.line(home, "me"))
    table = Table(home)
    listed = table.has_address(rewrite.completed(asked, known))
    if listed is False:
        return UNKNOWN
    channel, key = rewrite.route(asked, known)
    if channel != REMOTE:
        return _local(home, key, table)
    if listed is None and control.integer(home, CALLOUT, 0):
        from qmailpy.skeletons import callout

        return callout.ask(home, key)
    return KNOWN


def _local(home: Home, key: bytes, table: Table) -> bytes:
    """Mail that stays here.  key: of rules/rewrite."""
    local, _, domain = key.rpartition(b"@")
    if not local:
        return KNOWN  # it is thrown away
    if identity.is_root():
        return UNCLEAR
    try:
        user = address.find_user(home, local)
    except Die:
        return LATER
    if not user.dash:
        return KNOWN
    return UNCLEAR if user.uid == 0 else _in_home(home, user, local, domain, table)


def _in_home(home: Home, user: "User", local: bytes, domain: bytes, table: Table) -> bytes:
    here = posix.open(b".", posix.O_PATH | posix.O_CLOEXEC)
    try:
        try:
            posix.chdir(user.home)
        except PermissionError:
            has_file = table.has_file(user)
            return UNCLEAR if has_file is None else KNOWN if has_file else UNKNOWN
        return _visit(home, user, local, domain)
    finally:
        posix.fchdir(here)
        posix.close(here)


def _visit(home: Home, user: "User", local: bytes, domain: bytes) -> bytes:
    """By the very steps of qmail-explain, as far as the first that does something."""
    from qmailpy.skeletons import explained_home

    refusals: list[bytes] = []
    ends = (explained_home.DELIVER, explained_home.RUN, explained_home.FOLLOW, explained_home.NOTHING)

    def note(_: int, kind: bytes, text: bytes) -> None:
        if kind in ends:
            raise _Decided
        if kind == explained_home.BOUNCE:
            refusals.append(text)

    try:
        explained_home.Visit(user, local, domain, b"", home, note).explain(None)
    except _Decided:
        return KNOWN
    if not refusals:
        return UNCLEAR
    return UNKNOWN if refusals[0] == explained_home.NO_MAILBOX else REFUSED + refusals[0]
