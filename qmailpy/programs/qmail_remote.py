"""qmail-remote: delivers a message to another host by SMTP.

    qmail-remote HOST SENDER RECIPIENT...

Runs as: qmailr.  Started by qmail-rspawn, once for each delivery, or not at all: its worker makes deliveries too.
Descriptors: 0 the message, 1 the report (spec/03-pipes.md 7), written when all is over.
Exit codes: 0 always, unless something unknown happens (111).
Environment: QMAILWISHED, what the sender wishes of this delivery (wire/wished), if qmail-rspawn was told so.
Control files: helohost, smtproutes, timeoutconnect, timeoutremote, me.
Trusts: nothing that the DNS or a server says.
"""

import asyncio
import posix

from qmailpy.disk.home import Home
from qmailpy.remote.delivery import deliver
from qmailpy.rules import report
from qmailpy.system import descriptors, process
from qmailpy.wire.delivery import WISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.parameters import Parameters


def _report(argv: list[bytes], home: Home) -> bytes:
    if len(argv) < 4:
        return report.USAGE
    try:
        posix.chdir(home.path)
    except OSError:
        return report.NO_HOME
    return asyncio.run(deliver(home, argv[1], argv[2], argv[3:], 0, wishes=_wishes(len(argv) - 3)))


def _wishes(recipients: int) -> "Parameters | None":
    text = process.environment().get(WISHED)
    if not text:
        return None
    from qmailpy.wire import wished

    return wished.decode(text, recipients)


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file.  argv: program, host, sender, recipients."""
    descriptors.write_all(1, _report(argv, home))
    return 0
