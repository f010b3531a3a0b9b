"""Carrying out what aliases or a .forward lead to: programs and files first, then one forward to all addresses.

In this order, as qmail-local does it: whoever is killed in between, or fails, has forwarded nothing, and when it is
tried again nobody is left out.
"""

from qmailpy.disk.home import Home
from qmailpy.local import command, feeding, mailboxes
from qmailpy.local.forwarding import forward
from qmailpy.local.message import Message
from qmailpy.local.surroundings import required
from qmailpy.rules.aliasvalue import MAILDIR, PROGRAM
from qmailpy.rules.environment import DTLINE, NEWSENDER, RPLINE, UFLINE
from qmailpy.rules.expansion import Ends
from qmailpy.system import descriptors, process
from qmailpy.verdict import OK, Die, of_exit, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NOBODY = (b"", b"#@[]")  # the sender of a bounce, of a double bounce: no owner takes their place


def surroundings() -> dict[bytes, bytes]:
    """What a delivery needs of qmail-local's variables.  Errors: Die PERM where one is not set."""
    return {name: required(name) for name in (DTLINE, RPLINE, UFLINE, NEWSENDER)}


def carry_out(name: bytes, ends: Ends, variables: "Mapping[bytes, bytes]", host: bytes, home: Home) -> None:
    """Deliver the message on descriptor 0.

    name: of the program that reports; host: of the owner's address.  Errors: Die; what stood before the one that
    failed has been done, nothing was forwarded.
    """
    message = Message(0)
    if ends.owner and variables[NEWSENDER] not in _NOBODY:
        variables = {**variables, NEWSENDER: ends.owner if b"@" in ends.owner else ends.owner + b"@" + host}
    files = programs = 0
    for value in ends.deliveries:
        if value.kind == PROGRAM:
            _run(value.argument, message, variables)
            programs += 1
        elif value.kind == MAILDIR:
            mailboxes.into_maildir(value.argument, message, variables, files)
            files += 1
        else:
            mailboxes.into_mbox(value.argument, message, variables)
            files += 1
    if not (ends.deliveries or ends.recipients):
        return
    summary = name + b": did %d+%d+%d" % (files, len(ends.recipients), programs)
    if ends.recipients:
        summary += b" qp %d" % forward(ends.recipients, message, variables, home, resident=False)
    descriptors.say(summary)


def _run(line: bytes, message: Message, variables: "Mapping[bytes, bytes]") -> None:
    """A command, as such a file means it: what it reads begins with the lines of a mailbox.

    99, which ends a .qmail, is success here.  Errors: Die; what it has said is the report.
    """
    message.rewind()
    environment = process.environment()

    def become() -> int:
        process.close_above(2)
        try:
            process.execute(command.SHELL, [command.SHELL, b"-c", line], environment)
        except OSError as error:
            descriptors.say(b"Unable to run /bin/sh: " + words(error) + b". (#4.3.0)")
        return process.TEMP_EXIT

    code = feeding.feed(become, variables[UFLINE] + variables[RPLINE] + variables[DTLINE])
    if code == command.STOP:
        return
    verdict = of_exit(code)
    if verdict != OK:
        raise Die(verdict, b"(A program that this address leads to has exited %d.)" % code)
