"""qbiff: tells a user on his terminals that mail has come, from a .qmail file.

Terminals that belong to him and that he has opened for it (biff y, which is chmod u+x) get one screenful: who wrote to
which address, and how it begins.
Runs as: the user.
Descriptors: 0 the message.
Exit codes: 0 always: mail comes whether anybody looks or not.
Environment: USER SENDER LOCAL.  Control files: none.  Trusts: nobody; nothing unprintable reaches a terminal.
"""

from qmailpy.disk.home import Home
from qmailpy.local import glance
from qmailpy.system import process, terminals
from qmailpy.verdict import EXIT, OK

_INDENT = b"    "
_LENGTH = 78 - len(_INDENT)  # bytes of the line that shows the message


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    del argv, home
    environment = process.environment()
    sender, local = environment.get(b"SENDER"), environment.get(b"LOCAL")
    if sender is None or local is None or b"USER" not in environment:
        return EXIT[OK]
    try:
        text = glance.beginning(0, _LENGTH, lambda _name, _field: None)
    except OSError:
        return EXIT[OK]
    first = b"*** TO <" + local + b"> FROM <" + sender + b">"
    end = bytes((13, 10))  # the terminal may be raw
    terminals.say_on_all(end + b"\a" + glance.shown(first, b"_") + end + _INDENT + glance.shown(text, b"/") + end)
    return EXIT[OK]
