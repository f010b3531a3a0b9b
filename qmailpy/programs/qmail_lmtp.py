"""qmail-lmtp: hands a message to an LMTP server, from a .qmail or as the default delivery.

qmail-lmtp [-t seconds] [-f sender] SERVER [recipient ...]
SERVER is the absolute path of a Unix socket, or HOST:PORT ([ADDRESS]:PORT for IPv6). Without a recipient: $RECIPIENT.

Runs as: the user.  Started by qmail-local (ours or C qmail's), by /bin/sh.
Descriptors: 0 message (a file), 2 errors.
Environment: SENDER, RECIPIENT, DTLINE, as qmail-local sets them.
Exit codes: 0 the server has it; 100 it refuses it for good; 111 try again later. The server's words are on 2.
Control files: me, for LHLO.
Trusts: its arguments and environment. What the server says is hostile bytes: bounded, on one line.
"""

from qmailpy.disk import control
from qmailpy.disk.home import Home
from qmailpy.local import lmtp
from qmailpy.local.message import Message
from qmailpy.rules import options
from qmailpy.rules.environment import DTLINE
from qmailpy.rules.smtp_address import is_clean_name, smtp_address
from qmailpy.system import process, signals, stream
from qmailpy.verdict import PERM, TEMP, Die, words

PATIENCE = 600  # seconds for each reply: RFC 5321 4.5.3.2.6, the end of data
LONGEST = 86400
USAGE = b"usage: qmail-lmtp [ -t seconds ] [ -f sender ] socket|host:port [ recipient ... ]"
DOUBLE_BOUNCE = b"#@[]"  # qmail's own; to other systems it is no address


class Wanted:
    """What the command line asks for.  host: None where the server is a Unix socket."""

    __slots__ = ("host", "patience", "port", "recipients", "sender", "server")

    def __init__(self, argv: list[bytes]) -> None:
        """Errors: Die TEMP: a slip in a .qmail bounces nothing."""
        try:
            found, rest = options.parse(argv[1:], b"t:f:")
        except options.UsageError as error:
            raise Die(TEMP, error.text + b"; " + USAGE) from None
        if not rest:
            raise Die(TEMP, USAGE)
        chosen = dict(found)
        self.sender = chosen.get(b"f")
        self.patience = _number(chosen.get(b"t", b"%d" % PATIENCE), LONGEST)
        self.server, self.recipients = rest[0], rest[1:]
        self.host: bytes | None = None
        self.port = 0
        if not self.server.startswith(b"/"):
            host, _, port = self.server.rpartition(b":")
            self.port = _number(port, 65535)
            self.host = host[1:-1] if host.startswith(b"[") and host.endswith(b"]") else host
            if not self.host:
                raise Die(TEMP, USAGE)


def _number(text: bytes, most: int) -> int:
    if not text.isdigit() or len(text) > 5 or not 0 < int(text) <= most:
        raise Die(TEMP, USAGE)
    return int(text)


def _connect(wanted: Wanted) -> stream.Stream:
    try:
        if wanted.host is None:
            return stream.connect_unix(wanted.server, wanted.patience)
        return stream.connect_tcp(wanted.host, wanted.port, wanted.patience)
    except stream.UnknownHost:
        reason = b"no address of that name now"
    except stream.SilentPeer:
        reason = b"it does not answer"
    except OSError as error:
        reason = words(error)
    raise Die(TEMP, b"Unable to connect to LMTP server %s: %s. (#4.4.1)" % (wanted.server, reason))


def _address(address: bytes) -> bytes:
    """As it stands in a command.  Errors: Die PERM."""
    spoken = smtp_address(address)
    if spoken is None:
        raise Die(PERM, b"An address with control bytes or brackets cannot be handed to an LMTP server. (#5.1.3)")
    return spoken


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    signals.ignore(signals.SIGPIPE)
    wanted = Wanted(argv)
    environment = process.environment()
    sender = environment.get(b"SENDER") if wanted.sender is None else wanted.sender
    recipients = wanted.recipients or [environment.get(b"RECIPIENT", b"")]
    if sender is None or not all(recipients):
        raise Die(TEMP, b"no sender or recipient: qmail-lmtp belongs into a .qmail. (#4.3.5)")
    name = control.line(home, "me") or b""
    message = Message(0)
    message.rewind()
    connection = _connect(wanted)
    try:
        lmtp.deliver(
            connection,
            wanted.server,
            name if is_clean_name(name) else b"localhost",
            b"" if sender == DOUBLE_BOUNCE else _address(sender),
            [_address(recipient) for recipient in recipients],
            message,
            environment.get(DTLINE, b""),
        )
    finally:
        connection.close()
    return 0
