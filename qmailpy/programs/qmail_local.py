"""qmail-local: delivers one message to one user, as his .qmail file says.

qmail-local [-nN] user homedir local dash ext domain sender defaultdelivery
-n prints what would be done. The reference is spec/05-local.md.

Runs as: the user, never root.  Started by qmail-lspawn; anybody may run it for himself.
Descriptors: 0 message (a file), 1 and 2 report.
Exit codes: 0 delivered; 100 never will be; 111 try again later; the text for the sender is on 1 and 2.
Control files: none.
Trusts: the user's .qmail files with the user's rights, nothing else. The message, the extension and the sender are
anybody's bytes. Every module is loaded before the working directory becomes the user's.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.local import execution
from qmailpy.local.message import Message
from qmailpy.rules import environment, options
from qmailpy.skeletons import dotqmail
from qmailpy.system import clock, descriptors, identity, process, signals
from qmailpy.verdict import PERM, TEMP, Die, words

USAGE = b"qmail-local: usage: qmail-local [ -nN ] user homedir local dash ext domain sender aliasempty"
_WORDS = 8


def _arguments(argv: list[bytes]) -> tuple[bool, list[bytes]]:
    """Whether to act, and the eight words.  Errors: Die PERM, the usage line."""
    try:
        found, rest = options.parse([word.partition(b"\0")[0] for word in argv[1:]], b"nN")
    except options.UsageError as error:
        raise Die(PERM, argv[0].rpartition(b"/")[2] + b": " + error.text + b"\n" + USAGE) from None
    if len(rest) != _WORDS or not rest[1].startswith(b"/"):
        raise Die(PERM, USAGE)
    return not found or found[-1][0] == b"N", rest


def _enter(homedir: bytes, *, acting: bool) -> None:
    """Be in the user's home, unless he does not want mail to come just now."""
    try:
        posix.chdir(homedir)
    except OSError as error:
        raise Die(TEMP, b"Unable to switch to " + homedir + b": " + words(error) + b". (#4.3.0)") from None
    if dotqmail.is_sticky_home():
        if acting:
            raise Die(TEMP, b"Home directory is sticky: user is editing his .qmail file. (#4.2.1)")
        descriptors.say(b"Warning: home directory is sticky.")


def _publish(variables: dict[bytes, bytes]) -> None:
    """What the user's programs, and qmail-queue's replacement, see.  DEFAULT is of this delivery or is not."""
    process.set_variable(environment.DEFAULT, None)
    process.set_variables(variables)


def main(argv: list[bytes], home: Home, *, resident: bool = False, told: "list[bytes] | None" = None) -> int:
    """See the head of this file.  resident: this process serves more than one delivery.

    told: gets the name of the .qmail file, then where it went.
    """
    acting, (user, homedir, local, dash, ext, domain, sender, default) = _arguments(argv)
    if acting and identity.is_root() and not home.embedded:
        raise Die(TEMP, b"Not allowed to perform deliveries as root.")
    posix.umask(0o077)
    signals.ignore(signals.SIGPIPE, signals.SIGXFSZ)  # both are errors of a write here, not deaths
    _enter(homedir, acting=acting)
    variables = environment.variables(user, homedir, local, ext, domain, sender, clock.now())
    message = Message(0)
    if acting:
        message.refuse_loop(variables[environment.DTLINE])
    found = dotqmail.find(dash, ext)
    if told is not None:
        told.append(found.name if found is not None else b"")
    if found is None and dash:
        raise Die(PERM, b"Sorry, no mailbox here by that name. (#5.1.1)")
    variables[environment.NEWSENDER] = dotqmail.new_sender(sender, dash, ext, local, domain)
    if found is not None and found.default is not None:
        variables[environment.DEFAULT] = found.default
    _publish(variables)
    steps = dotqmail.steps(found, default)
    if not acting:
        return execution.show(steps)
    return execution.carry_out(steps, message, variables, home, resident=resident, told=told)
