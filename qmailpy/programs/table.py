"""The table that is the truth about the programs.

qmail-start, setup, check, the house tests and the pictures read it. It is no part of a program's start: building it
would cost each of them more than its own module does.
"""

from qmailpy.programs import module_of


class Program:
    """One program: who it runs as, who starts it, what its descriptors are, its mode in bin/."""

    __slots__ = ("by", "fds", "mode", "name", "resident", "role", "summary")

    def __init__(
        self, name: str, role: str, by: str, fds: str, summary: str, *, mode: int = 0o755, resident: bool = False
    ) -> None:
        """role: account or "caller"; by: who starts it; resident: may run without an exec."""
        self.name, self.role, self.by, self.fds, self.summary = name, role, by, fds, summary
        self.mode, self.resident = mode, resident

    @property
    def module(self) -> str:
        """Its module's name in this package."""
        return module_of(self.name)


PROGRAMS = {
    program.name: program
    for program in (
        Program("qmail-start", "root", "a supervisor", "1 log", "starts the whole system", mode=0o700),
        Program(
            "qmail-send",
            "qmails",
            "qmail-start",
            "0 log, 1/2 lspawn, 3/4 rspawn, 5/6 clean",
            "decides what is tried when",
            resident=True,
        ),
        Program(
            "qmail-lspawn",
            "root",
            "qmail-start",
            "0 commands, 1 reports",
            "becomes the user of an address and delivers",
            mode=0o700,
            resident=True,
        ),
        Program(
            "qmail-rspawn",
            "qmailr",
            "qmail-start",
            "0 commands, 1 reports",
            "runs remote deliveries",
            resident=True,
        ),
        Program(
            "qmail-clean",
            "qmailq",
            "qmail-start",
            "0 commands, 1 answers",
            "removes finished messages from the queue",
            resident=True,
        ),
        Program(
            "qmail-queued",
            "qmailq",
            "qmail-start or a service of its own",
            "0 its starter's end",
            "the door: takes messages from local programs",
            resident=True,
        ),
        Program(
            "splogger",
            "qmaill",
            "qmail-start",
            "0 lines",
            "hands lines to syslog",
            resident=True,
        ),
        Program(
            "qmail-getpw",
            "qmailp",
            "qmail-lspawn",
            "1 six fields",
            "finds the user of an address",
            resident=True,
        ),
        Program(
            "qmail-local",
            "the user",
            "qmail-lspawn",
            "0 message, 1 report",
            "delivers to one user by his .qmail",
            resident=True,
        ),
        Program(
            "qmail-remote",
            "qmailr",
            "qmail-rspawn",
            "0 message, 1 reports",
            "delivers to another host",
            resident=True,
        ),
        Program(
            "qmail-queue",
            "caller",
            "any program",
            "0 message, 1 envelope",
            "puts a message into the queue",
        ),
        Program(
            "qmail-direct",
            "caller",
            "qmail-inject",
            "0 message, 1 envelope",
            "hands a message to the relay at once, without a queue",
        ),
        Program(
            "qmail-qmqpc", "caller", "qmail-inject", "0 message, 1 envelope", "hands a message to a server by QMQP"
        ),
        Program("qmail-smtpd", "qmaild", "a TCP server", "0/1 client, 2 log", "takes mail by SMTP"),
        Program("qmail-qmtpd", "qmaild", "a TCP server", "0/1 client, 2 log", "takes mail by QMTP"),
        Program("qmail-qmqpd", "qmaild", "a TCP server", "0/1 client, 2 log", "takes mail by QMQP"),
        Program("qmail-popup", "root", "a TCP server", "0/1 client, 2 log", "asks a POP3 client for its password"),
        Program("qmail-pop3d", "the user", "qmail-popup", "0/1 client, 2 log", "gives a user his mail by POP3"),
        Program(
            "qmail-inject",
            "caller",
            "users, sendmail",
            "0 message",
            "completes a header and queues",
        ),
        Program(
            "sendmail",
            "caller",
            "any program",
            "0 message",
            "sendmail's command line over qmail-inject",
        ),
        Program("send-mail", "caller", "any program", "0 message", "sendmail by another name"),
        Program("runq", "caller", "administrators", "-", "tries everything now: sendmail -q"),
        Program("hoststat", "caller", "administrators", "1 list", "qmail-tcpto by another name"),
        Program("purgestat", "caller", "administrators", "-", "qmail-tcpok by another name"),
        Program("rmail", "caller", "UUCP", "0 message", "takes a message that came by UUCP"),
        Program("mailq", "caller", "users", "1 list", "lists the queue, for each user his own messages"),
        Program("newaliases", "root", "administrators", "2 errors", "compiles /etc/aliases: sendmail -bi"),
        Program("maildirmake", "caller", "users", "-", "makes a Maildir"),
        Program("forward", "caller", ".qmail", "0 message", "sends a message on to addresses"),
        Program("bouncesaying", "caller", ".qmail", "0 message", "refuses a message, perhaps if a program agrees"),
        Program("condredirect", "caller", ".qmail", "0 message", "sends a message elsewhere if a program agrees"),
        Program("except", "caller", ".qmail", "0 message", "turns a program's answer round"),
        Program("preline", "caller", ".qmail", "0 message", "puts an mbox's lines before a program's message"),
        Program("qsmhook", "caller", ".qmail", "0 message", "runs a program as sendmail would run a mailer"),
        Program("qreceipt", "caller", ".qmail", "0 message", "answers who asks to be told of the delivery"),
        Program("qbiff", "caller", ".qmail", "0 message", "tells a user on his terminals that mail has come"),
        Program("predate", "caller", "users", "0 input", "puts a Date in local time before a program's input"),
        Program("datemail", "caller", "users", "0 message", "sendmail with a Date in local time"),
        Program("mailsubj", "caller", "users", "0 text", "mails its input with a subject"),
        Program("maildir2mbox", "caller", "users", "-", "moves a Maildir's messages into an mbox"),
        Program("mbox2maildir", "caller", "users", "1 count", "moves an mbox's messages into a Maildir"),
        Program("maildirwatch", "caller", "users", "1 terminal", "shows the new messages of a Maildir"),
        Program("qail", "caller", "users", "-", "maildir2mbox, then Mail"),
        Program("elq", "caller", "users", "-", "maildir2mbox, then elm"),
        Program("pinq", "caller", "users", "-", "maildir2mbox, then pine"),
        Program(
            "qmail-showctl",
            "caller",
            "administrators",
            "1 text",
            "shows the configuration in words",
        ),
        Program("qmail-qread", "caller", "root", "1 list", "lists messages and recipients in the queue"),
        Program("qmail-qstat", "caller", "root", "1 text", "counts messages in the queue"),
        Program("qmail-queuecheck", "root", "administrators", "1 text", "finds and mends what is wrong in the queue"),
        Program(
            "qmail-queuectl", "qmails", "administrators", "1 text", "holds, deletes, fails, retries, moves messages"
        ),
        Program("qmail-tcpto", "caller", "root", "1 list", "lists hosts that did not answer"),
        Program("qmail-tcpok", "caller", "root", "1 with --json, 2 errors", "forgets that hosts did not answer"),
        Program(
            "qmail-authd",
            "root",
            "a service of its own",
            "2 log",
            "answers sessions whether a client may log in",
            mode=0o700,
        ),
        Program(
            "qmail-checkpassword",
            "root",
            "qmail-authd, qmail-popup",
            "3 login and password",
            "checks a password",
            mode=0o700,
        ),
        Program("qmail-passwd", "root", "administrators", "0 password", "changes users/passwords", mode=0o700),
        Program("qmail-newu", "root", "administrators", "2 errors", "makes users/cdb of users/assign", mode=0o700),
        Program(
            "qmail-newmrh", "root", "administrators", "2 errors", "makes morercpthosts.cdb of morercpthosts", mode=0o700
        ),
        Program(
            "qmail-recipients", "root", "administrators", "2 errors", "makes a table of who gets mail here", mode=0o700
        ),
        Program("qmail-pw2u", "caller", "administrators", "0 accounts, 1 lines", "makes users/assign of accounts"),
        Program("qmail-detach", "caller", "an init script", "2 errors", "runs a program in the background"),
        Program("qmail-mailspool", "the user", "a .qmail", "0 message", "delivers to a box in /var/mail"),
        Program("qmail-lmtp", "the user", "a .qmail", "0 message", "hands a message to an LMTP server"),
        Program(
            "qmail-aliases",
            "alias",
            "a .qmail",
            "0 message",
            "delivers by /etc/aliases",
        ),
        Program(
            "qmail-dotforward",
            "the user",
            "a .qmail",
            "0 message",
            "delivers by ~/.forward",
        ),
        Program("qmail-explain", "caller", "administrators", "1 text", "says where an address goes, and why"),
        Program("qmail-trace", "caller", "administrators", "0 log, 1 text", "tells the story of a message from a log"),
        Program(
            "qmail-listen",
            "root",
            "a supervisor",
            "2 log",
            "our TCP server: runs a program for each connection, or serves ours resident",
        ),
        Program("qmail-tcprules", "caller", "administrators", "0 rules", "makes a table of who may connect"),
        Program("tcp-env", "caller", "inetd", "0 socket", "sets TCP environment variables"),
        Program(
            "config",
            "root",
            "administrators",
            "1 text",
            "makes control files from the DNS",
            mode=0o700,
        ),
        Program(
            "config-fast",
            "root",
            "administrators",
            "1 text",
            "makes control files for a name",
            mode=0o700,
        ),
        Program(
            "config-from",
            "root",
            "administrators",
            "1 report",
            "makes control files of another mail system's",
            mode=0o700,
        ),
    )
}
