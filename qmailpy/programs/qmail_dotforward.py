"""qmail-dotforward: delivers a message by the user's ~/.forward, before his own mailbox gets it.

qmail-dotforward [-n] file...
The first of the files that exists and says something is followed; it is a line before the mailbox, in a .qmail or in
the default delivery:  |qmail-dotforward .forward
-n prints what would be done.

Runs as: the user, never root, in his home.  Started by qmail-local through the shell.
Descriptors: 0 message (a file), 1 and 2 report.  Environment: what qmail-local sets.
Exit codes: 0 the lines after it hold: there is no such file, or it names the user's own mailbox; 99 delivered; 100
refused; 111 try again later.
Control files: locals, me.
Trusts: the user's file, which must be his or root's, and which others must not be able to write. A list that it
includes may hold addresses only.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.local import command, destinations
from qmailpy.local.surroundings import required
from qmailpy.rules import options
from qmailpy.skeletons import aliases, dotforward
from qmailpy.system import descriptors, identity, process, signals
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die

NAME = b"qmail-dotforward"
_USAGE = b"qmail-dotforward: usage: qmail-dotforward [ -n ] file ..."


def _show(found: dotforward.Forward) -> int:
    """What the file says, a line each."""
    lines = [value.kind + b" " + value.argument + b"\n" for value in found.values]
    descriptors.write_all(1, b"".join(lines))
    return EXIT[OK]


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        found_options, files = options.parse(argv[1:], b"nN")
    except options.UsageError as error:
        raise Die(PERM, NAME + b": " + error.text + b"\n" + _USAGE) from None
    if not files:
        raise Die(PERM, _USAGE)
    acting = (b"n", b"") not in found_options
    if acting and identity.is_root() and not home.embedded:
        raise Die(TEMP, b"Not allowed to perform deliveries as root.")
    posix.umask(0o077)
    signals.ignore(signals.SIGPIPE, signals.SIGXFSZ)
    found = dotforward.find(files, process.environment().get(b"EXT", b""))
    if found is None:
        return EXIT[OK]
    if not acting:
        return _show(found)
    variables, host = destinations.surroundings(), required(b"HOST")
    own = aliases.own_addresses(home, [required(b"USER"), required(b"LOCAL")], host)
    ends = dotforward.ends_of(found, own)
    destinations.carry_out(NAME, ends, variables, host, home)
    return EXIT[OK] if ends.is_here else command.STOP
