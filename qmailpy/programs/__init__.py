"""The programs: the table that is the truth about them, and how one is started.

qmail-start, setup, check, qmail-showctl, the house tests and the pictures read this table. A program never imports
another: it names it, as execv would, and may get its function from load() to run it without an exec.
"""

import posix
import sys

from qmailpy.disk.home import DEFAULT, Home
from qmailpy.system import descriptors, process
from qmailpy.verdict import EXIT, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    Main = Callable[..., int]  # main(argv, home), and resident=True where a program wants to know


class Program:
    """One program: who it runs as, who starts it, what its descriptors are, its mode in bin/."""

    __slots__ = ("by", "fds", "mode", "module", "name", "prefix", "resident", "role", "summary")

    def __init__(
        self,
        name: str,
        role: str,
        by: str,
        fds: str,
        summary: str,
        *,
        mode: int = 0o755,
        resident: bool = False,
        module: str = "",
        prefix: bool = True,
    ) -> None:
        """role: account or "caller"; by: who starts it; resident: may run without an exec.

        module: where it is not its name; prefix: whether its fatal line begins with its name.
        """
        self.name, self.role, self.by, self.fds, self.summary = name, role, by, fds, summary
        self.mode, self.resident, self.prefix = mode, resident, prefix
        self.module = module or name.replace("-", "_")


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
            prefix=False,
        ),
        Program(
            "qmail-remote",
            "qmailr",
            "qmail-rspawn",
            "0 message, 1 reports",
            "delivers to another host",
            resident=True,
            prefix=False,
        ),
        Program(
            "qmail-queue",
            "caller",
            "any program",
            "0 message, 1 envelope",
            "puts a message into the queue",
        ),
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
        Program("mailq", "caller", "users", "1 list", "lists the queue"),
        Program("newaliases", "caller", "administrators", "2 errors", "sendmail -bi"),
        Program("maildirmake", "caller", "users", "-", "makes a Maildir"),
        Program(
            "qmail-showctl",
            "caller",
            "administrators",
            "1 text",
            "shows the configuration in words",
        ),
        Program("qmail-qread", "caller", "root", "1 list", "lists messages and recipients in the queue"),
        Program("qmail-qstat", "caller", "root", "1 text", "counts messages in the queue"),
        Program("qmail-detach", "caller", "an init script", "2 errors", "runs a program in the background"),
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
    )
}


def load(name: str) -> "Main":
    """The function of a program, to run it without an exec."""
    # not importlib, which costs every exec'ed program half a millisecond
    main: Main = __import__(f"qmailpy.programs.{PROGRAMS[name].module}", fromlist=("main",)).main
    return main


def run(name: str, argv: list[bytes], home: Home, *, resident: bool = False) -> int:
    """Run a program's function and turn every way it can end into its exit code.

    resident: the process will run it again, for another message; the program is told.
    Die: its text is one line on fd 2. Anything unknown is 111 and one line without a traceback: a bug
    must defer mail, never bounce it.
    """
    prefix = name.encode() + b": fatal: " if PROGRAMS[name].prefix else b""
    try:
        main = load(name)
        return main(argv, home, resident=True) if resident else main(argv, home)
    except Die as death:
        descriptors.say(prefix + death.text)
        return death.code
    except BaseException as error:  # noqa: BLE001 - the outermost frame of a program
        descriptors.say(name.encode() + b": fatal: internal error: " + describe(error))
        return EXIT[TEMP]


def describe(error: BaseException) -> bytes:
    """An unknown exception in one line: its kind and where it was raised, not its content."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = ""
    if trace is not None:
        place = trace.tb_frame.f_code.co_filename.rpartition("/qmailpy/")[2]
        where = f" at {place}:{trace.tb_lineno}"
    return (type(error).__name__ + where).encode("ascii", "replace")


def start(name: str, home: str) -> "NoReturn":
    """What a launcher calls: run the program of this name and leave.

    home: where the program was installed; $QMAILHOME overrides it.
    """
    code = EXIT[TEMP]
    try:
        descriptors.guard()
        process.forget_coerced_locale()
        coding = sys.getfilesystemencoding()
        argv = [name.encode(), *(word.encode(coding, "surrogateescape") for word in sys.argv[1:])]
        chosen = posix.environ.get(b"QMAILHOME") or home.encode(coding, "surrogateescape")
        code = run(name, argv, Home(chosen or DEFAULT))
    finally:
        posix._exit(code)
