"""qmail-showctl: the configuration in words.

Usage: qmail-showctl [ --json ]; with it, as skeletons/control_words says.
Runs as: caller.  Descriptors: 1 text.  Exit codes: 0; 111 without a control directory or an account.
Control files: all.  Trusts: nobody; bytes outside 32..126 are shown as '?'.
Output: spec/08 6, byte for byte; names that only we know are said after those.
"""

import posix

from qmailpy.disk import control
from qmailpy.disk.control_kinds import KINDS, LIST, MAP, NUMBER, claimed_twice
from qmailpy.disk.home import Home
from qmailpy.disk.layout import SPLIT
from qmailpy.rules.control_sentences import CONTROLS, MORE, MORE_ALONE, OTHERS, OURS
from qmailpy.skeletons import control_words, json_words
from qmailpy.skeletons.control_doubts import doubts
from qmailpy.skeletons.ownership import roles_of
from qmailpy.system import descriptors, identity
from qmailpy.verdict import EXIT, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from qmailpy.rules.control_sentences import Row

BREAK = b"-"  # user-extension delimiter (conf-break)
PATERNALISM = 2  # mode bits that ~ and .qmail must not have (conf-patrn)
SILENT_LIMIT = 120  # deliveries a spawner does at once on the classic wire (conf-spawn)

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
    text, database = _changed(home, MORE), _changed(home, MORE + b".cdb")
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
    said = [] if text is None else [*doubts(name, text), *_older(home, name)]
    oops = [b"Oops! " + words + b".\n" for words in said]
    return b"\n%s: %s%s" % (name, show(entry, text, me), b"".join(oops))


def _older(home: Home, name: bytes) -> "Iterator[bytes]":
    """Whether the table of this file was made before it."""
    if name == b"recipients" and (_changed(home, b"../users/recipients.cdb") or 0) < (_changed(home, name) or 0):
        yield b"users/recipients.cdb is older, or is not there: run qmail-recipients"


def show_controls(home: Home, names: list[bytes], me: bytes | None) -> bytes:
    """All control files that we know, in the order of the tables.  names: what is there."""
    shown = []
    for row in CONTROLS:
        name = row[0]
        shown.append(_show_file(home, MORE_ALONE if name == MORE and b"rcpthosts" not in names else row, me))
        if name == MORE:
            shown.append(b"\n%s.cdb: %s" % (MORE, show_database(home)))
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
    known = {row[0] for row in (*CONTROLS, *OURS)} | {MORE + b".cdb"}
    return b"".join(
        b"\n%s: %s\n" % (name.translate(_PRINTABLE), OTHERS.get(name, b"I have no idea what this file does."))
        for name in sorted(set(names) - known)
    )


def _show_json(home: Home, names: list[bytes], me: bytes | None) -> None:
    rows = ((row[0], row[1], row[4]) for row in (*CONTROLS, *OURS))
    for told in control_words.described(home, names, rows, me):
        json_words.write(told)


def main(argv: list[bytes], home: Home) -> int:
    """Head, every control file, and what else is there."""
    as_json = json_words.is_wanted(argv)
    if not as_json:
        descriptors.write_all(1, show_head(home, roles_of(home)))
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
    if as_json:
        _show_json(home, names, me)
    else:
        descriptors.write_all(1, show_controls(home, names, me) + show_others(names))
    return 0
