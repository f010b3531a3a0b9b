"""qmail-inject: completes a message's header and hands it to the queue.

    qmail-inject [-nNaAhH] [-f sender] [recipient...]

-a recipients are the arguments, -h those of the header, -H both, -A (as if said) the arguments, or the header's where
there are none. -n prints the message instead of queueing it, -N queues it. -f the envelope sender.
Runs as: the caller, with no privilege of its own.
Descriptors: 0 the message; 1 what -n prints; 2 one line if it fails.
Exit codes: 0 queued; 100 the message or the command line is wrong; 111 try later.
Control files: defaulthost defaultdomain plusdomain idhost me generic masquerade localtime; environment:
spec/07-inject.md 2, and QMAILDSN (inject/wishes).
Trusts: nobody needs to trust it: its caller could talk to the door himself.
"""

import posix

from qmailpy.disk.home import Home
from qmailpy.inject import WISHES
from qmailpy.inject.draft import Draft
from qmailpy.inject.message import Message
from qmailpy.inject.settings import Settings
from qmailpy.rules.options import UsageError, parse
from qmailpy.rules.quote import quote2
from qmailpy.rules.rfc822 import ParseError
from qmailpy.system import clock, descriptors, identity, process
from qmailpy.verdict import OK, PERM, TEMP, Die

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.wire.parameters import Parameters

_USAGE = 100


class Request:
    """What the command line asks for."""

    __slots__ = ("arguments", "prints", "sender", "uses_arguments", "uses_header")

    def __init__(self, words: list[bytes]) -> None:
        """words: without the program's name.  Errors: UsageError."""
        options, self.arguments = parse(words, b"aAhHnNf:")
        self.prints = False
        self.sender: bytes | None = None
        who = b"A"
        for letter, value in options:
            if letter == b"f":
                self.sender = value
            elif letter in b"nN":
                self.prints = letter == b"n"
            else:
                who = letter
        self.uses_arguments = who in b"aH" or (who == b"A" and bool(self.arguments))
        self.uses_header = who in b"hH" or (who == b"A" and not self.arguments)


def _complete(address: bytes, settings: Settings) -> bytes:
    try:
        return settings.domains.envelope(address)
    except ParseError:
        raise Die(PERM, b"unable to parse address: " + address) from None


def _show(sender: bytes, header: bytes, message: Message) -> None:
    """-n: the message on fd 1."""
    message.body(b"Return-Path: <" + quote2(sender) + b">\n" + header, lambda piece: descriptors.write_all(1, piece))


def _queue(
    home: Home, sender: bytes, recipients: list[bytes], header: bytes, message: Message, wished: bytes | None
) -> None:
    """Hand it over.  wished: about notifications.  Errors: Die in the queue's own words."""
    from qmailpy.skeletons.submit import Submission

    parameters: Parameters | None = None
    if wished:
        from qmailpy.inject import wishes

        parameters = wishes.of_variable(WISHES, wished, len(recipients))
    submission = Submission(home)
    unread: Die | None = None
    try:
        message.body(header, submission.write, submission.await_input)
    except Die as death:  # the message is not whole: nobody may get it
        unread = death
        submission.fail()
    result = submission.close(sender, recipients, parameters)
    if unread is not None:
        raise unread
    if result.text:
        raise Die(PERM if result.text.startswith(b"D") else TEMP, result.text[1:])
    if wished and parameters is not None and not (submission.carries_parameters or parameters.is_usual):
        descriptors.say(b"qmail-inject: " + wishes.dropped(wished))


def main(argv: list[bytes], home: Home) -> int:
    """See the head of this file."""
    try:
        request = Request(argv[1:])
    except UsageError as error:
        descriptors.say(argv[0].rpartition(b"/")[2] + b": " + error.text)
        return _USAGE
    wished = process.environment().get(WISHES)
    if wished is not None:
        process.set_variable(WISHES, None)  # they are for this message, not for one that a queue program may send
    settings = Settings(process.environment(), home)  # before the chdir: a list's file may have a relative name
    try:
        posix.chdir(home.path)
    except OSError:
        raise Die(TEMP, b"internal bug") from None
    recipients = [_complete(word, settings) for word in request.arguments] if request.uses_arguments else []
    sender = None if request.sender is None else _complete(request.sender, settings)
    draft = Draft(settings, wants_header=request.uses_header)
    message = Message()
    message.header(draft.take)
    now, pid = clock.now(), identity.my_pid()
    recipients += draft.recipients()
    if not recipients and b"e" in settings.letters:
        raise Die(PERM, b"no recipients: there is nobody in To, Cc or Bcc, and no argument")
    sender = draft.sender(now, pid) if sender is None else draft.public(sender)
    east = clock.east_of_utc(now) if settings.uses_local_time else None
    header = draft.generated(now, pid, east) + draft.kept
    if request.prints:
        _show(sender, header, message)
    else:
        _queue(home, sender, recipients, header, message, wished)
    return OK
