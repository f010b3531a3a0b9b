"""qmail-smtpd: takes mail by SMTP, one session on descriptors 0 and 1, under whatever server has accepted it.

    qmail-smtpd [hostname checkpassword program [argument...]]

With arguments, as the AUTH patches have them: logins are taken, and checked by that program (qmail-checkpassword).
Runs as: qmaild.  Started by qmail-listen, tcpserver, tcp-env under inetd, systemd, sendmail -bs.
Descriptors: 0 and 1 the client; 2 the log: a line for each refusal (never where 2 is the client: then syslog).
Exit codes: 0 after QUIT; 1 the client has gone, or was turned away; 111 no memory, or a bug.
Environment: tcpserver's TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO, TCPLOCALIP, TCPLOCALHOST; RELAYCLIENT, DATABYTES;
SUBMISSION: only who has logged in sends; SMTPS: TLS from the first byte on; QMAILQUEUE.
Control files: man/qmail-smtpd.8.
Trusts: the environment. Every byte from the client is hostile: bounded, checked, never a name of a file.
"""

from qmailpy.disk.home import Home
from qmailpy.receive import certificates
from qmailpy.receive.policy.policy import Policy
from qmailpy.receive.smtp.controls import Controls
from qmailpy.receive.smtp.conversation import NO_CONTROLS, NO_MEMORY, converse
from qmailpy.receive.smtp.ending import LOST
from qmailpy.receive.smtp.services import offered
from qmailpy.skeletons import connection
from qmailpy.skeletons.alone import Alone, hold
from qmailpy.system import descriptors
from qmailpy.verdict import EXIT, TEMP, Die
from qmailpy.wire.smtp_server import reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CLIENT = 1  # descriptor
NO_SERVICE = b"421 this host takes no mail from others (#4.3.2)"


def _serve(argv: list[bytes], home: Home, note: "Callable[[bytes], None]") -> int:
    if (refusal := connection.refusal(home)) is not None:
        note(b"qmail-smtpd: fatal: " + refusal)
        descriptors.write_all(_CLIENT, reply(NO_SERVICE))
        return LOST
    connection.describe()
    try:
        controls = Controls(home, argv[2:])
    except Die as death:
        note(b"qmail-smtpd: fatal: " + death.text)
        descriptors.write_all(_CLIENT, reply(NO_CONTROLS))
        return LOST
    dialog = Alone(home, controls.timeout, note)
    tls = certificates.Later(home, note) if certificates.are_there(home) else None
    services = offered(controls, dialog.environment, tls)
    return hold(converse(dialog, controls, Policy(dialog, controls.policy), services))


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    note = connection.log(b"qmail-smtpd")
    try:
        return _serve(argv, home, note)
    except MemoryError:
        descriptors.write_all(_CLIENT, reply(NO_MEMORY))
        return EXIT[TEMP]
