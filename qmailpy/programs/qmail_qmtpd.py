"""qmail-qmtpd: takes mail by QMTP, one connection on descriptors 0 and 1, under whatever server has accepted it.

Runs as: qmaild.  Started by qmail-listen, tcpserver, tcp-env under inetd, systemd; port 209.
Descriptors: 0 and 1 the client; 2 the log: a line for each refusal (never where 2 is the client: then syslog).
Exit codes: 0 the client has ended; 100 it does not speak QMTP; 111 an hour is over, a length is above 200000000, there
is no memory, or control files cannot be read.
Environment: tcpserver's TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO, TCPLOCALIP, TCPLOCALHOST; RELAYCLIENT, DATABYTES;
QMAILQUEUE.
Control files: databytes, rcpthosts, morercpthosts, recipientcheck.
Trusts: the environment. Every byte from the client is hostile.
"""

from qmailpy.disk.home import Home
from qmailpy.receive import qmtp
from qmailpy.receive.netstrings import PATIENCE
from qmailpy.skeletons import connection
from qmailpy.skeletons.alone import Alone, hold
from qmailpy.verdict import TEMP, Die


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no arguments, as ever
    """See the head of this file."""
    note = connection.log(b"qmail-qmtpd")
    if (refusal := connection.refusal(home)) is not None:
        raise Die(TEMP, refusal)
    connection.describe()
    return hold(qmtp.converse(Alone(home, PATIENCE, note), qmtp.Controls(home)))
