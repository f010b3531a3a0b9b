"""qmail-aliases: delivers a message by /etc/aliases, from the line |qmail-aliases in alias/.qmail-default.

qmail-aliases [-dnp] [file...]
-d looks up $DEFAULT (or $EXT), as in a .qmail-default for a virtual domain; else a name is $EXT for the account alias,
$LOCAL for everybody else. -p passes on: exit 0 where there is no such alias, or where it names this very mailbox; 99
where it was followed, which ends the .qmail. -n prints what would be done. file: read instead of control/aliasfile's.

Runs as: alias, or whose .qmail names it; never root.  Started by qmail-local through the shell.
Descriptors: 0 message (a file), 1 and 2 report.
Environment: what qmail-local sets.
Exit codes: 0 delivered, or passed on; 99 delivered, with -p; 100 no such address, or refused; 111 try again later.
Control files: aliasfile, locals, me.
Trusts: the files of aliases, which it refuses where others can write to them. An included list may hold addresses only.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.local import command, destinations
from qmailpy.local.surroundings import required
from qmailpy.rules import options
from qmailpy.rules.expansion import Ends
from qmailpy.skeletons import aliases
from qmailpy.system import descriptors, identity, process, signals
from qmailpy.verdict import EXIT, OK, PERM, TEMP, Die

NAME = b"qmail-aliases"
NOT_HERE = b"Sorry, no mailbox here by that name. (#5.1.1)"
_USAGE = b"qmail-aliases: usage: qmail-aliases [ -dnp ] [ file ... ]"
_COMPLAINTS = 3  # of a file with mistakes, in each report


def _complain(known: aliases.Aliases) -> None:
    for _, complaint in zip(range(_COMPLAINTS), known.complaints):  # noqa: B905 - the first few
        descriptors.say(NAME + b": warning: " + complaint)


def _show(ends: Ends) -> int:
    """What would be done, a line each."""
    lines = [b"sender " + ends.owner] if ends.owner else []
    lines += [value.kind + b" " + value.argument for value in ends.deliveries]
    lines += [b"forward " + recipient for recipient in ends.recipients]
    lines += [b"here"] if ends.is_here else []
    descriptors.write_all(1, b"".join(line + b"\n" for line in lines))
    return EXIT[OK]


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        found_options, files = options.parse(argv[1:], b"dDnNpP")
    except options.UsageError as error:
        raise Die(PERM, NAME + b": " + error.text + b"\n" + _USAGE) from None
    letters = {letter for letter, _ in found_options}
    host, local = required(b"HOST"), required(b"LOCAL")
    name = aliases.wanted_name(process.environment(), by_default=b"d" in letters)
    if name is None:
        raise Die(PERM, b"EXT not set")
    acting, passing = b"n" not in letters, b"p" in letters
    if acting and identity.is_root() and not home.embedded:
        raise Die(TEMP, b"Not allowed to perform deliveries as root.")
    posix.umask(0o077)
    signals.ignore(signals.SIGPIPE, signals.SIGXFSZ)
    variables = destinations.surroundings() if acting else {}
    known = aliases.Aliases(home, files or None)
    _complain(known)
    found = known.lookup(name, host)
    if found is None:
        known.require_complete()
        if passing:
            return EXIT[OK]
        raise Die(PERM, NOT_HERE)
    own = aliases.own_addresses(home, [name, local], host)
    ends = aliases.ends_of(found, known, home, host, own, has_mailbox=passing)
    if not acting:
        return _show(ends)
    destinations.carry_out(NAME, ends, variables, host, home)
    return command.STOP if passing and not ends.is_here else EXIT[OK]
