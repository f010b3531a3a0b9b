"""qmail-qmqpd: takes mail by QMQP from hosts that have no queue, under whatever server has accepted the connection.

Runs as: qmaild.  Started by qmail-listen, tcpserver, tcp-env under inetd, systemd; port 628.
Descriptors: 0 and 1 the client; 2 the log: a line for a refusal (never where 2 is the client: then syslog).
Exit codes: 0 the client has its answer, or has ended; 100 it does not speak QMQP; 111 an hour is over, a length is
above 200000000, or there is no memory.
Environment: tcpserver's TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO, TCPLOCALIP, TCPLOCALHOST; QMAILQUEUE.
Control files: none.
Trusts: the environment, and that only hosts that may relay can reach it: it asks nobody whether mail may be sent on.
"""

from qmailpy.disk.home import Home
from qmailpy.receive import qmqp
from qmailpy.receive.netstrings import PATIENCE
from qmailpy.skeletons import connection
from qmailpy.skeletons.alone import Alone, hold
from qmailpy.verdict import TEMP, Die


def main(argv: list[bytes], home: Home) -> int:  # noqa: ARG001 - it takes no arguments, as ever
    """See the head of this file."""
    note = connection.log(b"qmail-qmqpd")
    if (refusal := connection.refusal(home)) is not None:
        raise Die(TEMP, refusal)
    connection.describe()
    return hold(qmqp.converse(Alone(home, PATIENCE, note)))
