"""qmail-showctl: the configuration in words.

Usage: qmail-showctl
Runs as: caller.  Descriptors: 1 text.  Exit codes: 0; 111 without a control directory or an account.
Control files: all.  Trusts: nobody; bytes outside 32..126 are shown as '?'.
Output: spec/08 6, byte for byte; names that only we know are said after those.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.control_kinds import KINDS, LIST, MAP, NUMBER, claimed_twice, doubts
from qmailpy.disk.home import Home
from qmailpy.disk.layout import SPLIT
from qmailpy.system import descriptors, identity
from qmailpy.verdict import EXIT, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    Row = tuple[bytes, bytes, bytes, bytes, bool]

BREAK = b"-"  # user-extension delimiter (conf-break)
PATERNALISM = 2  # mode bits that ~ and .qmail must not have (conf-patrn)
SILENT_LIMIT = 120  # deliveries a spawner does at once on the classic wire (conf-spawn)

OR_ME = True

_RECIPIENTS = b"SMTP clients may send messages to recipients at "
_MORE = b"morercpthosts"

# name, default (of a list: the whole sentence), what stands before and after a value, whether control/me goes before
# the default
CONTROLS: "tuple[Row, ...]" = (
    (b"badmailfrom", b"Any MAIL FROM is allowed.", b"", b" not accepted in MAIL FROM.", False),
    (b"bouncefrom", b"MAILER-DAEMON", b"Bounce user name is ", b"", False),
    (b"bouncehost", b"bouncehost", b"Bounce host name is ", b"", OR_ME),
    (b"concurrencylocal", b"10", b"Local concurrency is ", b"", False),
    (b"concurrencyremote", b"20", b"Remote concurrency is ", b"", False),
    (b"databytes", b"0", b"SMTP DATA limit is ", b" bytes", False),
    (b"defaultdomain", b"defaultdomain", b"Default domain name is ", b"", OR_ME),
    (b"defaulthost", b"defaulthost", b"Default host name is ", b"", OR_ME),
    (b"doublebouncehost", b"doublebouncehost", b"2B recipient host: ", b"", OR_ME),
    (b"doublebounceto", b"postmaster", b"2B recipient user: ", b"", False),
    (b"envnoathost", b"envnoathost", b"Presumed domain name is ", b"", OR_ME),
    (b"helohost", b"helohost", b"SMTP client HELO host name is ", b"", OR_ME),
    (b"idhost", b"idhost", b"Message-ID host name is ", b"", OR_ME),
    (b"localiphost", b"localiphost", b"Local IP address becomes ", b"", OR_ME),
    (b"locals", b"Messages for me are delivered locally.", b"Messages for ", b" are delivered locally.", False),
    (b"me", b"undefined! Uh-oh", b"My name is ", b"", False),
    (
        b"percenthack",
        b"The percent hack is not allowed.",
        b"The percent hack is allowed for user%host@",
        b".",
        False,
    ),
    (b"plusdomain", b"plusdomain", b"Plus domain name is ", b"", OR_ME),
    (b"qmqpservers", b"No QMQP servers.", b"QMQP server: ", b".", False),
    (b"queuelifetime", b"604800", b"Message lifetime in the queue is ", b" seconds", False),
    (b"rcpthosts", b"SMTP clients may send messages to any recipient.", _RECIPIENTS, b".", False),
    (_MORE, b"No effect.", _RECIPIENTS, b".", False),
    (b"smtpgreeting", b"smtpgreeting", b"SMTP greeting: 220 ", b"", OR_ME),
    (b"smtproutes", b"No artificial SMTP routes.", b"SMTP route: ", b"", False),
    (b"timeoutconnect", b"60", b"SMTP client connection timeout is ", b" seconds", False),
    (b"timeoutremote", b"1200", b"SMTP client data timeout is ", b" seconds", False),
    (b"timeoutsmtpd", b"1200", b"SMTP server data timeout is ", b" seconds", False),
    (b"virtualdomains", b"No virtual domains.", b"Virtual domain: ", b"", False),
)

_MORE_ALONE = (
    _MORE,
    b"No rcpthosts; morercpthosts is irrelevant.",
    b"No rcpthosts; doesn't matter that morercpthosts has ",
    b".",
    False,
)

# what may be in our control/ and not in C qmail's: the same, shown where there is such a file
OURS = (
    (b"aliasfile", b"", b"Aliases are in ", b".", False),
    (b"generic", b"No public addresses.", b"Public address: ", b".", False),
    (b"localtime", b"0", b"Dates are in local time (0: in UTC): ", b"", False),
    (b"masquerade", b"No masquerading.", b"Masquerade as ", b".", False),
    (b"mailspool", b"none", b"Missing mailboxes are made in ", b"", False),
    (b"queuebytes", b"1073741824", b"Largest message that is taken into the queue is ", b" bytes (0 for any)", False),
    (b"senderroutes", b"none", b"SMTP route of a sender: ", b"", False),
    (b"userconcurrency", b"half of the local one", b"Concurrency of one user is ", b" (0 for any)", False),
    (b"usermemory", b"0", b"Memory of a user's program is ", b" bytes (0 for any)", False),
    (b"userprocesses", b"0", b"Processes of a user are ", b" (0 for any)", False),
    (b"userseconds", b"0", b"Time of a user's program is ", b" seconds (0 for any)", False),
)

# and what has no value
OTHERS = {
    b"direct": b"Mail leaves at once, by qmail-direct: there is no queue, and qmail-start does not start.",
    b"embedded": b"This home lives the embedded way: one uid has every role.",
    b"smtpauth": b"Logins that SMTP routes name; not shown.",
    b"samples": b"Examples that explain each control file; nothing reads them.",
}

_TROUBLE = b"Oops! Trouble reading this file.\n"
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def show(entry: "Row", text: bytes | None, me: bytes | None) -> bytes:
    """One control file in words.  text: its content, None where there is none; me: of control/me.

    Source: spec/08 6.
    """
    name, default, before, after, or_me = entry
    kind = KINDS[name]
    if kind in (LIST, MAP):
        if text is None:
            return b"(Default.) " + default + b"\n"
        values = [before + value.translate(_PRINTABLE) + after + b"\n" for value in control.entries(text)]
        return b"\n" + b"".join(values)
    value = None if text is None else control.first_line(text)
    if kind == NUMBER and text is not None:
        number = control.number(text)
        value = None if number is None else b"%d" % number
    if value is not None:
        return before + value.translate(_PRINTABLE) + after + b".\n"
    value = me if or_me and me is not None else default
    return b"(Default.) " + before + value.translate(_PRINTABLE) + after + b".\n"


def show_database(home: Home) -> bytes:
    """Whether morercpthosts.cdb fits morercpthosts.  Source: spec/08 6."""
    text, database = _changed(home, _MORE), _changed(home, _MORE + b".cdb")
    if text is None and database is None:
        return b"(Default.) No effect.\n"
    if text is None:
        return b"Oops! morercpthosts.cdb exists but morercpthosts doesn't.\n"
    if database is None:
        return b"Oops! morercpthosts exists but morercpthosts.cdb doesn't.\n"
    if text > database:
        return b"Oops! morercpthosts.cdb is older than morercpthosts.\n"
    return b"Modified recently enough; hopefully up to date.\n"


def show_head(home: Home, roles: identity.Roles) -> bytes:
    """What was decided when the programs were installed."""
    uids = b", ".join(b"%d" % roles.uid[role] for role in identity.ROLES)
    return b"".join(
        (
            b"qmail home directory: " + home.path + b".\n",
            b"user-ext delimiter: " + BREAK + b".\n",
            b"paternalism (in decimal): %d.\n" % PATERNALISM,
            b"silent concurrency limit: %d.\n" % SILENT_LIMIT,
            b"subdirectory split: %d.\n" % SPLIT,
            b"user ids: " + uids + b".\n",
            b"group ids: %d, %d.\n" % (roles.gid["nofiles"], roles.gid["qmail"]),
        )
    )


def _changed(home: Home, name: bytes) -> int | None:
    try:
        return int(posix.stat(home.control(name)).st_mtime)
    except OSError:
        return None


def _is_there(path: bytes) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _show_file(home: Home, entry: "Row", me: bytes | None) -> bytes:
    """One control file, and what in it is not read as its writer meant."""
    name = entry[0]
    try:
        text = control.read(home.control(name))
    except Die:
        return b"\n%s: %s" % (name, _TROUBLE)
    oops = [] if text is None else [b"Oops! " + words + b".\n" for words in doubts(KINDS[name], text)]
    return b"\n%s: %s%s" % (name, show(entry, text, me), b"".join(oops))


def show_controls(home: Home, names: list[bytes], me: bytes | None) -> bytes:
    """All control files that we know, in the order of the tables.  names: what is there."""
    shown = []
    for row in CONTROLS:
        name = row[0]
        shown.append(_show_file(home, _MORE_ALONE if name == _MORE and b"rcpthosts" not in names else row, me))
        if name == _MORE:
            shown.append(b"\n%s.cdb: %s" % (_MORE, show_database(home)))
        if name == b"virtualdomains":
            shown.append(_show_claimed_twice(home))
    shown += [_show_file(home, row, me) for row in OURS if row[0] in names]
    return b"".join(shown)


def _show_claimed_twice(home: Home) -> bytes:
    try:
        local, virtual = control.listing(home, "locals") or [], control.listing(home, "virtualdomains") or []
    except Die:  # said already
        return b""
    twice = [name.translate(_PRINTABLE) for name in claimed_twice(local, virtual)]
    return b"".join(b"Oops! locals has " + name + b" too, so its line here means nothing.\n" for name in twice)


def show_others(names: list[bytes]) -> bytes:
    """Names in control/ that have no value, or none that we know."""
    known = {row[0] for row in (*CONTROLS, *OURS)} | {_MORE + b".cdb"}
    return b"".join(
        b"\n%s: %s\n" % (name.translate(_PRINTABLE), OTHERS.get(name, b"I have no idea what this file does."))
        for name in sorted(set(names) - known)
    )


def main(_argv: list[bytes], home: Home) -> int:
    """Head, every control file, and what else is there."""
    descriptors.write_all(1, show_head(home, home.roles))
    try:
        names = posix.listdir(home.at(b"control"))
    except OSError:
        where = b"control" if _is_there(home.path) else home.path
        descriptors.write_all(1, b"Oops! Unable to chdir to " + where + b".\n")
        return EXIT[TEMP]
    try:
        me = control.line(home, "me")
    except Die:
        descriptors.write_all(1, b"Oops! Trouble reading control/me.\n")
        return EXIT[TEMP]
    descriptors.write_all(1, show_controls(home, names, me) + show_others(names))
    return 0
