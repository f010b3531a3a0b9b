"""qmail-showctl: the configuration in words.

Usage: qmail-showctl
Runs as: caller.  Descriptors: 1 text.  Exit codes: 0; 111 without a control directory or an account.
Control files: all.  Trusts: nobody; bytes outside 32..126 are shown as '?'.
Output: spec/08 6, byte for byte; names that only we know are said after those.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.disk.layout import SPLIT
from qmailpy.system import descriptors, identity
from qmailpy.verdict import EXIT, TEMP, Die

BREAK = b"-"  # user-extension delimiter (conf-break)
PATERNALISM = 2  # mode bits that ~ and .qmail must not have (conf-patrn)
SILENT_LIMIT = 120  # deliveries a spawner does at once on the classic wire (conf-spawn)

LINE, NUMBER, LIST = 0, 1, 2
OR_ME = True

_RECIPIENTS = b"SMTP clients may send messages to recipients at "
_MORE = b"morercpthosts"

# name, kind, default (of a list: the whole sentence), what stands before and after a value, whether control/me goes
# before the default
CONTROLS: tuple[tuple[bytes, int, bytes, bytes, bytes, bool], ...] = (
    (b"badmailfrom", LIST, b"Any MAIL FROM is allowed.", b"", b" not accepted in MAIL FROM.", False),
    (b"bouncefrom", LINE, b"MAILER-DAEMON", b"Bounce user name is ", b"", False),
    (b"bouncehost", LINE, b"bouncehost", b"Bounce host name is ", b"", OR_ME),
    (b"concurrencylocal", NUMBER, b"10", b"Local concurrency is ", b"", False),
    (b"concurrencyremote", NUMBER, b"20", b"Remote concurrency is ", b"", False),
    (b"databytes", NUMBER, b"0", b"SMTP DATA limit is ", b" bytes", False),
    (b"defaultdomain", LINE, b"defaultdomain", b"Default domain name is ", b"", OR_ME),
    (b"defaulthost", LINE, b"defaulthost", b"Default host name is ", b"", OR_ME),
    (b"doublebouncehost", LINE, b"doublebouncehost", b"2B recipient host: ", b"", OR_ME),
    (b"doublebounceto", LINE, b"postmaster", b"2B recipient user: ", b"", False),
    (b"envnoathost", LINE, b"envnoathost", b"Presumed domain name is ", b"", OR_ME),
    (b"helohost", LINE, b"helohost", b"SMTP client HELO host name is ", b"", OR_ME),
    (b"idhost", LINE, b"idhost", b"Message-ID host name is ", b"", OR_ME),
    (b"localiphost", LINE, b"localiphost", b"Local IP address becomes ", b"", OR_ME),
    (b"locals", LIST, b"Messages for me are delivered locally.", b"Messages for ", b" are delivered locally.", False),
    (b"me", LINE, b"undefined! Uh-oh", b"My name is ", b"", False),
    (
        b"percenthack",
        LIST,
        b"The percent hack is not allowed.",
        b"The percent hack is allowed for user%host@",
        b".",
        False,
    ),
    (b"plusdomain", LINE, b"plusdomain", b"Plus domain name is ", b"", OR_ME),
    (b"qmqpservers", LIST, b"No QMQP servers.", b"QMQP server: ", b".", False),
    (b"queuelifetime", NUMBER, b"604800", b"Message lifetime in the queue is ", b" seconds", False),
    (b"rcpthosts", LIST, b"SMTP clients may send messages to any recipient.", _RECIPIENTS, b".", False),
    (_MORE, LIST, b"No effect.", _RECIPIENTS, b".", False),
    (b"smtpgreeting", LINE, b"smtpgreeting", b"SMTP greeting: 220 ", b"", OR_ME),
    (b"smtproutes", LIST, b"No artificial SMTP routes.", b"SMTP route: ", b"", False),
    (b"timeoutconnect", NUMBER, b"60", b"SMTP client connection timeout is ", b" seconds", False),
    (b"timeoutremote", NUMBER, b"1200", b"SMTP client data timeout is ", b" seconds", False),
    (b"timeoutsmtpd", NUMBER, b"1200", b"SMTP server data timeout is ", b" seconds", False),
    (b"virtualdomains", LIST, b"No virtual domains.", b"Virtual domain: ", b"", False),
)

_MORE_ALONE = (
    _MORE,
    LIST,
    b"No rcpthosts; morercpthosts is irrelevant.",
    b"No rcpthosts; doesn't matter that morercpthosts has ",
    b".",
    False,
)

# what is in our control/ and not in C qmail's
OURS = {
    b"embedded": b"This home lives the embedded way: one uid has every role.",
    b"queuebytes": b"Largest message that is taken into the queue, in bytes; 0 for any.",
    b"samples": b"Examples that explain each control file; nothing reads them.",
}

_TROUBLE = b"Oops! Trouble reading this file.\n"
_PRINTABLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))


def show(entry: tuple[bytes, int, bytes, bytes, bytes, bool], text: bytes | None, me: bytes | None) -> bytes:
    """One control file in words.  text: its content, None where there is none; me: of control/me.

    Source: spec/08 6.
    """
    _, kind, default, before, after, or_me = entry
    if kind == LIST:
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


def show_controls(home: Home, me: bytes | None) -> bytes:
    """All control files that we know, in the order of the table."""
    shown = []
    relays_for_all = False
    for row in CONTROLS:
        name = row[0]
        entry = _MORE_ALONE if name == _MORE and relays_for_all else row
        try:
            text = control.read(home.control(name))
            words = show(entry, text, me)
            relays_for_all = relays_for_all or (name == b"rcpthosts" and text is None)
        except Die:
            words = _TROUBLE
        shown.append(b"\n%s: %s" % (name, words))
        if name == _MORE:
            shown.append(b"\n%s.cdb: %s" % (_MORE, show_database(home)))
    return b"".join(shown)


def show_others(names: list[bytes]) -> bytes:
    """Names in control/ that no program of C qmail reads."""
    known = {row[0] for row in CONTROLS} | {_MORE + b".cdb"}
    return b"".join(
        b"\n%s: %s\n" % (name.translate(_PRINTABLE), OURS.get(name, b"I have no idea what this file does."))
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
        descriptors.write_all(1, b"Oops! Trouble reading control/me.")
        return EXIT[TEMP]
    descriptors.write_all(1, show_controls(home, me) + show_others(names))
    return 0
